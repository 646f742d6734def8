r"""Spoiled echoes of two exchanging pools behind off-resonance saturation pulses.

The longitudinal magnetization z = (free, semi-solid), of the equilibrium
m = (1 - m0s, m0s), obeys

    dz_f/dt = -(R1f + Rx m0s + W_f) z_f + Rx (1 - m0s) z_s + R1f (1 - m0s)
    dz_s/dt = Rx m0s z_f - (R1s + Rx (1 - m0s) + W_s) z_s + R1s m0s,

or dz/dt = A z + r = A (z - q). A pulse of the mean square amplitude w1^2, at the distance
omega from the resonance, saturates at the rates W = pi w1^2 g(omega), constant while it
lasts: the free pool by its Lorentzian line,

    W_f = w1^2 R2f / (R2f^2 + omega^2),

the semi-solid one as in `absorption` (Sled & Pike, MRM 2001, doi 10.1002/mrm.1278). From
before one excitation to before the next

 1. excitation:  y = (z_f cos(B1 alpha), z_s e^-h),  h that of a short pulse on resonance,
 2. recovery:    u = m + D2 (y - m),  D2 = e^(A t) without saturation,
 3. saturation:  v = q + P (u - q),   P = e^(A t) with saturation,
 4. recovery:    z = m + D1 (v - m),

and the signal is z_f sin(B1 alpha) of the z that this leaves as it is. With K the
derivative of 1 to 4 by z, the derivatives of the signal by all that is inside the steps are
those of the steps at this z, weighed by the solution of (1 - K)^T w = (sin(B1 alpha), 0),
and are followed backwards from step to step. A "bar" is the derivative of the signal by
what has the name before it.

Pairs are (free, semi-solid), and matrices are tuples of their four entries, row by row.
"""

import math

from ._compile import njit
from .absorption import absorption
from .closed_forms import measure

M0S, R1, R1F, R2F, RX, R1S, T2S, OMEGA0, B1 = range(9)
# Rows of the settings; between them and the last one is the table of the line shape.
ALPHA, TR, DURATION, DELAY, OMEGA, POWER, EXCITATION, N_SETTINGS = range(8)
_SERIES = 0.01  # below this q^2, sinh q / q and the like are Taylor polynomials


@njit
def saturated_echo(settings, theta, s, ds):
    """Write the signal and its derivatives; a form, see `closed_forms`.

    theta : m0s, R1, R1f, R2f, Rx, R1s, T2s, omega0, B1; R1 adds to R1f and to R1s.
    settings : alpha and tr; the duration of the saturation pulse, the delay from its end to
    the excitation, its offset, in rad/s, and its w1^2, in (rad/s)^2; the w1^2 of excitation
    pulses times their duration; the table.
    """
    table, free = settings[N_SETTINGS:-1].reshape(-1), generator(theta, 0.0, 0.0)
    m, power = (1.0 - theta[M0S], theta[M0S]), theta[B1] ** 2
    r1 = theta[R1] + theta[R1F], theta[R1] + theta[R1S]
    on_resonance = absorption(table, theta[OMEGA0], theta[T2S])
    delay = recovery = 0.0
    early = late = exponential(free, 0.0)
    for f in range(settings.shape[1]):
        duration, alpha = settings[DURATION, f], settings[ALPHA, f]
        if settings[DELAY, f] != delay:
            delay = settings[DELAY, f]
            early = exponential(free, delay)
        if settings[TR, f] - duration - delay != recovery:
            recovery = settings[TR, f] - duration - delay
            late = exponential(free, recovery)
        omega, w2 = settings[OMEGA, f] - theta[OMEGA0], power * settings[POWER, f]
        of_free = lorentzian(omega, theta[R2F])
        of_bound = absorption(table, omega, theta[T2S])
        rates = generator(theta, w2 * of_free[0], w2 * of_bound[0])
        pulse = exponential(rates, duration)
        q = solve(rates, (-r1[0] * m[0], -r1[1] * m[1]))
        sine, on2 = math.sin(alpha * theta[B1]), power * settings[EXCITATION, f]
        tipped = math.cos(alpha * theta[B1]), math.exp(-on2 * on_resonance[0])
        k = times(times(early, pulse), late)
        lost = (
            1.0 - k[0] * tipped[0],
            -k[1] * tipped[1],
            -k[2] * tipped[0],
            1.0 - k[3] * tipped[1],
        )
        z = solve(lost, steps((0.0, 0.0), tipped, late, pulse, early, m, q)[3])
        s[f] = sine * z[0]
        if not len(ds):
            continue
        weight = solve(transposed(lost), (sine, 0.0))
        states = steps(z, tipped, late, pulse, early, m, q)
        decays, lasting = (early, pulse, late), (delay, duration, recovery)
        m_bar, source_bar, y_bar, a_bar, w_bar = backwards(
            weight, states, decays, lasting, free, rates, m, q
        )
        out, back = a_bar[2] - a_bar[0], a_bar[1] - a_bar[3]
        ds[M0S, f] = m_bar[1] + source_bar[1] * r1[1] - m_bar[0] - source_bar[0] * r1[0]
        ds[M0S, f] += theta[RX] * (out - back)
        ds[RX, f] = out * m[1] + back * m[0]
        ds[R1F, f] = source_bar[0] * m[0] - a_bar[0]
        ds[R1S, f] = source_bar[1] * m[1] - a_bar[3]
        ds[R1, f] = ds[R1F, f] + ds[R1S, f]
        by_free, by_bound = w2 * w_bar[0], w2 * w_bar[1]
        by_on = -on2 * y_bar[1] * z[1] * tipped[1]
        ds[R2F, f] = by_free * of_free[2]
        ds[T2S, f] = by_bound * of_bound[2] + by_on * on_resonance[2]
        ds[OMEGA0, f] = by_on * on_resonance[1]
        ds[OMEGA0, f] -= by_free * of_free[1] + by_bound * of_bound[1]
        of_power = by_free * of_free[0] + by_bound * of_bound[0] + by_on * on_resonance[0]
        of_angle = math.cos(alpha * theta[B1]) * z[0] - sine * y_bar[0] * z[0]
        ds[B1, f] = 2.0 * of_power / theta[B1] + alpha * of_angle
    measure(settings, theta, s, ds)


@njit
def generator(theta, w_f, w_s):
    """Return the matrix A at rates of saturation."""
    r1, out, back = theta[R1], theta[RX] * theta[M0S], theta[RX] * (1.0 - theta[M0S])
    return -(r1 + theta[R1F] + out + w_f), back, out, -(r1 + theta[R1S] + back + w_s)


@njit
def lorentzian(omega, r2):
    """Return W / w1^2 of the free pool, and its derivatives by omega and by R2."""
    line = r2 / (r2 * r2 + omega * omega)
    return line, -2.0 * omega * line * line / r2, (1.0 - 2.0 * r2 * line) * line / r2


@njit
def times(a, b):
    """Return the product of two matrices."""
    return (
        a[0] * b[0] + a[1] * b[2],
        a[0] * b[1] + a[1] * b[3],
        a[2] * b[0] + a[3] * b[2],
        a[2] * b[1] + a[3] * b[3],
    )


@njit
def solve(a, b):
    """Return the pair x that solves a x = b."""
    scale = 1.0 / (a[0] * a[3] - a[1] * a[2])
    return scale * (a[3] * b[0] - a[1] * b[1]), scale * (a[0] * b[1] - a[2] * b[0])


@njit
def relaxed(decay, x, end):
    """Return what is left of a pair x on its way to an end."""
    x0, x1 = x[0] - end[0], x[1] - end[1]
    return end[0] + decay[0] * x0 + decay[1] * x1, end[1] + decay[2] * x0 + decay[3] * x1


@njit
def steps(z, tipped, late, pulse, early, m, q):
    """Return what each of the steps 1 to 4 leaves, from z on."""
    y = z[0] * tipped[0], z[1] * tipped[1]
    u = relaxed(late, y, m)
    v = relaxed(pulse, u, q)
    return y, u, v, relaxed(early, v, m)


@njit
def exponential(a, time):
    """Return e^(a time) in four entries, then its sinh q / q, and the slope of that by q^2.

    The eigenvalues of the matrix, mean - q and mean + q, are real.
    """
    mean, delta = 0.5 * time * (a[0] + a[3]), 0.5 * time * (a[0] - a[3])
    fs, sf = time * a[1], time * a[2]
    q2 = delta * delta + fs * sf
    if q2 > _SERIES:
        q = math.sqrt(q2)
        # Apart, since cosh q may be too large for a number.
        slow, fast = math.exp(mean + q), math.exp(mean - q)
        cosh, sinh = 0.5 * (slow + fast), 0.5 * (slow - fast) / q
        slope = 0.5 * (cosh - sinh) / q2
    else:
        decay = math.exp(mean)
        cosh = decay * (1 + q2 / 2 * (1 + q2 / 12 * (1 + q2 / 30 * (1 + q2 / 56))))
        sinh = decay * (1 + q2 / 6 * (1 + q2 / 20 * (1 + q2 / 42 * (1 + q2 / 72))))
        slope = decay * (1 + q2 / 10 * (1 + q2 / 28 * (1 + q2 / 54))) / 6
    return cosh + delta * sinh, fs * sinh, sf * sinh, cosh - delta * sinh, sinh, slope


@njit
def exponential_bar(a, time, decay, left, right):
    """Return the bar of a matrix, if that of its exponential is a column times a row."""
    delta, fs, sf = 0.5 * time * (a[0] - a[3]), time * a[1], time * a[2]
    ff_bar, fs_bar = left[0] * right[0], left[0] * right[1]
    sf_bar, ss_bar = left[1] * right[0], left[1] * right[1]
    mean_bar = ff_bar * decay[0] + fs_bar * decay[1] + sf_bar * decay[2] + ss_bar * decay[3]
    sinh, slope, unlike = decay[4], decay[5], ff_bar - ss_bar
    q2_bar = 0.5 * (ff_bar + ss_bar) * sinh
    q2_bar += (delta * unlike + fs * fs_bar + sf * sf_bar) * slope
    delta_bar = sinh * unlike + 2.0 * delta * q2_bar
    return (
        0.5 * time * (mean_bar + delta_bar),
        time * (sinh * fs_bar + sf * q2_bar),
        time * (sinh * sf_bar + fs * q2_bar),
        0.5 * time * (mean_bar - delta_bar),
    )


@njit
def minus(x, y):
    """Return the difference of two pairs."""
    return x[0] - y[0], x[1] - y[1]


@njit
def transposed(a):
    """Return the transpose of a matrix."""
    return a[0], a[2], a[1], a[3]


@njit
def turned_back(a, x):
    """Return the transpose of a matrix times a pair."""
    return a[0] * x[0] + a[2] * x[1], a[1] * x[0] + a[3] * x[1]


@njit
def backwards(weight, states, decays, lasting, free, rates, m, q):
    """Return the bars of m, r, y, of A in all steps, and of (W_f, W_s).

    weight : the bar of the z that step 4 leaves.
    """
    (y, u, v, _), (early, pulse, late) = states, decays
    v_bar = turned_back(early, weight)
    u_bar = turned_back(pulse, v_bar)
    y_bar = turned_back(late, u_bar)
    a = exponential_bar(free, lasting[0], early, weight, minus(v, m))
    b = exponential_bar(rates, lasting[1], pulse, v_bar, minus(u, q))
    c = exponential_bar(free, lasting[2], late, u_bar, minus(y, m))
    # From A q = -r.
    r_bar = solve(transposed(rates), minus(u_bar, v_bar))
    b = (
        b[0] + r_bar[0] * q[0],
        b[1] + r_bar[0] * q[1],
        b[2] + r_bar[1] * q[0],
        b[3] + r_bar[1] * q[1],
    )
    into, out_of = minus(weight, v_bar), minus(u_bar, y_bar)
    m_bar = into[0] + out_of[0], into[1] + out_of[1]
    a_bar = a[0] + b[0] + c[0], a[1] + b[1] + c[1], a[2] + b[2] + c[2], a[3] + b[3] + c[3]
    return m_bar, r_bar, y_bar, a_bar, (-b[0], -b[3])
