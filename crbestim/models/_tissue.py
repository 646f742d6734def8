"""Parameters that several models share: their limits and their distribution in the brain.

Relaxation times are those of the human brain at 3 T (Wansapura et al., JMRI 1999,
doi 10.1002/(SICI)1522-2586(199904)9:4<531::AID-JMRI4>3.0.CO;2-L), with distributions wide
enough for gray and white matter and lesions, and a separate distribution for fluid.
"""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from scipy import stats

from ..parameters import Parameter, truncated_normal

T1 = Parameter(
    "T1",
    bounds=(0.01, 6.0),
    domain=(1e-3, 100.0),
    unit="s",
    symbol="T_1",
    distribution=truncated_normal(1.1, 0.3, 0.5, 2.5),
    fluid=stats.uniform(3.0, 2.0),
)
T2 = Parameter(
    "T2",
    bounds=(1e-3, 4.0),
    domain=(1e-4, 10.0),
    unit="s",
    symbol="T_2",
    distribution=truncated_normal(0.085, 0.025, 0.03, 0.25),
    fluid=stats.uniform(0.5, 2.0),
)
T2STAR = Parameter(
    "T2star",
    bounds=(1e-3, 3.0),
    domain=(1e-4, 10.0),
    unit="s",
    symbol="T_2^*",
    distribution=truncated_normal(0.045, 0.015, 0.01, 0.12),
    fluid=stats.uniform(0.2, 0.6),
)
R2S = Parameter(
    "R2s",
    bounds=(0.5, 300.0),
    domain=(0.1, 1e4),
    unit="1/s",
    symbol="R_2^*",
    distribution=truncated_normal(22.0, 7.0, 8.0, 100.0),
    fluid=stats.uniform(1.25, 3.75),
)
R1 = Parameter(
    "R1",
    bounds=(0.2, 1.5),
    domain=(1e-3, 20.0),
    unit="1/s",
    symbol="R_1",
    distribution=truncated_normal(0.75, 0.30, 0.2, 1.5),
    fluid=stats.uniform(0.2, 0.15),
)
R2 = Parameter(
    "R2",
    bounds=(0.3, 25.0),
    domain=(1e-3, 250.0),
    unit="1/s",
    symbol="R_2",
    distribution=truncated_normal(13.0, 4.0, 0.4, 25.0),
    fluid=stats.uniform(0.4, 1.6),
)
# Of two pools: water, which is free, and macromolecules, which are semi-solid.
M0S = Parameter(
    "m0s",
    bounds=(0.0, 0.35),
    domain=(0.0, 0.8),
    symbol="m_0^s",
    distribution=truncated_normal(0.15, 0.10, 0.0, 0.35),
    fluid=stats.uniform(0.0, 0.01),
)
R1F = replace(
    R1,
    name="R1f",
    bounds=(0.1, 1.2),
    symbol="R_1^f",
    distribution=truncated_normal(0.45, 0.20, 0.1, 1.2),
)
R1S = replace(
    R1,
    name="R1s",
    bounds=(0.3, 6.0),
    symbol="R_1^s",
    distribution=truncated_normal(3.0, 0.75, 0.5, 6.0),
    fluid=None,
)
R2F = replace(R2, name="R2f", symbol="R_2^f")
RX = Parameter(
    "Rx",
    bounds=(2.0, 60.0),
    domain=(0.0, 500.0),
    unit="1/s",
    symbol="R_x",
    distribution=truncated_normal(25.0, 12.0, 5.0, 60.0),
)


def semi_solid_t2(lowest, highest):
    """Return T2s of the semi-solid pool, in s; the domain of the model has these ends."""
    return Parameter(
        "T2s",
        bounds=(max(5e-6, lowest), min(20e-6, highest)),
        domain=(lowest, highest),
        unit="s",
        symbol="T_2^s",
        distribution=truncated_normal(12e-6, 3e-6, max(6e-6, lowest), min(18e-6, highest)),
    )


INVERSION_EFFICIENCY = Parameter(
    "efficiency",
    bounds=(0.5, 1.0),
    domain=(0.0, 1.0),
    symbol=r"\eta",
    distribution=truncated_normal(0.95, 0.03, 0.8, 1.0),
)
# B / A - 1 of a fit to A - B exp(-t / T1*), which pulses in between make larger than 1.
_RATIO = replace(
    INVERSION_EFFICIENCY, domain=(0.0, 10.0), distribution=stats.uniform(0.8, 1.2)
)


def efficiency_or_ratio(bounds):
    """Return the efficiency of an inversion, or a ratio if its bounds go beyond 1."""
    chosen = bounds.get("efficiency") if isinstance(bounds, Mapping) else None
    if np.shape(chosen) != (2,):
        return INVERSION_EFFICIENCY
    is_ratio = _RATIO.with_bounds(chosen).bounds[1] > INVERSION_EFFICIENCY.domain[1]
    return _RATIO if is_ratio else INVERSION_EFFICIENCY


def amplitude(name="M0"):
    """Return the amplitude of a magnitude signal, in the units of the data."""
    return Parameter(name, (0.0, np.inf), (0.0, np.inf), symbol=f"{name[0]}_0")


def transmit_field(highest=2.0, *, halfway=np.inf):
    """Return the relative transmit field B1; the domain of the model ends at `highest`.

    Where signals of a B1 above `halfway` are those of a lower one, the bounds end there.
    """
    low, high = min(0.6, highest / 2), min(highest, halfway)
    return Parameter(
        "B1",
        bounds=(low, min(1.4, high)),
        domain=(0.05, highest),
        symbol="B_1",
        distribution=truncated_normal(0.95, 0.20, low, min(1.3, high)),
    )


def folded_transmit_field(halfway, bounds):
    """Return B1 with default bounds that end at `halfway`, unless some are given."""
    is_chosen = isinstance(bounds, Mapping) and "B1" in bounds
    return transmit_field(halfway=np.inf if is_chosen else halfway)


def off_resonance(spacing, *, reach=np.inf, periodic=True):
    """Return the off-resonance omega0 of signals with a least echo spacing, in s.

    The domain is `reach` times the bounds, which are -pi and pi over the spacing. It is
    periodic if signals determine it only up to multiples of 2 pi over the spacing.

    Examples
    --------
    >>> from crbestim.models._tissue import off_resonance
    >>> round(off_resonance(1e-3).period)
    6283
    """
    nyquist = np.pi / spacing
    return Parameter(
        "omega0",
        bounds=(-nyquist, nyquist),
        domain=(-reach * nyquist, reach * nyquist),
        unit="rad/s",
        symbol=r"\omega_0",
        period=2 * nyquist if periodic else np.inf,
        distribution=stats.uniform(-nyquist, 2 * nyquist),
    )
