"""
What a measured B1 map buys
===========================

B1, the transmit field, can be estimated together with the tissue parameters, or measured in
a scan of its own. The bound tells in advance what the second scan is worth, and how precise
it has to be: taken as exact, a map passes its own error on to the tissue parameters.

``--data FOLDER`` uses a measured sequence and basis in place of the library's own.
"""

import argparse
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from measurements import load_model

from crbestim import NLLSRegressor
from crbestim.bounds import crb_from_jacobian, fisher_information
from crbestim.datasets import make_fingerprints

parser = argparse.ArgumentParser(description="What a measured B1 map buys.")
parser.add_argument("--data", type=Path, help="folder of a sequence and a basis")
parser.add_argument("--samples", type=int, default=2000, help="fingerprints")
parser.add_argument("--fits", type=int, default=400, help="fingerprints to fit")
parser.add_argument("--training", type=int, default=10_000, help="training fingerprints")
parser.add_argument("--snr", type=float, default=100.0, help="abs(M0) over noise")
parser.add_argument("--output", type=Path, default=Path("known_b1"), help="for pictures")
arguments, _ = parser.parse_known_args()

# %%
# What the bound says
# -------------------
#
# Known parameters drop out of the information matrix. The ratio of the bounds with and
# without them is the gain in variance; its square root is that in standard deviation. The
# gain does not depend on the noise.

model = load_model(arguments.data)
X, y = make_fingerprints(model, arguments.samples, snr=arguments.snr, random_state=0)
names = model.parameter_names
is_tissue = y[:, names.index("m0s")] > 0.03
X, y = X[is_tissue], y[is_tissue]
s, jacobian = model.signal(y, jacobian=True)
crb = crb_from_jacobian(jacobian, s, noise_std=1 / arguments.snr)


def without(values, *excluded):
    """Leave out the columns of known parameters."""
    return np.delete(values, [names.index(name) for name in excluded], axis=-1)


tissue = [name for name in names if name not in ("omega0", "B1")]
for maps in (["B1"], ["omega0"], ["B1", "omega0"]):
    left = crb_from_jacobian(without(jacobian, *maps), s, noise_std=1 / arguments.snr)
    gain = np.median(np.sqrt(left / without(crb, *maps)), axis=0)
    print(f"{' and '.join(maps)} known, standard deviations over those without: ", end="")
    print(", ".join(f"{n} {g:.2f}" for n, g in zip(tissue, gain, strict=False)))

# %%
# How precise the map has to be
# -----------------------------
#
# There are two ways to use a map whose errors have a standard deviation tau. Taken as
# exact, its error shifts the other estimates, to first order by
# ``-inv(F_uu) F_ub`` times the error, with the information F of the unknown parameters
# (u, with M0) and of B1 (b). Taken as a normal prior of B1 it never hurts: the
# precision ``1 / tau**2`` adds to the information.

k_b1 = names.index("B1")
columns = np.concatenate(
    [without(jacobian, "B1"), s[..., None], 1j * s[..., None], jacobian[..., [k_b1]]],
    axis=2,
)
scale = np.linalg.norm(columns, axis=1)
information = fisher_information(columns / scale[:, None])
passed_on = np.linalg.solve(information[:, :-1, :-1], -information[:, :-1, -1:])[..., 0]
passed_on *= scale[:, -1:] / scale[:, :-1]
exact = crb_from_jacobian(without(jacobian, "B1"), s, noise_std=1 / arguments.snr)
normal = np.random.default_rng(0).standard_normal((len(y), 100))


def typical(variance, k):
    """Return the median error of a parameter over that without a map."""
    errors = np.abs(np.sqrt(variance[:, k] / crb[:, k])[:, None] * normal)
    return np.median(errors) / np.median(np.abs(normal))


taus = np.linspace(0, 0.06, 25)
as_exact, as_prior = {}, {}
for name in ("m0s", "R2f"):
    k = names.index(name)
    as_exact[name] = [
        typical(exact + (tau * passed_on[:, : exact.shape[1]]) ** 2, k) for tau in taus
    ]
    precision, as_prior[name] = np.zeros((len(names), len(names))), []
    for tau in taus:
        precision[k_b1, k_b1] = 1 / max(tau, 1e-6) ** 2
        with_prior = crb_from_jacobian(
            jacobian, s, noise_std=1 / arguments.snr, prior_precision=precision
        )
        as_prior[name].append(typical(with_prior, k))

# %%
# What least squares achieves
# ---------------------------
#
# The same with noisy signals: least squares with B1 unknown, and with maps of several
# precisions taken as exact, ``known`` in ``fit`` and ``predict``. At this signal-to-noise
# ratio its errors are below the Cramér-Rao bound, because the bounds of T2s and Rx limit
# them; so all are given relative to those without a map.

given = model.given("B1")
X_train, y_train, known = make_fingerprints(given, arguments.training, random_state=1)
free = NLLSRegressor(model).fit(X_train, np.hstack([y_train, known]))
fit = NLLSRegressor(given).fit(X_train, y_train, known=known)
few, rng = slice(0, arguments.fits), np.random.default_rng(2)
points, found = [0.0, 0.01, 0.02, 0.03, 0.05], {"m0s": [], "R2f": []}


def typical_error(estimate, name):
    """Return the median error in units of the bound."""
    k = names.index(name)
    return np.median(np.abs(estimate[:, k] - y[few, k]) / np.sqrt(crb[few, k]))


unknown = free.predict(X[few])
low, high = model.bounds[k_b1]
for tau in points:
    b1 = np.clip(y[few, k_b1] + tau * rng.standard_normal(len(y[few])), low, high)
    estimate = fit.predict(X[few], known=b1)
    for name in found:
        found[name].append(typical_error(estimate, name) / typical_error(unknown, name))
for name, values in found.items():
    of_bound = np.interp(points, taus, as_exact[name])
    print(f"{name}, error with a map taken as exact over that without a map:")
    for tau, value, expected in zip(points, values, of_bound, strict=True):
        print(f"  tau {tau:.2f}: bound {expected:.2f}, least squares {value:.2f}")
    print(f"  bound: helps up to tau = {np.interp(1.0, as_exact[name], taus):.3f}")

# %%
# The relative error of the relaxation time T2f is that of its rate R2f, so the curves on
# the right also hold for T2f.

figure, axes = plt.subplots(1, 2, figsize=(9, 3.8), sharey=True, layout="constrained")
labels = {"m0s": "pool size m0s", "R2f": "relaxation rate R2f"}
for ax, name in zip(axes, labels, strict=True):
    ax.axhline(1.0, color="0.6", lw=1)
    ax.plot(taus, as_exact[name], color="C3", label="taken as exact, bound")
    ax.plot(taus, as_prior[name], color="C0", label="as a prior of B1, bound")
    ax.plot(points, found[name], "o", color="C3", label="taken as exact, least squares")
    ax.set(title=labels[name], xlabel="standard deviation of the map of B1")
    ax.set_ylim(0, 2)
axes[0].set_ylabel("error (1: without a map)")
axes[0].legend(frameon=False)
arguments.output.mkdir(parents=True, exist_ok=True)
figure.savefig(arguments.output / "known_b1.png", dpi=150)
