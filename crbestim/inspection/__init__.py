"""Pictures of bounds, estimators, training and maps.

A display is made by a class method that computes and draws, ``from_estimator``,
``from_model`` or ``from_predictions``; what it has computed are its attributes, in SI
units, and ``plot`` draws them again. Matplotlib is imported when something is drawn.
Symbols, units and ranges are those of the model's parameters, but times are drawn in
milliseconds, or microseconds where they are that short, and angular frequencies in Hz.
"""

from .bound import BoundDisplay
from .calibration import CalibrationDisplay
from .efficiency import EfficiencyDisplay
from .maps import MapsDisplay
from .training import TrainingDisplay

__all__ = [
    "BoundDisplay",
    "CalibrationDisplay",
    "EfficiencyDisplay",
    "MapsDisplay",
    "TrainingDisplay",
]
