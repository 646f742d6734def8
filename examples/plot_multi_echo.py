"""
T2 of multi-echo spin echoes
============================

T2 is usually measured with a train of refocusing pulses, and fitted by an exponential
decay. Where B1 is not 1, pulses are not of 180 degrees, and stimulated echoes add to the
others. How wrong is T2 then, and what does a model of all echoes give, with a map of B1 and
without?
"""

import argparse
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from scipy import stats

from crbestim import NLLSRegressor
from crbestim.datasets import make_fingerprints
from crbestim.models import MonoExponential, MultiEchoSpinEcho

parser = argparse.ArgumentParser(description="T2 with and without stimulated echoes.")
parser.add_argument("--samples", type=int, default=20_000, help="voxels")
parser.add_argument("--snr", type=float, default=100.0, help="M0 over noise")
parser.add_argument("--output", type=Path, default=Path("multi_echo"), help="for pictures")
arguments, _ = parser.parse_known_args()

# %%
# Voxels
# ------
#
# 32 echoes, 10 ms apart, of tissue with T2 of 30 to 250 ms and T1 of 0.5 to 2.5 s, at a B1
# of 0.6 to 1.3. The noise is Rician.

te = 0.01 * np.arange(1, 33)
options = dict(signal="magnitude", noise="rician")
truth = MultiEchoSpinEcho(te, t1=None, **options).given("B1")
X, y, known = make_fingerprints(
    truth,
    arguments.samples,
    snr=arguments.snr,
    distributions={"B1": stats.uniform(0.6, 0.7)},
    random_state=0,
)
t2, b1 = y[:, 0], known[:, 0]

# %%
# Five fits
# ---------
#
# The noise is known, as from voxels of air. Leaving out the first echo is the usual remedy
# of exponential fits. The models of all echoes take T1 as 1 s, whatever it is. A map of B1
# has errors, here with a standard deviation of 0.03.

sigma = 1 / arguments.snr
model = MultiEchoSpinEcho(te, **options)
decay, later = (MonoExponential(t, **options) for t in (te, te[1:]))
rng = np.random.default_rng(1)
measured = known + 0.03 * rng.standard_normal(known.shape)


def errors_of(model, X, known=None):
    """Return errors of T2 by least squares, in percent."""
    fit = NLLSRegressor(model).fit(X, known=known)
    return 100 * (fit.predict(X, sigma=sigma, known=known)[:, 0] / t2 - 1)


errors = {
    "exponential decay": errors_of(decay, X),
    "without the first echo": errors_of(later, X[:, 1:]),
    "all echoes, B1 unknown": errors_of(model, X),
    "all echoes, map of B1": errors_of(model.given("B1"), X, measured),
    "all echoes, exact map": errors_of(model.given("B1"), X, known),
}

# %%
# Errors of T2
# ------------
#
# The bias of a fit is the mean of its errors, the spread their standard deviation.

groups = {
    "all": b1 > 0,
    "B1 < 0.7": b1 < 0.7,
    "0.7 to 0.9": (b1 >= 0.7) & (b1 < 0.9),
    "0.9 to 1.1": (b1 >= 0.9) & (b1 < 1.1),
    "B1 > 1.1": b1 >= 1.1,
}
print(f"{'bias, spread of T2 in %':26}" + "".join(f"{name:>13}" for name in groups))
for name, error in errors.items():
    cells = [f"{error[g].mean():+.1f}, {error[g].std():.1f}" for g in groups.values()]
    print(f"{name:26}" + "".join(f"{cell:>13}" for cell in cells))

# %%
# The same over B1:

edges = np.linspace(0.6, 1.3, 15)
middles, places = (edges[1:] + edges[:-1]) / 2, np.digitize(b1, edges[1:-1])
figure, axes = plt.subplots(1, 2, figsize=(9, 3.8), layout="constrained")
for name, error in errors.items():
    bins = [error[places == k] for k in range(len(middles))]
    line = "o--" if "echoes" in name else "o-"
    axes[0].plot(middles, [np.mean(e) for e in bins], line, ms=3, label=name)
    axes[1].plot(middles, [np.std(e) for e in bins], line, ms=3)
axes[0].set(xlabel="B1", ylabel="bias of T2 (%)")
axes[1].set(xlabel="B1", ylabel="spread of T2 (%)", ylim=(0, None))
axes[0].legend(frameon=False)
arguments.output.mkdir(parents=True, exist_ok=True)
figure.savefig(arguments.output / "t2.png", dpi=120)
plt.show()

# %%
# What the figures say
# --------------------
#
# The exponential decay overestimates T2 by 7 % over all, by 21 % where B1 is below 0.7, and
# by half a percent between 0.9 and 1.1. Leaving out the first echo halves that. The models
# of all echoes are biased by 0.2 % at most, although they take T1 as 1 s. Without a map T2
# spreads by 1.6 %, with an exact one by 1.3 %, but with errors of 0.03 in B1 by 2.3 %: a
# map is taken as exact, and one with errors above 0.015 is worse than none.
