r"""Intravoxel incoherent motion: diffusion of water and flow in capillaries.

.. math:: s(b) = S_0 \left(f e^{-b D^*} + (1 - f) e^{-b D}\right)

(Le Bihan et al., Radiology 1988, doi 10.1148/radiology.168.2.3393671). Diffusion weightings
are in SI units: 1000 s/mm² are 1e9 s/m², and 1e-3 mm²/s are 1e-9 m²/s.
"""

from scipy import stats

from ..kernels.closed_forms import incoherent_motion
from ..parameters import Parameter, truncated_normal
from ._checks import check_samples
from ._closed_form import ClosedFormModel

_UNIT = "m²/s"
_PARAMETERS = (
    Parameter("f", (0.0, 1.0), (0.0, 1.0), symbol="f",
              distribution=truncated_normal(0.05, 0.03, 0.0, 0.2),
              fluid=stats.uniform(0.0, 0.01)),
    Parameter("D", (1e-10, 4e-9), (0.0, 1e-6), unit=_UNIT, symbol="D",
              distribution=truncated_normal(0.8e-9, 0.15e-9, 0.3e-9, 1.6e-9),
              fluid=stats.uniform(2.5e-9, 1e-9)),
    Parameter("Dstar", (4e-9, 3e-7), (0.0, 1e-6), unit=_UNIT, symbol="D^*",
              distribution=truncated_normal(15e-9, 6e-9, 5e-9, 40e-9)),
)  # fmt: skip


class IntravoxelIncoherentMotion(ClosedFormModel):
    """Intravoxel incoherent motion (IVIM): a perfused fraction and diffusing water.

    Parameters are f, D and Dstar; for magnitudes also S0.

    Parameters
    ----------
    b : array-like of shape (n_features,)
        Diffusion weightings, in s/m².
    signal : {"complex", "magnitude"}, default="magnitude"
        Whether the magnitude is measured, with the amplitude S0 as the last parameter, or
        the complex signal, up to a complex factor. Magnitudes are the usual choice, because
        motion changes the phase from one diffusion-weighted image to the next.
    noise : {"gaussian", "rician"} or Noise, default="gaussian"
        Distribution of the noise; Rician is for magnitudes.
    bounds : dict, default=None
        Bounds that differ from the default, (low, high) by parameter name.

    Raises
    ------
    ValueError
        If an option is unknown, or the diffusion weightings are not usable.

    Examples
    --------
    >>> from crbestim.models import IntravoxelIncoherentMotion
    >>> model = IntravoxelIncoherentMotion([0, 5e7, 2e8, 8e8])
    >>> model.parameter_names
    ('f', 'D', 'Dstar', 'S0')
    >>> model.signal([[0.1, 1e-9, 2e-8, 1.0]]).round(3)
    array([[1.   , 0.893, 0.739, 0.404]])
    """

    controls = {"b": (0.0, 1e9, "s/m²")}

    def __init__(self, b, *, signal="magnitude", noise="gaussian", bounds=None):
        advice = "; {0} is in s/m², for s/mm² give 1e6 * {0}"
        self.b = check_samples(b, "b", "s/m²", usual=(1e7, 1e11), advice=advice)
        super().__init__(_PARAMETERS, signal, noise, bounds, amplitude_name="S0")

    @property
    def n_features(self):
        """Number of diffusion weightings."""
        return len(self.b)

    def _formula(self):
        return incoherent_motion, [self.b], dict.fromkeys(("f", "D", "Dstar"), 0.0)
