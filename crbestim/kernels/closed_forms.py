r"""Signals in closed form, and their derivatives, of one voxel.

Each is a function of the signature `pointers.FORM`. The last of its parameters belongs to
what is measured: the amplitude of a magnitude, or the off-resonance of a complex signal.
The last row of its settings are the times of the phase evolution, the others are those of
the form, one column a sample:

======================  ======================  ==============  ========================
form                    theta                   settings        signal at amplitude 1
======================  ======================  ==============  ========================
mono_exponential        T2, offset              te              e^(-te / T2) + offset
bi_exponential          f, T2short, T2long      te              f e^(-te / T2short)
                                                                + (1 - f) e^(-te / T2long)
inversion_recovery      T1, eta                 ti, tr          1 - (1 + eta) e^(-ti / T1)
                                                                + eta e^(-tr / T1)
saturation_recovery     T1, beta                ts, tr          1 - beta e^(-ts / T1)
                                                                - (1 - beta) e^(-tr / T1)
spin_lock               T1rho, T1               tsl, tr, alpha  Ernst's formula, of which
                                                                e^(-tsl / T1rho) is kept
spoiled_echo            T1, B1, T2star          alpha, tr, te   Ernst's formula, decayed
saturation_weighted     R1, MTsat, R2s, B1      alpha, tr,      Helms's formula, decayed
                                                saturates,
                                                decrease, te
incoherent_motion       f, D, Dstar             b               f e^(-b Dstar)
                                                                + (1 - f) e^(-b D)
======================  ======================  ==============  ========================

The equations and their sources are in the files of the models.
"""

import numpy as np

from ._compile import borrowing


@borrowing
def mono_exponential(settings, theta, s, ds):
    """Write the signal and its derivatives."""
    rate = 1 / theta[0] ** 2
    for f in range(settings.shape[1]):
        te = settings[0, f]
        decay = np.exp(-te / theta[0])
        s[f] = decay + theta[1]
        if len(ds):
            ds[0, f], ds[1, f] = decay * (te * rate), 1.0
    measure(settings, theta, s, ds)


@borrowing
def bi_exponential(settings, theta, s, ds):
    """Write the signal and its derivatives."""
    share, of_short, of_long = theta[0], 1 / theta[1] ** 2, 1 / theta[2] ** 2
    for f in range(settings.shape[1]):
        te = settings[0, f]
        short, long = np.exp(-te / theta[1]), np.exp(-te / theta[2])
        s[f] = share * short + (1 - share) * long
        if len(ds):
            ds[0, f] = short - long
            ds[1, f] = share * short * (te * of_short)
            ds[2, f] = (1 - share) * long * (te * of_long)
    measure(settings, theta, s, ds)


@borrowing
def inversion_recovery(settings, theta, s, ds):
    """Write the signal and its derivatives."""
    t1, efficiency = theta[0], theta[1]
    rate = 1 / t1**2
    for f in range(settings.shape[1]):
        ti, tr = settings[0, f], settings[1, f]
        # Without a repetition time, tr is infinite: the recovery is complete.
        after, whole = np.exp(-ti / t1), np.exp(-tr / t1)
        s[f] = 1 - (1 + efficiency) * after + efficiency * whole
        if len(ds):
            ds[0, f] = -(1 + efficiency) * after * (ti * rate)
            if np.isfinite(tr):
                ds[0, f] += efficiency * whole * (tr * rate)
            ds[1, f] = whole - after
    measure(settings, theta, s, ds)


@borrowing
def saturation_recovery(settings, theta, s, ds):
    """Write the signal and its derivatives."""
    t1, efficiency = theta[0], theta[1]
    rate = 1 / t1**2
    for f in range(settings.shape[1]):
        ts, tr = settings[0, f], settings[1, f]
        # Without a repetition time, tr is infinite: the recovery is complete.
        after, whole = np.exp(-ts / t1), np.exp(-tr / t1)
        s[f] = 1 - efficiency * after - (1 - efficiency) * whole
        if len(ds):
            ds[0, f] = -efficiency * after * (ts * rate)
            if np.isfinite(tr):
                ds[0, f] -= (1 - efficiency) * whole * (tr * rate)
            ds[1, f] = whole - after
    measure(settings, theta, s, ds)


@borrowing
def spin_lock(settings, theta, s, ds):
    """Write the signal and its derivatives."""
    t1rho, t1 = theta[0], theta[1]
    for f in range(settings.shape[1]):
        tsl, tr, angle = settings[0, f], settings[1, f], settings[2, f]
        sine, half = np.sin(angle), np.sin(angle / 2)
        kept = np.exp(-tsl / t1rho)
        # Without a repetition time, tr is infinite: the recovery is complete.
        remaining, recovered, exponent = 0.0, 1.0, 0.0
        if np.isfinite(tr):
            exponent = (tr - tsl) / t1
            remaining, recovered = np.exp(-exponent), -np.expm1(-exponent)
        # 1 - kept cos(angle), and 1 - kept E cos(angle), without cancellation.
        tipped = 2 * half * half
        loss = -np.expm1(-tsl / t1rho) + kept * tipped
        denominator = recovered + remaining * loss
        s[f] = sine * kept * recovered / denominator
        if len(ds):
            share = sine * kept / (denominator * denominator)
            ds[0, f] = share * recovered * (tsl / t1rho**2)
            ds[1, f] = -share * loss * remaining * (exponent / t1)
    measure(settings, theta, s, ds)


@borrowing
def spoiled_echo(settings, theta, s, ds):
    """Write the signal and its derivatives."""
    t1, b1, t2star = theta[0], theta[1], theta[2]
    for f in range(settings.shape[1]):
        alpha, tr, te = settings[0, f], settings[1, f], settings[2, f]
        angle, recovered = alpha * b1, -np.expm1(-tr / t1)
        remaining, half, sine = 1 - recovered, np.sin(alpha * b1 / 2), np.sin(angle)
        # 1 - E1 cos(angle), without the cancellation at short TR and small angles.
        loss = 2 * half * half
        denominator = recovered + remaining * loss
        decay = np.exp(-te / t2star)
        s[f] = decay * sine * recovered / denominator
        if len(ds):
            share = decay / (denominator * denominator)
            ds[0, f] = -share * sine * loss * remaining * (tr / t1**2)
            ds[1, f] = alpha * share * recovered * (np.cos(angle) - remaining)
            ds[2, f] = s[f] * (te / t2star**2)
    measure(settings, theta, s, ds)


@borrowing
def saturation_weighted(settings, theta, s, ds):
    """Write the signal and its derivatives."""
    r1, mtsat, r2s, b1 = theta[0], theta[1], theta[2], theta[3]
    for f in range(settings.shape[1]):
        alpha, tr, te = settings[0, f], settings[1, f], settings[4, f]
        saturates, decrease = settings[2, f], settings[3, f]
        # What a saturation of 1 at B1 = 1 is at this B1, and its derivative.
        scale = saturates / (1 - decrease)
        strength = scale * b1 * b1 * (1 - decrease * b1)
        angle, recovered, half = alpha * b1, -np.expm1(-tr * r1), np.sin(alpha * b1 / 2)
        remaining, kept, sine = 1 - recovered, 1 - mtsat * strength, np.sin(angle)
        # 1 - kept cos(angle), and 1 - kept E1 cos(angle), without cancellation.
        loss = mtsat * strength + kept * (2 * half * half)
        denominator = recovered + remaining * loss
        decay = np.exp(-te * r2s)
        s[f] = decay * kept * sine * recovered / denominator
        if len(ds):
            share = decay / (denominator * denominator)
            by_kept = share * sine * recovered
            ds[0, f] = share * kept * sine * loss * remaining * tr
            ds[1, f] = -by_kept * strength
            ds[2, f] = -te * s[f]
            ds[3, f] = alpha * share * kept * recovered * (np.cos(angle) - kept * remaining)
            ds[3, f] -= by_kept * mtsat * scale * b1 * (2 - 3 * decrease * b1)
    measure(settings, theta, s, ds)


@borrowing
def incoherent_motion(settings, theta, s, ds):
    """Write the signal and its derivatives."""
    share = theta[0]
    for f in range(settings.shape[1]):
        b = settings[0, f]
        slow, fast = np.exp(-b * theta[1]), np.exp(-b * theta[2])
        s[f] = share * fast + (1 - share) * slow
        if len(ds):
            ds[0, f] = fast - slow
            ds[1, f] = (share - 1) * b * slow
            ds[2, f] = -share * b * fast
    measure(settings, theta, s, ds)


@borrowing
def measure(settings, theta, s, ds):
    """Turn a real signal at an amplitude of 1 into what is measured.

    Where the signal changes its sign, its magnitude has a kink, and the derivative is zero,
    the mean of both sides.
    """
    last, n = theta.size - 1, settings.shape[1]
    if s.size == n:
        for f in range(n):
            factor = theta[last] * np.sign(s[f])
            if len(ds):
                for k in range(last):
                    ds[k, f] *= factor
                ds[last, f] = abs(s[f])
            s[f] *= factor
        return
    turning = settings[-1]
    # From the end, since each number moves to a place twice as far.
    for f in range(n - 1, -1, -1):
        angle = turning[f] * theta[last]
        re, im = (np.cos(angle), np.sin(angle)) if angle != 0.0 else (1.0, 0.0)
        value = s[f]
        s[2 * f], s[2 * f + 1] = re * value, im * value
        if len(ds):
            for k in range(last):
                slope = ds[k, f]
                ds[k, 2 * f], ds[k, 2 * f + 1] = re * slope, im * slope
            ds[last, 2 * f] = -turning[f] * im * value
            ds[last, 2 * f + 1] = turning[f] * re * value


@borrowing(nogil=True)
def simulate(first, last, form, settings, theta, columns, row, rows, s, ds):
    """Write the signals of many voxels, and derivatives with respect to some columns.

    form : a function of the signature FORM, theta : (n_voxels, n_theta),
    columns : (n_columns,), numbers of parameters, s : (n_voxels, n_features, n_parts),
    n_parts being 1, or 2 for complex signals, ds : (n_voxels, n_features, n_columns,
    n_parts). row : (n_features n_parts,) and rows : (n_theta, n_features n_parts), or
    without rows if there are no columns, are overwritten.
    """
    n_features, n_parts = s.shape[1], s.shape[2]
    for i in range(first, last):
        form(settings, theta[i], row, rows)
        for f in range(n_features):
            for part in range(n_parts):
                s[i, f, part] = row[f * n_parts + part]
                for k in range(columns.size):
                    ds[i, f, k, part] = rows[columns[k], f * n_parts + part]
