r"""MP2RAGE: two blocks of spoiled gradient echoes behind an inversion.

An inversion of efficiency :math:`\eta` changes the longitudinal magnetization z to
:math:`-\eta z`, it recovers, n pulses of a flip angle follow each other at :math:`T_R`,
and so again for the second block. The cycle is repeated every :math:`T_{R,MP2RAGE}`, and z
is in a steady state. With :math:`S_i = M_0 \sin(B_1 \alpha_i) z_i` of the pulse at the
centre of k-space, the image that is free of M0 and of the receive field is

.. math:: \mathrm{UNI} = \frac{\mathrm{Re}(S_1 S_2^*)}{|S_1|^2 + |S_2|^2}

(Marques et al., NeuroImage 2010, doi 10.1016/j.neuroimage.2009.10.002). It is half the
sine of twice the angle of :math:`(S_1, S_2)`, and turns where that is 45 degrees off an
axis, and where it is stationary. To first order its noise is

.. math:: \frac{|S_1^2 - S_2^2|}{(S_1^2 + S_2^2)^{3/2}}\, \sigma
"""

from dataclasses import replace
from itertools import pairwise

import numpy as np
from scipy import stats
from scipy.optimize import brentq

from .._options import check_choice, check_flag, check_number
from ..kernels.inversion_trains import mp2rage, uni
from ..noise import get_noise
from ..parameters import truncated_normal
from ._checks import (
    RADIANS,
    SECONDS,
    check_excitations,
    check_samples,
    check_time,
    halves,
)
from ._closed_form import ClosedFormModel
from ._tissue import T1, transmit_field

# Values of T1, and of B1 if it is unknown, among which the UNI value is looked at.
_N_T1, _N_B1 = 512, 9
# Delays of no length may be negative by a rounding error of the times, in s.
_ROUNDING = 1e-9


class MP2RAGE(ClosedFormModel):
    """Pair of inversion images, or the UNI image that is computed of it.

    Parameters are T1 and optionally B1. The UNI image has no amplitude, and complex pairs
    are known up to a complex factor M0. Pulses are instantaneous, and what they tip is
    spoiled; T2* and off-resonance have no effect.

    Parameters
    ----------
    ti : array-like of shape (2,)
        Inversion times, in s: from the inversion to the centre of k-space of each block.
    tr : float
        Time between the excitations of a block, in s.
    tr_mp2rage : float
        Repetition time of the whole, from inversion to inversion, in s.
    flip_angles : array-like of shape (2,)
        Nominal flip angles of both blocks, in rad.
    n_excitations : int or (int, int)
        Number of excitations in a block, or their numbers before the centre of k-space and
        from there on; half of them by default, rounded down.
    efficiency : float, default=0.96
        Efficiency of the inversion.
    b1 : bool, default=False
        Whether the relative transmit field B1, which scales both flip angles, is a
        parameter; otherwise it is 1. The pair tells one number: give B1 as a map,
        ``model.given("B1")``.
    signal : {"uni", "complex"}, default="uni"
        Whether the UNI image is measured, of -0.5 to 0.5, or both complex images.
    noise : {"gaussian"} or Noise, default="gaussian"
        Noise of both images; a noise object of your own is that of what is measured.
    bounds : dict, default=None
        Bounds that differ from the default, (low, high) by parameter name.

    Raises
    ------
    ValueError
        If an option is unknown, or times, flip angles or numbers are not usable.

    Notes
    -----
    A UNI value may come at a short and at a long T1, and so may a ratio of both images. The
    default bounds of T1 are the branch of the nominal B1 between two turns, within 0.01 to
    6 s; with B1 as a parameter they begin where all branches have begun. Measured UNI
    values beyond those at its ends, such as noise makes, are of no T1: their estimates are
    NaN, and their status is INVALID. If the branch, at another B1 for instance, ends before
    the bounds, or these are wider, only values between those at the bounds are estimated,
    which a single T1 has; a warning counts the others.

    Of the UNI image, sigma and `noise_std` are the noise per channel of each image of the
    pair for M0 = 1. Bounds and standard deviations follow from it to first order; of
    simulated fingerprints the noise is exact. A single image does not show it: without
    sigma standard deviations are NaN. Where both images are at hand, M0 is the norm of the
    measured pair over that of ``model.pair.signal`` at the T1 found.

    Examples
    --------
    >>> import numpy as np
    >>> from crbestim.models import MP2RAGE
    >>> model = MP2RAGE([0.8, 2.7], 7e-3, 6.0, np.deg2rad([4, 5]), 160)
    >>> model.bounds.round(2)
    array([[0.13, 4.15]])
    >>> model.signal([[0.9], [1.5], [4.0]]).round(3)
    array([[ 0.22 ],
           [-0.088],
           [-0.5  ]])
    """

    _range = -0.5, 0.5
    _scale_of_values = (
        "UNI values are -0.5 to 0.5; of scanner integers, 0 to 4095, give X / 4095 - 0.5"
    )

    controls = {"flip_angles": (0.01, np.pi / 2, "rad")}

    def __init__(
        self,
        ti,
        tr,
        tr_mp2rage,
        flip_angles,
        n_excitations,
        *,
        efficiency=0.96,
        b1=False,
        signal="uni",
        noise="gaussian",
        bounds=None,
    ):
        self.ti = _check_two(ti, "ti", "s", (1e-2, 20.0), SECONDS)
        self.tr = check_time(tr, "tr")
        self.tr_mp2rage = check_time(tr_mp2rage, "tr_mp2rage")
        self.flip_angles = _check_two(
            flip_angles, "flip_angles", "rad", (1e-3, np.pi), RADIANS, np.pi
        )
        self.n_excitations = check_excitations(n_excitations)
        self.efficiency = check_number(
            efficiency, "efficiency", "a share above 0, up to 1", above=0
        )
        if self.efficiency > 1:
            raise ValueError(f"efficiency = {efficiency}; give a share above 0, up to 1.")
        self._check_delays()
        self.b1 = check_flag("b1", b1)
        self.computes_image = check_choice("signal", signal, ("uni", "complex")) == "uni"
        self._refuse_magnitudes(noise)
        others = [transmit_field()] if b1 else []
        super().__init__((T1, *others), "complex", noise, None)
        low, high = self._branch()
        self._choose_parameters((_t1_within(low, high), *others), bounds)
        self._reach = min(low, self.bounds[0, 0]), max(high, self.bounds[0, 1])

    @property
    def is_complex(self):
        """Whether both complex images are measured, known up to a complex factor M0."""
        return not self.computes_image

    @property
    def _duration(self):
        return self.tr_mp2rage

    @property
    def n_features(self):
        """Number of images: both, or the UNI image."""
        return 1 if self.computes_image else 2

    @property
    def _arguments(self):
        return {**super()._arguments, "signal": "uni" if self.computes_image else "complex"}

    @property
    def _delays(self):
        """Times of recovery before the blocks, between them and behind them."""
        (first, second), (before, after) = self.ti, halves(self.n_excitations)
        end, tr = self.tr_mp2rage, self.tr
        delays = first - before * tr, second - first - (before + after) * tr
        return np.array([*delays, end - second - after * tr])

    def _check_delays(self):
        places = "before the first block", "between the blocks", "behind the second block"
        for delay, place in zip(self._delays, places, strict=True):
            if not delay > -_ROUNDING:
                before, after = halves(self.n_excitations)
                raise ValueError(
                    f"there are {delay:.4g} s left {place}: ti = {self.ti.tolist()} s and "
                    f"tr_mp2rage = {self.tr_mp2rage:g} s have no room for {before} + "
                    f"{after} excitations every {self.tr:g} s before and after the centre "
                    "of k-space; check the times and n_excitations."
                )

    def _refuse_magnitudes(self, noise):
        if get_noise(noise).needs_magnitude:
            raise ValueError(
                f"noise={noise!r} is that of magnitudes, and MP2RAGE measures complex "
                "images; give noise='gaussian'."
            )

    def _formula(self):
        delays = np.maximum(self._delays, 0.0)
        settings = [*delays, self.tr, *self.flip_angles, *halves(self.n_excitations)]
        form = uni if self.computes_image else mp2rage
        return form, [*settings, self.efficiency], {"T1": 0.0, "B1": 1.0}

    @property
    def pair(self):
        """The model of both complex images, with the same parameters and bounds."""
        settings = self.ti, self.tr, self.tr_mp2rage, self.flip_angles, self.n_excitations
        options = dict(efficiency=self.efficiency, b1=self.b1, signal="complex")
        bounds = {p.name: p.bounds for p in self.parameters}
        return MP2RAGE(*settings, **options, noise=self.noise, bounds=bounds)

    def _noise_scale(self, theta):
        """Return the noise of a pair of norm 1 whose images have noise 1 for M0 = 1."""
        return 1 / np.linalg.norm(self.pair._simulate(theta), axis=1)

    def _branch(self):
        """Return between which T1 the signal is monotone, for all B1 at the lower end.

        At the upper end it is for the nominal B1: what all B1 have in common would end
        before the T1 of fluid.
        """
        t1 = np.geomspace(*T1.bounds, _N_T1)
        low, high = self._branch_at(1.0, t1)
        fields = np.linspace(*transmit_field().bounds, _N_B1) if self.b1 else []
        lowest = max([low, *(self._branch_at(b1, t1)[0] for b1 in fields)])
        return (lowest, high) if lowest < high else (low, high)

    def _branch_at(self, b1, t1):
        """Return the ends of the branch that the largest range of values belongs to."""
        values, slope = self._values(t1, b1)
        turns = 1 + np.flatnonzero(np.diff(np.sign(slope)))
        ends = np.array([0, *turns, len(t1)])
        ranges = [np.ptp(values[i:j]) for i, j in pairwise(ends)]
        first, last = ends[np.argmax(ranges) + np.arange(2)]

        def turn(i):
            # Between the values beside a change of sign.
            return brentq(
                lambda t: self._values(np.array([t]), b1)[1][0], *t1[i - 1 : i + 1]
            )

        low = turn(first) if first else t1[0]
        return low, turn(last) if last < len(t1) else t1[-1]

    def _values(self, t1, b1):
        """Return UNI values, or angles of the pair, and slopes of the sign of theirs."""
        theta = np.column_stack([t1, np.full(len(t1), b1)])[:, : 1 + self.b1]
        s, ds = (part.real for part in self._form.simulate(theta, True))
        if self.computes_image:
            return s[:, 0], ds[:, 0, 0]
        angle = np.arctan2(s[:, 1], s[:, 0])
        return np.unwrap(angle, period=np.pi), s[:, 0] * ds[:, 1, 0] - s[:, 1] * ds[:, 0, 0]


def _t1_within(low, high):
    """Return T1 with bounds, and the part of its distributions that is inside."""
    tissue = max(low, 0.5), min(high, 2.5)
    fluid = max(low, 3.0), min(high, 5.0)
    inside = stats.uniform(low, high - low)
    if tissue[0] < tissue[1]:
        inside = truncated_normal(1.1, 0.3, *tissue)
    of_fluid = stats.uniform(fluid[0], fluid[1] - fluid[0]) if fluid[0] < fluid[1] else None
    return replace(
        T1, bounds=(low, high), usual=T1.bounds, distribution=inside, fluid=of_fluid
    )


def _check_two(values, name, unit, usual, advice, high=np.inf):
    """Return two numbers above 0, of times the first one smaller."""
    values = check_samples(values, name, unit, usual=usual, high=high, advice=advice)
    if len(values) != 2 or not values.all():
        raise ValueError(
            f"{name} = {values.tolist()}; give two numbers above 0, one for each block"
            f"{advice.format(name)}."
        )
    return values
