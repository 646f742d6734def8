"""The estimators that need no training, each ready for a model."""

from crbestim import DictionaryRegressor, NLLSRegressor, OneStepRegressor

ESTIMATORS = {
    "least squares": NLLSRegressor,
    "matching": lambda m: DictionaryRegressor(m, n_neighbors=20, interpolate=True),
    "step": lambda m: OneStepRegressor(model=m),
}
