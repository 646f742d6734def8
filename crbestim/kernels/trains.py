"""Signals of pulse trains from their echo-to-echo maps; no physics.

Row i of `index` names the map of repetition i, which leads from echo i - 1 to echo i.
With x the state and t its derivatives (one column a parameter),

    x_i = A_i x_{i-1} + b_i,     t_i = A_i t_{i-1} + dA_i x_{i-1} + db_i .

 1. Initial echo. Thermal start: echo 0 follows from equilibrium by map 0. Periodic
    steady state: the maps of one cycle (1, 2, .., N-1, then 0) compose to (A, b), and
    x_0 = (I - A)^-1 b. The derivative is linear in its initial value too, so one pass
    from t_0 = 0 to the end of the cycle gives t_end, and t_0 = (I - A)^-1 t_end.
 2. A last pass from (x_0, t_0) accumulates basis^T (x_i + 1j y_i) as it goes, or
    stores each sample where there is no basis.
"""

import numpy as np
from numba import njit


@njit(cache=True, error_model="numpy")
def step(a, da, x, t, x_new, t_new):
    """Advance the state and its derivatives by one map."""
    n, n_derivatives = a.shape[0], t.shape[1]
    for i in range(n):
        value = a[i, n]
        for p in range(n_derivatives):
            t_new[i, p] = da[i, n, p]
        for j in range(n):
            left, right = a[i, j], x[j]
            value += left * right
            for p in range(n_derivatives):
                t_new[i, p] += left * t[j, p] + right * da[i, j, p]
        x_new[i] = value


@njit(cache=True, error_model="numpy")
def cycle(maps, index):
    """Compose one whole cycle, repetitions 1, 2, .., N-1, 0, to one map."""
    n = maps.shape[1]
    total, scratch = np.zeros((n, n + 1)), np.empty((n, n + 1))
    for i in range(n):
        total[i, i] = 1.0
    for k in range(1, index.size + 1):
        a = maps[index[k % index.size]]
        for i in range(n):
            for j in range(n + 1):
                value = a[i, n] if j == n else 0.0
                for m in range(n):
                    value += a[i, m] * total[m, j]
                scratch[i, j] = value
        total, scratch = scratch, total
    return total


@njit(cache=True, error_model="numpy")
def periodic_state(maps, dmaps, index, x, t):
    """Write the state at echo 0 in the periodic steady state, and its derivatives."""
    n = x.size
    total = cycle(maps, index)
    resolvent = np.linalg.inv(np.eye(n) - total[:, :n])
    x[:] = 0.0
    for i in range(n):
        for j in range(n):
            x[i] += resolvent[i, j] * total[j, n]
    if t.shape[1] == 0:
        return
    t[:] = 0.0
    state, tangent = x.copy(), t.copy()
    next_state, next_tangent = np.empty_like(x), np.empty_like(t)
    for k in range(1, index.size + 1):
        m = index[k % index.size]
        step(maps[m], dmaps[m], state, tangent, next_state, next_tangent)
        state, next_state = next_state, state
        tangent, next_tangent = next_tangent, tangent
    for i in range(n):
        for j in range(n):
            for p in range(t.shape[1]):
                t[i, p] += resolvent[i, j] * tangent[j, p]


@njit(cache=True, error_model="numpy")
def play(maps, dmaps, index, x, t, basis, s, ds):
    """Run the train from echo 0 and add its samples to the outputs.

    x, t : state at echo 0 and its derivatives; overwritten.
    basis : (N, n_components) real, or (0, 0) to store the samples themselves.
    s : (2, n_components or N), real and imaginary part; ds : the same, times n_parameters.
    """
    next_x, next_t = np.empty_like(x), np.empty_like(t)
    n_derivatives, n_components = t.shape[1], basis.shape[1]
    for k in range(index.size):
        if k > 0:
            m = index[k]
            step(maps[m], dmaps[m], x, t, next_x, next_t)
            x, next_x = next_x, x
            t, next_t = next_t, t
        for part in range(2):
            if n_components == 0:
                s[part, k] = x[part]
                ds[part, k] = t[part]
            for c in range(n_components):
                weight = basis[k, c]
                s[part, c] += weight * x[part]
                for p in range(n_derivatives):
                    ds[part, c, p] += weight * t[part, p]
