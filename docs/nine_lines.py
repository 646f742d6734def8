"""The first lines of README and landing page; the data are simulated."""

# begin lines
from crbestim import NLLSRegressor
from crbestim.datasets import make_fingerprints
from crbestim.models import MonoExponential

model = MonoExponential([0.01, 0.02, 0.03, 0.04, 0.06, 0.08, 0.1], signal="magnitude")  # s
X, y, crb = make_fingerprints(model, 1000, snr=50, random_state=0, return_crb=True)
fit = NLLSRegressor(model).fit(X)  # of your images: X = images[mask], a voxel a row
maps, std = fit.predict(X, return_std=True)  # T2 and M0, and how precise they are
low, high = fit.interval(X, level=0.95)  # where the truth is, 95 times of 100
print(fit.score(X, y, crb=crb))  # efficiency: 1 is an ideal unbiased estimator
# end lines
