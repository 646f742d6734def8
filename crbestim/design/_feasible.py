"""The acquisitions that limits allow: a convex set in the space of the controls.

Limits are of two kinds: linear ones of one or two neighbouring controls, ``h - G x >= 0``;
and sums over many, of the duration or of the RF power of each train,
``sum(alpha^2 / trf) <= gamma^2 b1rms^2 sum(TR)``. Both are convex where trf > 0, so that
what lies between two allowed acquisitions is allowed.
"""

from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_matrix

from ..models._controls import duration_of, settings_of
from ._space import GAMMA, ControlSpace

# Rounding that is no excess.
_ROUNDING = 1e-12
# How far from the least power and time a place with room to all limits is looked for.
_SHARES = 0.5, 0.3, 0.1, 0.03, 0.01, 1e-3, 1e-4, 1e-5, 1e-6


@dataclass(frozen=True)
class _Sum:
    """A limit ``1 - total >= 0`` of the controls at `places`."""

    places: np.ndarray
    largest: float
    fixed: float = 0.0

    def total(self, u):
        """Return the share of the limit that is used."""
        return (self._used(u[self.places]) + self.fixed) / self.largest


class _Duration(_Sum):
    """Repetition times, (n,), and a duration."""

    def _used(self, tr):
        return tr.sum()

    def slopes(self, u):
        """Return derivatives of the share."""
        return np.full(len(self.places), 1 / self.largest)

    def curvature(self, u):
        """Return vectors v of which v v^T are the blocks of the Hessian."""
        return np.zeros(len(self.places))


class _Power(_Sum):
    """Flip angles and durations of the pulses of a train, (2, n)."""

    def _used(self, part):
        return (part[0] ** 2 / part[1]).sum()

    def slopes(self, u):
        """Return derivatives of the share."""
        w1 = np.divide(*u[self.places])
        return np.stack([2 * w1, -(w1**2)]) / self.largest

    def curvature(self, u):
        """Return vectors v of which v v^T are the blocks of the Hessian, one a pulse."""
        alpha, trf = u[self.places]
        return np.stack([np.ones_like(alpha), -alpha / trf]) * np.sqrt(
            2 / trf / self.largest
        )


class FeasibleSet:
    """What limits allow of the acquisitions of a model.

    Attributes
    ----------
    space : ControlSpace
        The controls.
    G : sparse matrix of shape (n_limits, n)
        Linear limits, ``h - G x >= 0``.
    h : ndarray of shape (n_limits,)
        What they allow.
    sums : list
        Limits of many controls together.
    """

    def __init__(self, model, limits):
        self.space, self.limits = ControlSpace(model, limits), limits
        n = len(self.space.free)
        self._where = np.full(len(self.space.start), -1)
        self._where[self.space.free] = np.arange(n)
        self._set_rows(*(np.concatenate(part) for part in zip(*self._rows(), strict=True)))
        self.sums = self._all_sums()

    def _rows(self):
        """Yield linear limits: two places in x, factors, and what the sum is at most."""
        space, where = self.space, self._where
        every = np.arange(len(space.free))
        ones, zeros = np.ones(len(every)), np.zeros(len(every))
        yield every, every, ones, zeros, ones
        yield every, every, -ones, zeros, zeros
        base = np.where(where >= 0, space.low, space.start)
        step = np.where(where >= 0, space.high - space.low, 0.0)
        for p, q, cp, cq, most in self._pairs():
            some = (where[p] >= 0) | (where[q] >= 0)
            p, q = p[some], q[some]
            rest = most - cp * base[p] - cq * base[q]
            gp, gq = cp * step[p], cq * step[q]
            # A value that is held takes no part.
            i, j = where[p], where[q]
            i, j = np.where(i < 0, j, i), np.where(j < 0, i, j)
            size = np.maximum(np.abs(gp), np.abs(gq))
            yield i, j, gp / size, gq / size, rest / size

    def _set_rows(self, i, j, gi, gj, h):
        n, row = len(self.space.free), np.arange(len(h))
        entries = np.concatenate([gi, gj])
        index = np.concatenate([row, row]), np.concatenate([i, j])
        self.G = csr_matrix((entries, index), shape=(len(row), n))
        self.GT, self.h = self.G.T.tocsr(), h
        self._width = max(int(np.abs(i - j).max()), len(self.space.names) - 1)
        # Where G^T D G has the products of both entries of a row.
        same = np.where(i == j, (gi + gj) ** 2, 0.0)
        self._squares = csr_matrix(
            (
                np.concatenate([np.where(i == j, same, gi**2), np.where(i == j, 0, gj**2)]),
                (np.concatenate([i, j]), np.concatenate([row, row])),
            ),
            shape=(n, len(row)),
        )
        pair = np.flatnonzero(i != j)
        first, last = np.minimum(i, j)[pair], np.maximum(i, j)[pair]
        self._products = csr_matrix(
            ((gi * gj)[pair], ((self._width - (last - first)) * n + last, pair)),
            shape=((self._width + 1) * n, len(row)),
        )

    def _pairs(self):
        """Yield limits of two values: places, factors and what the sum is at most."""
        space, limits = self.space, self.limits
        if {"alpha", "trf"} <= set(space.names) and limits.b1max is not None:
            places = [np.arange(first + 1, end) for first, end in space.trains]
            samples = np.concatenate(places)
            p, q = space.place("alpha", samples), space.place("trf", samples)
            fastest = GAMMA * limits.b1max
            for sign, largest in ((1.0, space.high[p]), (-1.0, -space.low[p])):
                some = largest > fastest * space.low[q]
                yield p[some], q[some], sign, -fastest, 0.0
        if limits.alpha_step is not None:
            n_held = 0 if space.sequence is None else 1
            places = [np.arange(first + n_held, end - 1) for first, end in space.trains]
            p = space.place("alpha", np.concatenate(places))
            yield p, p + 1, 1.0, -1.0, limits.alpha_step
            yield p, p + 1, -1.0, 1.0, limits.alpha_step

    def _all_sums(self):
        found, space, limits = [], self.space, self.limits
        if {"alpha", "trf"} <= set(space.names) and limits.b1rms is not None:
            for first, end in space.trains:
                samples = np.arange(first, end)
                places = np.stack([space.place(k, samples) for k in ("alpha", "trf")])
                largest = (GAMMA * limits.b1rms) ** 2 * len(samples) * space.sequence.tr
                found.append(_Power(places, largest))
        if limits.duration is not None:
            total, is_free = duration_of(space.model), "tr" in space.names
            places = space.places_of("tr") if is_free else np.empty(0, dtype=int)
            before = space.join(settings_of(space.model)[1])[places].sum()
            found.append(_Duration(places, limits.duration, total - before))
        return found

    def slacks(self, x):
        """Return what is left of the linear limits, and of the sums."""
        u = self.space.complete(x)
        return self.h - self.G @ x, np.array([1 - s.total(u) for s in self.sums])

    def slopes(self, x):
        """Return derivatives of the sums by x, (n_sums, n)."""
        u = self.space.complete(x)
        rows = np.zeros((len(self.sums), len(u)))
        for row, one in zip(rows, self.sums, strict=True):
            row[one.places] = one.slopes(u)
        return rows[:, self.space.free] * self.space.scale

    def banded(self, x, of_rows, of_sums):
        """Return G^T D G + sum z Hessian in the upper form of `scipy.linalg`."""
        n, width = len(x), self._width
        band = (self._products @ of_rows).reshape(width + 1, n)
        band[-1] += self._squares @ of_rows
        u = self.space.complete(x)
        for one, z in zip(self.sums, of_sums, strict=True):
            v = np.zeros(len(u))
            v[one.places] = one.curvature(u)
            v = v[self.space.free] * self.space.scale
            band[-1] += z * v**2
            if one.places.ndim == 2:
                p, q = self._where[one.places]
                both = (p >= 0) & (q >= 0)
                p, q = p[both], q[both]
                band[width - np.abs(q - p), np.maximum(p, q)] += z * v[p] * v[q]
        return band

    def keeps(self, x):
        """Return whether x keeps all limits."""
        return all((part >= 0).all() for part in self.slacks(x))

    def interior(self):
        """Return x that keeps all limits with room, or raise an error that names one."""
        space = self.space
        low, high = space.low, space.high
        # Little power and short times: angles near 0, long pulses, all else small.
        cheap, rich = low.copy(), high.copy()
        if "trf" in space.names:
            longest = space.places_of("trf")
            cheap[longest], rich[longest] = high[longest], low[longest]
        if "alpha" in space.names:
            angles = space.places_of("alpha")
            cheap[angles] = np.clip(0.0, low[angles], high[angles])
            rich[angles] = np.where(cheap[angles] < high[angles], high[angles], low[angles])
        for share in _SHARES:
            x = space.shares(cheap + share * (rich - cheap))
            if all((part > 0).all() for part in self.slacks(x)):
                return x
        self._refuse(space.complete(space.shares(cheap)))
        raise ValueError("limits contradict each other: no acquisition keeps all of them.")

    def _refuse(self, u):
        """Say which limit cannot be kept, at the least power and the least time."""
        limits, space = self.limits, self.space
        for k, one in enumerate(self.sums):
            if one.total(u) < 1:
                continue
            if isinstance(one, _Duration):
                raise ValueError(
                    f"duration = {one.largest:g} s cannot be kept: the shortest repetition "
                    f"times take {one.total(u) * one.largest:.6g} s."
                )
            least = limits.b1rms * np.sqrt(one.total(u))
            raise ValueError(
                f"b1rms = {limits.b1rms:g} T cannot be kept: pulse 0{space.label_of(k)}, "
                "which stays as it is, with the least angles and the longest pulses has "
                f"{least:.4g} T; raise b1rms, or start from a weaker inversion pulse."
            )
        if {"alpha", "trf"} <= set(space.names) and limits.b1max is not None:
            raise ValueError(
                f"b1max = {limits.b1max:g} T cannot be kept by flip angles of "
                f"{limits.alpha} rad in {limits.trf} s; raise b1max or trf, or lower alpha."
            )


def violation(model, limits):
    """Return the largest excess of a model's acquisition over limits, relative to them.

    It is computed from the acquisition itself, not by what the search uses.
    """
    space, values = ControlSpace(model, limits), settings_of(model)[1]
    u, free = space.join(values), space.free
    over = np.maximum(u - space.high, space.low - u)[free] / space.scale
    excess = [0.0, over.max()]
    if limits.duration is not None:
        excess.append(duration_of(model) / limits.duration - 1)
    alpha, trf = values.get("alpha"), values.get("trf")
    for first, end in space.trains:
        start = first if space.sequence is None else first + 1
        if limits.alpha_step is not None and end - start > 1:
            largest = np.abs(np.diff(alpha[start:end])).max()
            excess.append(largest / limits.alpha_step - 1)
        if trf is None:
            continue
        w1 = alpha[first:end] / trf[first:end]
        if limits.b1max is not None:
            excess.append(np.abs(w1).max() / (GAMMA * limits.b1max) - 1)
        if limits.b1rms is not None:
            power = (w1**2 * trf[first:end]).sum() / ((end - first) * space.sequence.tr)
            excess.append(np.sqrt(power) / (GAMMA * limits.b1rms) - 1)
    largest = max(excess)
    return float(largest) if largest > _ROUNDING else 0.0
