"""Values that are made from a few others: how to take them apart, and make them again."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
from scipy import stats

from ..exceptions import SavedFileError
from ._arrays import can_store, checked_dtype

# Philox trusts its state, which could then point anywhere in memory.
_BITS = ("MT19937", "PCG64", "PCG64DXSM", "SFC64")


@dataclass(frozen=True)
class Form:
    """A kind of values: which belong to it, their parts, and the value of some parts."""

    holds: Callable
    parts: Callable
    make: Callable


def form_of(value):
    """Return the name of the form that a value has, or None."""
    return next((name for name, form in FORMS.items() if form.holds(value)), None)


def _exactly(kind):
    return lambda value: type(value) is kind


def _dict(*parts):
    return dict(zip(parts[::2], parts[1::2], strict=True))


def _scalar_parts(value):
    return value.dtype.str, np.array(value).tobytes().hex()


def _scalar(text, digits):
    (value,) = np.frombuffer(bytes.fromhex(digits), checked_dtype(text))
    return value


def _objects(shape, values):
    array = np.empty(len(values), object)
    for i, value in enumerate(values):
        array[i] = value
    return array.reshape(shape)


def _is_objects(value):
    return type(value) is np.ndarray and value.dtype == object


def _seed(entropy, spawn_key, pool_size, n_children_spawned):
    options = dict(pool_size=pool_size, n_children_spawned=n_children_spawned)
    if not isinstance(pool_size, int) or not 4 <= pool_size <= 1024:
        raise SavedFileError(f"it holds a seed of {pool_size!r} words")
    return np.random.SeedSequence(entropy, spawn_key=spawn_key, **options)


def _seed_parts(value):
    return value.entropy, value.spawn_key, value.pool_size, value.n_children_spawned


def _bits(name, seed, state):
    """Return a bit generator of a state."""
    if name not in _BITS:
        raise SavedFileError(f"it holds a random generator {name!r}")
    place = state["state"].get("pos", 0)
    if not 0 <= place <= 624:
        raise SavedFileError(f"it holds a random generator at place {place}")
    bits = getattr(np.random, name)(seed)
    bits.state = state
    return bits


def _is_generator(value):
    kind = type(value)
    return kind is np.random.Generator and type(value.bit_generator).__name__ in _BITS


def _is_random_state(value):
    kind = type(value)
    return (
        kind is np.random.RandomState and value.get_state(False)["bit_generator"] in _BITS
    )


def _generator_parts(value):
    bits = value.bit_generator
    return type(bits).__name__, bits.seed_seq, bits.state


def _random_state(state):
    made = np.random.RandomState(_bits(state["bit_generator"], 0, {"state": {}} | state))
    made.set_state(state)
    return made


def _is_frozen(value):
    """Return whether a value is a frozen distribution of SciPy, known by name."""
    made = getattr(value, "dist", None)
    kind = type(getattr(stats, str(getattr(made, "name", None)), None))
    is_known = issubclass(kind, stats.rv_continuous | stats.rv_discrete)
    return is_known and type(made) is kind and type(value).__module__.startswith("scipy.")


def _frozen(name, arguments, options):
    kind = getattr(stats, name, None)
    if not isinstance(kind, stats.rv_continuous | stats.rv_discrete):
        raise SavedFileError(f"it holds the distribution {name!r}, which SciPy lacks")
    return kind(*arguments, **options)


FORMS = {
    "list": Form(_exactly(list), tuple, lambda *parts: list(parts)),
    "tuple": Form(_exactly(tuple), tuple, lambda *parts: parts),
    "set": Form(_exactly(set), tuple, lambda *parts: set(parts)),
    "frozenset": Form(_exactly(frozenset), tuple, lambda *parts: frozenset(parts)),
    "dict": Form(
        _exactly(dict),
        lambda value: [part for item in value.items() for part in item],
        _dict,
    ),
    # Those that are not finite.
    "float": Form(_exactly(float), lambda value: (repr(value),), float),
    "complex": Form(_exactly(complex), lambda value: (value.real, value.imag), complex),
    "bytes": Form(_exactly(bytes), lambda value: (value.hex(),), bytes.fromhex),
    "slice": Form(_exactly(slice), lambda v: (v.start, v.stop, v.step), slice),
    "dtype": Form(
        lambda value: isinstance(value, np.dtype) and can_store(value),
        lambda value: (value.str,),
        checked_dtype,
    ),
    "scalar": Form(
        lambda value: isinstance(value, np.generic) and can_store(value.dtype),
        _scalar_parts,
        _scalar,
    ),
    "objects": Form(
        _is_objects,
        lambda value: (list(value.shape), value.ravel().tolist()),
        _objects,
    ),
    "seed": Form(_exactly(np.random.SeedSequence), _seed_parts, _seed),
    "generator": Form(
        _is_generator,
        _generator_parts,
        lambda *parts: np.random.Generator(_bits(*parts)),
    ),
    "random state": Form(
        _is_random_state,
        lambda value: (value.get_state(legacy=False),),
        _random_state,
    ),
    "frozen": Form(_is_frozen, lambda v: (v.dist.name, tuple(v.args), v.kwds), _frozen),
    "partial": Form(
        _exactly(partial),
        lambda value: (value.func, value.args, value.keywords),
        lambda function, parts, options: partial(function, *parts, **options),
    ),
}
