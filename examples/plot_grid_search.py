"""
Pipelines, cross-validation and grid searches
=============================================

The estimators follow scikit-learn's interface: they go into pipelines, cross-validation
and grid searches, and the score of all of them is the efficiency, one for an ideal unbiased
estimator. The Cramér-Rao bound that it needs comes from the model, or travels with the
samples as a sample weight does.

For speed, the training sets here are far smaller than in real use: what is best here need
not be best there.
"""

import argparse
import time
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.ticker import LogLocator
from measurements import load_model
from scipy.stats import uniform
from sklearn import config_context
from sklearn.model_selection import GridSearchCV, cross_validate
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from crbestim import CRBRegressor, DictionaryRegressor, NLLSRegressor, OneStepRegressor
from crbestim.datasets import make_fingerprints

parser = argparse.ArgumentParser(description="Estimators in scikit-learn's tools.")
parser.add_argument("--data", type=Path, help="folder of a sequence and a basis")
parser.add_argument("--samples", type=int, default=1500, help="fingerprints")
parser.add_argument("--epochs", type=int, default=20, help="epochs of each network")
parser.add_argument("--output", type=Path, default=Path("grid_search"), help="for pictures")
arguments, _ = parser.parse_known_args()
start = time.perf_counter()


def report(message):
    """Print a message with the time since the start."""
    print(f"[{time.perf_counter() - start:5.0f} s] {message}", flush=True)


# %%
# Data as another program may deliver them: real and imaginary parts side by side. With a
# custom distribution, here of omega0 in rad/s, all fingerprints are tissue: fluid, whose
# rare large errors would dominate the score, is mixed in by default only.

model = load_model(arguments.data)
X, y, crb = make_fingerprints(
    model,
    arguments.samples,
    snr=100,
    distributions={"omega0": uniform(-200, 400)},
    return_crb=True,
    random_state=0,
)
stacked = np.concatenate([X.real, X.imag], axis=1)
report(f"{len(X)} fingerprints of {X.shape[1]} coefficients")

# %%
# Pipelines and cross-validation
# ------------------------------
#
# A transformer puts the complex signal together, and an estimator follows. Each computes
# the bound for its score from its model, at the noise ``noise_std``: 1/SNR, by default
# 0.01, or that of ``snr`` if a network is given one.


def to_complex(columns):
    """Join real and imaginary parts."""
    real, imaginary = np.split(columns, 2, axis=1)
    return real + 1j * imaginary


def pipeline(estimator):
    """Return an estimator of signals in real and imaginary parts."""
    return make_pipeline(FunctionTransformer(to_complex), estimator)


epochs = dict(max_iter=arguments.epochs, n_iter_no_change=arguments.epochs)
network = CRBRegressor(model, hidden_layer_sizes=(64,) * 4, random_state=0, **epochs)
estimators = {
    "dictionary": DictionaryRegressor(model),
    "dictionary + step": OneStepRegressor(DictionaryRegressor(model), model),
    "least squares": NLLSRegressor(model),
    "network": network,
}
print(f"\n{'':18}{'efficiency of each split':>28}{'fit, s':>10}{'score, s':>10}")
for name, estimator in estimators.items():
    result = cross_validate(pipeline(estimator), stacked, y, cv=3)
    scores = "".join(f"{score:8.3f}" for score in result["test_score"])
    times = result["fit_time"].mean(), result["score_time"].mean()
    print(f"{name:18}{scores:>28}{times[0]:10.2f}{times[1]:10.2f}")
report("cross-validation done")

# %%
# Grid searches
# -------------
#
# Parameters of an estimator in a pipeline have the name of its class in front.

grids = {
    "dictionary": {
        "dictionaryregressor__n_neighbors": [3, 10, 30],
        "dictionaryregressor__interpolate": [False, True],
    },
    "dictionary + step": {
        "onestepregressor__n_steps": [1, 3],
        "onestepregressor__prior": [None, "gaussian"],
    },
    "network": {
        "crbregressor__hidden_layer_sizes": [(32,) * 2, (32,) * 4, (64,) * 4],
    },
}
searches = {}
for name, grid in grids.items():
    search = GridSearchCV(pipeline(estimators[name]), grid, cv=3, n_jobs=2)
    searches[name] = search.fit(stacked, y)
    best = {k.rpartition("__")[2]: v for k, v in search.best_params_.items()}
    report(f"{name}: {search.best_score_:.3f} with {best}")

# %%
# Bounds that travel with the samples
# -----------------------------------
#
# How many coefficients does a network need? A network without a model learns from signals
# of any length as they are, but cannot compute bounds. With metadata routing, those of the
# full signal reach ``fit`` and ``score`` through the pipeline, split by split: one
# yardstick for all lengths. Without fresh noise in every epoch, it scores lower than the
# one above.


def first(signals, n):
    """Select the first coefficients."""
    return signals[:, :n]


with config_context(enable_metadata_routing=True):
    free = CRBRegressor(hidden_layer_sizes=(64,) * 4, random_state=0, **epochs)
    free.set_fit_request(crb=True).set_score_request(crb=True)
    lengths = [{"n": int(n)} for n in np.linspace(0, X.shape[1], 5)[1:]]
    search = GridSearchCV(
        make_pipeline(FunctionTransformer(first), free),
        {"functiontransformer__kw_args": lengths},
        cv=3,
        n_jobs=2,
    )
    searches["network without a model"] = search.fit(X, y, crb=crb)
report(f"coefficients: {search.best_score_:.3f} with {search.best_params_}")

# %%
# All scores
# ----------
#
# Dots are the three splits, bars their means. Scores above one come from knowing the common
# values of the parameters: the bound is for unbiased estimators.


def describe(candidate):
    """Return the values of a candidate."""
    words = []
    for key, value in candidate.items():
        name = key.rpartition("__")[2]
        if name == "hidden_layer_sizes":
            name, value = "layers", f"{len(value)} of {value[0]}"
        if name == "kw_args":
            name, value = "coefficients", value["n"]
        words.append(f"{name} = {value}")
    return ", ".join(words)


sizes = [len(search.cv_results_["params"]) for search in searches.values()]
figure, axes = plt.subplots(
    len(sizes), figsize=(8, 8), sharex=True, height_ratios=sizes, layout="constrained"
)
for axis, (name, search) in zip(axes, searches.items(), strict=True):
    results = search.cv_results_
    places = np.arange(len(results["params"]))
    axis.plot(results["mean_test_score"], places, "|", ms=16, mew=3, color="tab:blue")
    for split in range(3):
        axis.plot(results[f"split{split}_test_score"], places, "o", ms=4, color="0.4")
    axis.set_yticks(places, [describe(candidate) for candidate in results["params"]])
    axis.set(xscale="log", ylim=(len(places) - 0.5, -0.5))
    axis.set_title(name, loc="left")
    axis.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.xaxis.set_major_formatter("{x:g}")
    axis.axvline(1, color="black", lw=0.8)
    axis.grid(axis="y", alpha=0.3)
axes[-1].set_xlabel("efficiency")
arguments.output.mkdir(parents=True, exist_ok=True)
figure.savefig(arguments.output / "scores.png", dpi=120)
report(f"pictures saved in {arguments.output}")
plt.show()
