"""Draw the figure of the landing page: four estimators against the Cramér-Rao bound.

``python docs/figures.py`` writes ``docs/_static/idea-light.svg`` and ``idea-dark.svg``,
which are kept with the pages so that the README can show them.
"""

import warnings
from pathlib import Path

import numpy as np
from scipy import stats

from crbestim import CRBRegressor, NLLSRegressor
from crbestim.bounds import cramer_rao_bound
from crbestim.datasets import make_fingerprints
from crbestim.exceptions import AtBoundWarning
from crbestim.models import FunctionModel, MonoExponential

FOLDER = Path(__file__).resolve().parent / "_static"
INK = {"light": "#323a45", "dark": "#ced6dd"}
COLORS = {
    "light": ("#c2410c", "#a21caf", "#0f766e", "#1d4ed8"),
    "dark": ("#fb923c", "#e879f9", "#2dd4bf", "#93b4ff"),
}
SNR, BOUNDS, TE = 50, (0.01, 1.0), 0.01 * np.arange(1, 13)
MODEL = MonoExponential(TE, bounds={"T2": BOUNDS})
OF_LOG = FunctionModel(
    lambda log: np.exp(-TE / np.exp(log)) + 0j,
    ["log T2"],
    [np.log(BOUNDS)],
    vectorized=True,
)


class Exponential:
    """T2 by a network that has learned log T2."""

    def __init__(self, network):
        self.network = network

    def predict(self, X):
        """Return T2, in s, of shape (n_samples, 1)."""
        return np.exp(self.network.predict(X))


def fitted(max_iter=100):
    """Return three networks of one kind and one training set, and least squares."""
    distributions = {"T2": stats.uniform(BOUNDS[0], BOUNDS[1] - BOUNDS[0])}
    X, y, crb = make_fingerprints(
        MODEL, 2000, snr=SNR, distributions=distributions, random_state=0, return_crb=True
    )
    options = dict(snr=SNR, hidden_layer_sizes=(32, 32), max_iter=max_iter, random_state=0)
    square, of_log = (CRBRegressor(m, loss="mse", **options) for m in (MODEL, OF_LOG))
    return {
        "Network, squared error": square.fit(X, y),
        "Network, error of log T2": Exponential(of_log.fit(X, np.log(y))),
        "Network, CRB loss": CRBRegressor(MODEL, loss="crb", **options).fit(X, y, crb=crb),
        "Least squares": NLLSRegressor(MODEL).fit(X),
    }


def measure(estimators, n_values=25, n_voxels=400):
    """Return T2, and bias and standard deviation of each estimator over the bound's root.

    Parameters
    ----------
    estimators : dict
        Fitted estimators by name.
    n_values, n_voxels : int, default=25 and 400
        Number of values of T2, and of noisy voxels of each.

    Returns
    -------
    t2 : ndarray of shape (n_values,)
        True values, in s.
    errors : dict of ndarray of shape (2, n_values)
        Bias and standard deviation, in standard deviations of the bound.
    """
    t2 = np.geomspace(0.015, 0.3, n_values)
    clean = MODEL.signal(np.repeat(t2, n_voxels)[:, None])
    noise = np.random.default_rng(1).normal(size=(2, *clean.shape)) / SNR
    unit = np.sqrt(cramer_rao_bound(MODEL, t2[:, None], noise_std=1 / SNR))[:, 0]
    errors = {}
    for name, estimator in estimators.items():
        with warnings.catch_warnings():
            # The network of squared errors ends at bounds; that is what the figure shows.
            warnings.simplefilter("ignore", AtBoundWarning)
            found = estimator.predict(clean + noise[0] + 1j * noise[1])
        found = found.reshape(n_values, n_voxels)
        errors[name] = np.stack([found.mean(axis=1) - t2, found.std(axis=1)]) / unit
    return t2, errors


def draw(t2, errors, theme):
    """Return the figure in the colours of a theme, "light" or "dark"."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    ink = INK[theme]
    names = "text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color"
    fonts = {"font.family": "sans-serif", "font.size": 11}
    with rc_context({**dict.fromkeys(names, ink), **fonts}):
        figure = Figure(figsize=(10.6, 3.3), layout="constrained")
        panels = figure.subplots(1, len(errors), sharex=True, sharey=True)
        parts = zip(panels, COLORS[theme], errors.items(), strict=True)
        for ax, color, (name, (bias, sd)) in parts:
            ax.patch.set_visible(False)
            ax.spines[["top", "right"]].set_visible(False)
            ax.axhspan(-1, 1, color=ink, alpha=0.13, lw=0)
            band = bias - sd, bias + sd
            ax.fill_between(1e3 * t2, *band, color=color, alpha=0.35, lw=0)
            ax.plot(1e3 * t2, bias, color=color, lw=2)
            ax.set(xscale="log", xlabel="T2 (ms)", ylim=(-4, 4))
            ax.set_title(name, fontsize=11)
            ax.set_xticks([20, 50, 100, 200], ["20", "50", "100", "200"])
            ax.minorticks_off()
            efficiency = 1 / np.mean(bias**2 + sd**2)
            text = f"efficiency {efficiency:.2f}"
            ax.text(0.97, 0.05, text, ha="right", transform=ax.transAxes)
        panels[0].set_ylabel("error of T2, in units of\nthe bound's standard deviation")
        line = dict(arrowstyle="-", color=ink)
        panels[-1].annotate("Cramér-Rao bound", (60, 1), (30, 2.6), arrowprops=line)
    return figure


def main():
    """Measure, and write both files."""
    from matplotlib import rc_context

    t2, errors = measure(fitted())
    for theme in INK:
        # The same text in every run, with letters that stay letters.
        with rc_context({"svg.hashsalt": "idea", "svg.fonttype": "none"}):
            file = FOLDER / f"idea-{theme}.svg"
            draw(t2, errors, theme).savefig(file, transparent=True, metadata={"Date": None})
        print(file)


if __name__ == "__main__":
    main()
