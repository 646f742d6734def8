r"""MOLLI: modified Look-Locker inversion recovery of the heart.

Behind each inversion single-shot images are taken at successive heart beats, several beats
are left to recover, and images behind the next inversion fill in other inversion times
(Messroghli et al., MRM 2004, doi 10.1002/mrm.20110). Images are balanced, which saturates
the longitudinal magnetization z, by T1 and T2; between them z recovers with T1, and at an
inversion it has not yet recovered. The equations stand with the code, in
``crbestim/kernels/molli.py``.
"""

import re

import numpy as np

from .._options import check_flag
from ..kernels.molli import molli
from ._checks import (
    SECONDS,
    check_excitations,
    check_flip_angle,
    check_relaxation,
    check_samples,
    check_time,
    halves,
)
from ._closed_form import ClosedFormModel
from ._tissue import INVERSION_EFFICIENCY, T1, T2, transmit_field

# Inversions that are closer in time than this are one, in s: times in headers are rounded.
_SAME = 0.02
_SCHEME = re.compile(r"\d+s?(\(\d+s?\)\d+s?)*")


class MOLLI(ClosedFormModel):
    """Single-shot balanced images at heart beats behind inversions (MOLLI).

    Parameters are T1 and the efficiency of the inversions; T2 and B1 if wanted; for
    magnitudes also M0. What the images and too short a recovery do to the magnetization is
    part of the signal, which a fit of three parameters corrects for roughly.

    Parameters
    ----------
    ti : array-like of shape (n_images,)
        Inversion time of each image, in s, from its own inversion to the centre of k-space.
    beats : array-like of shape (n_images,)
        When each image was taken, at its centre of k-space, in s, from any origin on: heart
        beats as they were, regular or not. Images behind one inversion have the same
        ``beats - ti``. :meth:`schedule` gives those of a scheme such as "5(3)3".
    tr_readout : float
        Time between the pulses of an image, in s.
    flip_angle : float
        Nominal flip angle of the images, in rad.
    n_excitations : int or (int, int)
        Number of pulses of an image, or their numbers before the centre of k-space and from
        there on; half of them by default, rounded down.
    t2 : float or None, default=0.045
        T2, in s. T1 depends on it, see Notes; blood needs another one, such as 0.25. None
        makes it a parameter, behind T1, for a map of it, ``model.given("T2")``.
    b1 : bool, default=False
        Whether the relative transmit field B1, which scales the flip angle of the images,
        is a parameter; otherwise it is 1.
    signal : {"complex", "magnitude"}, default="magnitude"
        Whether the complex signal is measured, up to a complex factor M0, or its
        magnitude, with the amplitude M0 as the last parameter.
    noise : {"gaussian", "rician"} or Noise, default="gaussian"
        Distribution of the noise; Rician is for magnitudes.
    bounds : dict, default=None
        Bounds that differ from the default, (low, high) by parameter name.

    Raises
    ------
    ValueError
        If an option is unknown, or times, the flip angle or numbers are not usable.

    Notes
    -----
    Before the first inversion the magnetization is in equilibrium. An image begins with a
    pulse of half the flip angle; its pulses have alternating phases, on resonance; behind
    it, z stays and the rest is spoiled. Not modelled are off-resonance, other preparations,
    the slice profile, magnetization transfer, blood that flows, and motion.

    The images change the magnetization nearly as a lower efficiency does, so an error of T2
    goes into both T1 and the efficiency, and one of 5 ms leaves but 0.1 % of the signal
    unexplained. In the protocol below, of a T1 of 1.2 s, a T2 of 45 ms and an efficiency of
    0.95, a `t2` of 40 or 50 ms makes T1 6 % too long or 4.5 % too short, and one of 30
    ms 29 % too long. Blood, of 1.6 s and 0.25 s, comes out 50 % too long with the default
    `t2`. With a fixed efficiency, ``model.fix(efficiency=0.95)``, 40 or 50 ms change T1 by
    1 %, 30 ms by 4 %; an efficiency that is really 0.9 then makes T1 6 % too short. Best is
    a map of T2, or an efficiency measured in a phantom.

    The usual fit of three parameters, ``A - B exp(-ti / T1star)`` with ``T1 = T1star * (B /
    A - 1)``, is :class:`InversionRecovery` of the same `ti`, with bounds of its efficiency,
    B / A - 1, beyond 1.

    Examples
    --------
    >>> import numpy as np
    >>> from crbestim.models import MOLLI
    >>> ti, beats = MOLLI.schedule("5(3)3", first_ti=(0.12, 0.2), rr=0.9)
    >>> ti.round(2), beats.round(2)
    (array([0.12, 1.02, 1.92, 2.82, 3.72, 0.2 , 1.1 , 2.  ]),
     array([0. , 0.9, 1.8, 2.7, 3.6, 7.2, 8.1, 9. ]))
    >>> model = MOLLI(ti, beats, 2.7e-3, np.deg2rad(35), 64)
    >>> model.parameter_names
    ('T1', 'efficiency', 'M0')
    """

    controls = {"flip_angle": (0.05, np.pi / 2, "rad")}

    def __init__(
        self,
        ti,
        beats,
        tr_readout,
        flip_angle,
        n_excitations,
        *,
        t2=0.045,
        b1=False,
        signal="magnitude",
        noise="gaussian",
        bounds=None,
    ):
        self.ti = check_samples(ti, "ti", "s", usual=(1e-2, 60.0), advice=SECONDS)
        self.beats = check_samples(beats, "beats", "s", advice=SECONDS)
        if self.ti.shape != self.beats.shape:
            raise ValueError(
                f"ti has {len(self.ti)} values and beats {len(self.beats)}; give both for "
                "each image."
            )
        self.tr_readout = check_time(tr_readout, "tr_readout")
        self.flip_angle = check_flip_angle(flip_angle, np.pi)
        self.n_excitations = check_excitations(n_excitations)
        self._schedule()
        self.t2 = None if t2 is None else check_relaxation(t2, "t2", T2)
        self.b1 = check_flag("b1", b1)
        parameters = [T1, *([T2] if t2 is None else []), INVERSION_EFFICIENCY]
        super().__init__(
            [*parameters, *([transmit_field()] if b1 else [])], signal, noise, bounds
        )

    def _schedule(self):
        """Return recoveries before inversions, these, recoveries after, and places."""
        before, after = halves(self.n_excitations)
        order = np.argsort(self.beats, kind="stable")
        ti, beats = self.ti[order], self.beats[order]
        inversions, ends = beats - ti, beats + (after - 1) * self.tr_readout
        inverts = np.append(True, np.diff(inversions) > _SAME)
        last = np.append(inversions[0], ends[:-1])
        wait = np.where(inverts, ti, beats - last) - (before + 1) * self.tr_readout
        rest = np.where(inverts, inversions - last, 0.0)
        wrong = (wait < 0) | (rest < 0)
        wrong[1:] |= np.diff(inversions) < -_SAME
        if wrong.any():
            i = int(np.argmax(wrong))
            raise ValueError(
                f"the image at beats = {beats[i]:.4g} s, ti = {ti[i]:.4g} s, does not fit "
                f"behind what comes before it: {before} excitations every "
                f"{self.tr_readout:g} s before the centre of k-space need time after the "
                f"inversion, or after an image, which ends with {after} others; check the "
                "times and n_excitations."
            )
        return rest, inverts, wait, order

    @staticmethod
    def schedule(scheme, first_ti, rr):
        """Return inversion times and beats of a scheme at a regular heart rate.

        Parameters
        ----------
        scheme : str
            Numbers of images and, in brackets, of beats to recover, such as "5(3)3",
            "3(3)3(3)5" or "4(1)3(1)2"; with an s, times in seconds, rounded up to beats:
            "5s(3s)3s".
        first_ti : float or sequence of float
            First inversion time behind each inversion, in s, or one for all.
        rr : float
            Time between beats, in s.

        Returns
        -------
        ti, beats : ndarray of shape (n_images,)
            Times, in s, of the constructor; the first beat is at 0.
        """
        rr = check_time(rr, "rr")
        if not isinstance(scheme, str) or not _SCHEME.fullmatch(scheme):
            raise ValueError(
                f"scheme = {scheme!r}; give one such as '5(3)3', of images and beats to "
                "recover, or '5s(3s)3s' of seconds."
            )
        counts = [_in_beats(part, rr) for part in re.findall(r"\d+s?", scheme)]
        groups, pauses = counts[::2], np.array([*counts[1::2], 0])
        first = np.atleast_1d(np.asarray(first_ti, dtype=float))
        if first.shape not in ((1,), (len(groups),)):
            raise ValueError(
                f"first_ti has {first.size} values and {scheme} {len(groups)} inversions; "
                "give one time, or one for each inversion."
            )
        first = np.broadcast_to(first, len(groups))
        starts = np.cumsum([0, *(np.array(groups) + pauses)[:-1]])
        beats = [start + np.arange(n) for start, n in zip(starts, groups, strict=True)]
        ti = [t + rr * np.arange(n) for t, n in zip(first, groups, strict=True)]
        return np.concatenate(ti), rr * np.concatenate(beats)

    @property
    def _duration(self):
        return float(self.beats.max())

    @property
    def n_features(self):
        """Number of images."""
        return len(self.ti)

    def _formula(self):
        constants = self.tr_readout, self.flip_angle, *halves(self.n_excitations)
        values = {"T1": 0.0, "T2": self.t2 or 0.0, "B1": 1.0, "efficiency": 0.0}
        return molli, [*self._schedule(), *constants], values


def _in_beats(part, rr):
    """Return a number of beats, given as such or in seconds."""
    if part.endswith("s"):
        return int(np.ceil(int(part[:-1]) / rr - 1e-9))
    return int(part)
