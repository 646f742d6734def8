"""The code that the page on comparisons shows."""

# begin compare
import numpy as np
from sklearn.ensemble import ExtraTreesRegressor
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline

from crbestim import DictionaryRegressor, NLLSRegressor
from crbestim.datasets import make_fingerprints
from crbestim.metrics import compare_estimators
from crbestim.models import MonoExponential
from crbestim.subspace import ComplexToReal

model = MonoExponential(0.01 * np.arange(1, 13))
X, y = make_fingerprints(model, 200, snr=50, random_state=0)
estimators = {
    "least squares": NLLSRegressor(model).fit(X, y),
    "matching": DictionaryRegressor(model).fit(X, y),
}
theta = np.geomspace(0.03, 0.2, 50)[:, None]
table = compare_estimators(
    estimators, model, theta, snr=50, n_realizations=200, random_state=0
)
# end compare

# begin own
trees = make_pipeline(ComplexToReal(normalize=True), ExtraTreesRegressor(random_state=0))
trees.fit(X, y.ravel())
theirs = compare_estimators(
    {"trees": trees}, model, theta, snr=50, n_realizations=200, random_state=0
)
# end own

# begin scores
scores = cross_val_score(NLLSRegressor(model, noise_std=1 / 50), X, y, cv=3)
# end scores
