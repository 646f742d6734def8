"""Matrix product that spreads values at a few nodes over many pulses.

out[i, e] = sum_k weights[i, k] values[k, e], the entries e innermost so that they fill
the vector registers. Eight nodes and two pulses a sweep keep sixteen multiply-adds
for every two stores. The order of the sum does not depend on threads or chunks.
"""

from numba import njit

NODES_PER_SWEEP = 8
PULSES_PER_SWEEP = 2


@njit(cache=True, error_model="numpy", fastmath={"contract"})
def interpolate(weights, values, out):
    """Write weights @ values to `out`.

    The number of nodes is a multiple of 8, that of pulses (rows) a multiple of 2;
    `interpolation_weights` pads with zeros.
    """
    n_entries = values.shape[1]
    for i in range(0, weights.shape[0], 2):
        w, u = weights[i], weights[i + 1]
        y, z = out[i], out[i + 1]
        y[:] = 0.0
        z[:] = 0.0
        for k in range(0, weights.shape[1], 8):
            w0, w1, w2, w3 = w[k], w[k + 1], w[k + 2], w[k + 3]
            w4, w5, w6, w7 = w[k + 4], w[k + 5], w[k + 6], w[k + 7]
            u0, u1, u2, u3 = u[k], u[k + 1], u[k + 2], u[k + 3]
            u4, u5, u6, u7 = u[k + 4], u[k + 5], u[k + 6], u[k + 7]
            v0, v1, v2, v3 = values[k], values[k + 1], values[k + 2], values[k + 3]
            v4, v5, v6, v7 = values[k + 4], values[k + 5], values[k + 6], values[k + 7]
            for e in range(n_entries):
                a, b, c, d = v0[e], v1[e], v2[e], v3[e]
                f, g, h, j = v4[e], v5[e], v6[e], v7[e]
                y[e] += (w0 * a + w1 * b + w2 * c + w3 * d) + (
                    w4 * f + w5 * g + w6 * h + w7 * j
                )
                z[e] += (u0 * a + u1 * b + u2 * c + u3 * d) + (
                    u4 * f + u5 * g + u6 * h + u7 * j
                )
