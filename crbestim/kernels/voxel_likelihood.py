"""Rician likelihood of one voxel and its derivatives, with an amplitude to be searched.

What `least_squares.likelihood` computes for many voxels of any model, here for one voxel
whose signal is a compiled function. Data and signals are in units of the noise of their
samples: `Voxels.weights` are inverse noise, and `Voxels.factor` is the norm of the data. An
amplitude is the last variable, a share of its range.
"""

from collections import namedtuple

import numpy as np

from ._compile import borrowing
from .rician import log_likelihood, slope_and_information
from .voxel_residuals import (
    ENERGY,
    FREE,
    LEAST,
    MOST,
    NORM,
    RATIO,
    REAL,
    SPAN,
    load,
    load_data,
    norm,
    simulate_at,
)

N_STEPS, LEAST_SHARE = 6, 0.01
"""Steps towards the best amplitude at start values, and the least share to start from: at
an amplitude of zero, the likelihood is flat."""
NEARLY = 1 - 1e-9
"""Share of the largest norm of a signal from which on it ends the range of amplitudes."""
RANGE, ENDS_BY_NORM = ENERGY, FREE
"""Places, in the numbers of a voxel, of the range of the amplitude, and of whether it ends
where the signal has its largest norm; squares have no use for them."""

Law = namedtuple("Law", "level size reach polynomials")
"""Of Rician noise.

level : (n_voxels,), noise of samples of weight 1 over the norm of the data; size :
(n_voxels,), of which tolerances are shares; reach : largest norm of a signal over that of
the data; polynomials : from `rician.tables`.
"""

# Change of a share after which another step does not matter.
_SETTLED = 1e-9
_TINY = np.finfo(np.float64).tiny


@borrowing
def cost_of(task, law, i, voxel, place):
    """Write the amplitude of a signal; return the negative logarithm of its likelihood."""
    numbers = voxel.numbers
    if task.has_factor:
        find_range(law, i, voxel)
        numbers[REAL] = numbers[LEAST] + place[place.size - 1] * numbers[RANGE]
    else:
        # Like the data, which have unit norm.
        numbers[REAL] = 1.0 / numbers[NORM]
    return -log_likelihood(voxel.x, voxel.s, numbers[REAL], law.polynomials)


@borrowing
def find_range(law, i, voxel):
    """Write the range of the amplitude of a signal."""
    numbers = voxel.numbers
    size = max(norm(voxel.s) * law.level[i], _TINY)
    cap = min(numbers[MOST] - numbers[LEAST], law.reach / size)
    numbers[RANGE] = cap
    numbers[ENDS_BY_NORM] = 1.0 if cap * size >= law.reach * NEARLY else 0.0


@borrowing
def expand(task, law, voxel, place, g, h):
    """Write gradient and curvature of the cost computed last; return if they are finite."""
    s, ds, jac, numbers, box, n = (
        voxel.s, voxel.ds, voxel.jac, voxel.numbers, task.box, place.size,
    )  # fmt: skip
    amplitude, energy = numbers[REAL], 0.0
    for f in range(s.size):
        energy += s[f] * s[f]
    for k in range(task.columns.size):
        column, by_signal = task.columns[k], 0.0
        slope = box[SPAN, k] * (voxel.theta[column] if box[RATIO, k] > 0.0 else 1.0)
        if task.has_factor and numbers[ENDS_BY_NORM]:
            # The range changes with the signal.
            for f in range(s.size):
                by_signal -= s[f] * ds[column, f]
            by_signal *= place[n - 1] * numbers[RANGE] / energy
        for f in range(s.size):
            jac[k, f] = (amplitude * ds[column, f] + by_signal * s[f]) * slope
    if task.has_factor:
        for f in range(s.size):
            jac[n - 1, f] = numbers[RANGE] * s[f]
    for k in range(n):
        g[k] = 0.0
        for j in range(k + 1):
            h[k, j] = 0.0
    for f in range(s.size):
        by_signal, weight = slope_and_information(
            voxel.x[f], amplitude * s[f], law.polynomials
        )
        for k in range(n):
            g[k] -= jac[k, f] * by_signal
            for j in range(k + 1):
                h[k, j] += weight * jac[k, f] * jac[j, f]
    total = 0.0
    for k in range(n):
        total += g[k]
        for j in range(k + 1):
            h[j, k] = h[k, j]
            total += h[k, j]
    return np.isfinite(total)


@borrowing(nogil=True)
def start_amplitudes(first, last, form, task, voxels, chosen, law, places, voxel):
    """Write the last variable of some places, the share of the best amplitude there.

    chosen : (n,) numbers of the voxels; places : (n, n_variables).
    """
    for j in range(first, last):
        i = chosen[j]
        load(task, voxels, i, voxel)
        load_data(task, voxels, i, voxel)
        simulate_at(form, task, places[j], voxel, False)
        find_range(law, i, voxel)
        places[j, places.shape[1] - 1] = _best_share(law, voxel)


@borrowing
def _best_share(law, voxel):
    """Return the share of the range at the amplitude of largest likelihood."""
    x, s, least, cap = voxel.x, voxel.s, voxel.numbers[LEAST], voxel.numbers[RANGE]
    along = energy = 0.0
    for f in range(x.size):
        along += s[f] * x[f]
        energy += s[f] * s[f]
    share = (along / energy - least) / cap
    # NaN counts as zero.
    share = min(max(share, LEAST_SHARE), 1.0) if share == share else LEAST_SHARE
    for _ in range(N_STEPS):
        amplitude, slope, curvature = least + share * cap, 0.0, 0.0
        for f in range(x.size):
            by_signal, weight = slope_and_information(
                x[f], amplitude * s[f], law.polynomials
            )
            slope += by_signal * s[f]
            curvature += weight * s[f] * s[f]
        last, share = share, share + slope / curvature / cap
        share = min(max(share, LEAST_SHARE), 1.0) if share == share else 0.5
        if abs(share - last) <= _SETTLED:
            break
    return share
