"""Kinds of unusual arrays, each with its plain meaning, or none if it must be refused."""

from decimal import Decimal
from typing import NamedTuple

import numpy as np
import pytest
import scipy.sparse
import torch

pd = pytest.importorskip("pandas")

REFUSED = "refused"
"""The meaning of what has none: only a clear error will do."""


class Kind(NamedTuple):
    """A way to write an array: its maker, where it applies, whether it may be refused.

    The maker takes a clean array and returns the unusual one and its meaning.
    """

    make: object
    applies: object = lambda clean: True
    may_be_refused: bool = False


def is_real(clean):
    return clean.dtype.kind == "f"


def is_table(clean):
    return is_real(clean) and clean.ndim == 2


def with_first(clean, value):
    """Return a copy whose first entry is another value."""
    out = np.array(clean)
    out.flat[0] = value
    return out


def objects(clean):
    out = np.empty(clean.shape, dtype=object)
    out[...] = clean
    return out


def foreign(clean):
    """Return read-only numbers in the other byte order, stored backwards."""
    out = np.ascontiguousarray(clean[::-1]).astype(clean.dtype.newbyteorder())[::-1]
    out.flags.writeable = False
    return out


def strided(clean):
    out = np.asfortranarray(np.repeat(clean, 2, axis=0))[::2]
    return out


def cast(kind, most=None):
    """Return a maker of arrays of another type; integers are scaled to reach `most`."""

    def make(clean):
        if most is not None:
            clean = np.rint(clean / (np.abs(clean[np.isfinite(clean)]).max() or 1.0) * most)
        values = np.nan_to_num(clean, posinf=9.0).astype(kind)
        return values, values.astype(complex if values.dtype.kind == "c" else float)

    return make


def low_precision(clean):
    return cast(np.complex64 if clean.dtype.kind == "c" else np.float32)(clean)


def masked(clean, as_kind=None):
    """Return an array whose first entry is masked, and as a number would be another one."""
    values = with_first(clean, 7.0) if as_kind is None else np.rint(clean).astype(as_kind)
    mask = np.zeros(clean.shape, dtype=bool)
    mask.flat[0] = True
    plain = clean if as_kind is None else np.rint(clean)
    return np.ma.array(values, mask=mask), with_first(plain, np.nan)


def nullable(clean):
    frame = pd.DataFrame(clean).astype("Float64")
    frame.iloc[0, 0] = pd.NA
    return frame, with_first(clean, np.nan)


def decimals(clean):
    return np.vectorize(lambda v: Decimal(repr(float(v))), otypes=[object])(clean), clean


def refused(make):
    return lambda clean: (make(clean), REFUSED)


def filled(value, dtype=None):
    return refused(lambda clean: np.full(clean.shape, value, dtype=dtype))


KINDS = {
    # The same numbers, in another form.
    "list": Kind(lambda a: (a.tolist(), a)),
    "strided": Kind(lambda a: (strided(a), a)),
    "foreign": Kind(lambda a: (foreign(a), a)),
    "unmasked": Kind(lambda a: (np.ma.array(a, mask=np.zeros(a.shape, bool)), a)),
    "object": Kind(lambda a: (objects(a), a), may_be_refused=True),
    "tensor": Kind(lambda a: (torch.tensor(a), a), may_be_refused=True),
    "decimals": Kind(decimals, is_real, may_be_refused=True),
    "numeric strings": Kind(lambda a: (a.astype(str), a), is_real, may_be_refused=True),
    # Other types of number: everything becomes double precision.
    "single": Kind(low_precision),
    "half": Kind(cast("f2"), is_real),
    "int8": Kind(cast("i1", 120), is_real),
    "uint8": Kind(cast("u1", 250), is_real),
    "int16": Kind(cast("i2", 30_000), is_real),
    # Missing values.
    "masked": Kind(masked),
    "masked integers": Kind(lambda a: masked(a, int), is_real),
    "nullable": Kind(nullable, is_table, may_be_refused=True),
    # What is no array of numbers, or of numbers of another kind.
    "nan": Kind(refused(lambda a: with_first(a, np.nan))),
    "infinite": Kind(refused(lambda a: with_first(a, -np.inf))),
    "none": Kind(
        lambda a: (with_first(objects(a), None), with_first(a, np.nan)), is_real, True
    ),
    "complex": Kind(refused(lambda a: a + 1j), is_real),
    "complex list": Kind(refused(lambda a: (a + 1j).tolist()), is_real),
    "real": Kind(refused(lambda a: a.real.copy()), lambda a: not is_real(a)),
    "strings": Kind(filled("abc")),
    "objects": Kind(filled(object(), object)),
    "dates": Kind(filled("2020-01-01", "M8[D]")),
    "durations": Kind(filled(1, "m8[s]")),
    "generator": Kind(refused(lambda a: iter(a.tolist()))),
    "dictionary": Kind(refused(lambda a: {"a": a.tolist()})),
    "text": Kind(refused(lambda a: "abc")),
    "ragged": Kind(refused(lambda a: [[1.0], [1.0, 2.0]])),
    "sparse": Kind(
        refused(lambda a: scipy.sparse.csr_array(np.eye(*np.shape(a)[-2:]))),
        lambda a: a.ndim > 1,
    ),
    "gradient": Kind(refused(lambda a: torch.tensor(a, requires_grad=True))),
    "more axes": Kind(refused(lambda a: a[..., None, None])),
}
SHAPES = {
    "more rows": Kind(refused(lambda a: np.concatenate([a, a[:1]]))),
    "fewer rows": Kind(refused(lambda a: a[:-1])),
    "no rows": Kind(refused(lambda a: a[:0])),
    "more columns": Kind(refused(lambda a: np.concatenate([a, a[:, :1]], axis=1))),
    "fewer columns": Kind(refused(lambda a: a[:, :-1])),
    "zero": Kind(refused(lambda a: with_first(a, 0.0))),
    "negative": Kind(refused(lambda a: with_first(a, -1.0))),
}
"""Kinds that only some arguments refuse; each names those that it does."""


def frames(names):
    """Return kinds of data frames, for an argument whose columns have names."""

    def frame(clean, columns):
        return pd.DataFrame(clean, columns=columns)

    others = [*names[:-1], "other"]
    return {
        "frame": Kind(lambda a: (frame(a, names), a)),
        "frame in another order": Kind(lambda a: (frame(a, names)[names[::-1]], a)),
        "frame of other names": Kind(refused(lambda a: frame(a, others))),
        "frame without a name": Kind(refused(lambda a: frame(a, names)[names[1:]])),
        "frame with one name more": Kind(refused(lambda a: frame(a, names).assign(z=1.0))),
        "frame with a name twice": Kind(
            refused(lambda a: frame(a, names)[[*names, names[0]]])
        ),
    }
