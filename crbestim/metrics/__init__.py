"""Measures of an estimator in units of the Cramér-Rao bound.

The CRB loss is the mean of (estimate - truth)^2 / CRB over samples and parameters (Zhang
et al., MRM 2022, doi 10.1002/mrm.29206): 1 for an ideal unbiased estimator. Its inverse,
the efficiency, is what ``score`` reports. Entries whose bound is infinite are
left out of every average; errors of a periodic parameter are taken modulo its period.
"""

from .comparison import compare_estimators
from .coverage import interval_coverage
from .efficiency import crb_loss, efficiency_score, efficiency_scorer, wrapped_error
from .limit import BayesRisk, bayes_risk
from .moments import BiasVariance, bias_variance

__all__ = [
    "BayesRisk",
    "BiasVariance",
    "bayes_risk",
    "bias_variance",
    "compare_estimators",
    "crb_loss",
    "efficiency_score",
    "efficiency_scorer",
    "interval_coverage",
    "wrapped_error",
]
