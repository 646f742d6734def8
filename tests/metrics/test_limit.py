"""The least loss, against closed forms and integrals."""

import numpy as np
import pytest
from joblib import parallel_config
from scipy import stats

from crbestim.bounds import cramer_rao_bound
from crbestim.datasets.distributions import draw_parameters, log_densities, mixture_of
from crbestim.metrics import bayes_risk, compare_estimators, comparison
from crbestim.models import MonoExponential, SignalModel
from crbestim.noise import Noise
from tests.metrics.lines import Line

PRIOR = {"a": stats.norm(1.0, 0.2), "b": stats.norm(-0.5, 0.1)}
DESIGN = np.array([[1.0, 1.0, 1.0, 1.0], [0.0, 0.5, 1.0, 2.0]])


class Affine(SignalModel):
    """A line with an intercept: posteriors are normal."""

    parameter_names = ("a", "b")
    bounds = np.array([[-10.0, 10.0], [-10.0, 10.0]])

    def signal(self, theta):
        return theta @ DESIGN


def draw(model, n, distributions=None, seed=0):
    return draw_parameters(model, n, np.random.default_rng(seed), distributions)


@pytest.fixture(scope="module")
def of_lines():
    theta, options = draw(Affine(), 100, PRIOR), dict(n_draws=1000, random_state=0)
    return theta, bayes_risk(Affine(), theta, 4, distributions=PRIOR, **options)


def test_normal_posteriors_have_a_closed_form(of_lines):
    theta, found = of_lines
    information = 16 * DESIGN @ DESIGN.T
    crb = np.diag(np.linalg.inv(information))
    posterior = np.linalg.inv(information + np.diag([1 / 0.2**2, 1 / 0.1**2]))
    exact = np.diag(posterior) / crb
    assert (exact < 0.6).all()
    assert (np.abs(found.risk - exact) < 4 * found.standard_error).all()
    # Expected losses do not depend on the noise of a linear model: their error is that of
    # 400 draws each.
    np.testing.assert_allclose(found.expected, exact, rtol=0.02)
    np.testing.assert_allclose(found.standard_error, np.sqrt(2 / 100) * exact, rtol=0.7)
    assert found.n_left_out == 0 and found.ess.min() > 500
    np.testing.assert_allclose(found.risk_of_mean, found.risk, rtol=0.02)


def test_it_depends_on_the_seed_and_not_on_workers(of_lines):
    theta, found = of_lines
    options = dict(distributions=PRIOR, random_state=0, n_draws=200, least_ess=50)
    with parallel_config(backend="threading"):
        one, other = (
            bayes_risk(Affine(), theta[:6], 4, n_jobs=n, **options) for n in (1, 2)
        )
    np.testing.assert_array_equal(one.estimates, other.estimates)
    options["random_state"] = 1
    again = bayes_risk(Affine(), theta[:6], 4, **options)
    assert (again.estimates != one.estimates).all()


@pytest.mark.parametrize("signal", ["complex", "magnitude"])
def test_one_dimension_by_integration(signal):
    # Noise so strong that the bound differs over the posterior.
    noise = "rician" if signal == "magnitude" else "gaussian"
    model = MonoExponential([0.01, 0.04, 0.08, 0.12], signal=signal, noise=noise)
    prior = {"T2": stats.uniform(0.03, 0.12)}
    theta, snr = draw(model, 25, prior), 8
    found = bayes_risk(model, theta, snr, distributions=prior, random_state=0, n_draws=1500)
    assert found.n_left_out == 0
    t2 = np.linspace(0.03, 0.15, 201)
    amplitude = np.linspace(0.3, 2.0, 86) if signal == "magnitude" else np.ones(1)
    nodes = np.stack(
        [part.ravel() for part in np.meshgrid(t2, amplitude, indexing="ij")], 1
    )
    nodes = nodes[:, : model.n_parameters]
    crb = cramer_rao_bound(model, nodes, noise_std=1 / snr)[:, 0]
    signals = model.signal(nodes)
    best = [exact(x, signals, nodes, crb, snr, model) for x in data_of(model, theta, snr)]
    # In units of the bound, the error of the draws adds 1 % to the risk.
    scale = np.sqrt(cramer_rao_bound(model, theta, noise_std=1 / snr)[:, 0])
    error = (found.estimates[:, 0] - best) / scale
    assert np.sqrt((error**2).mean()) < 0.1
    assert found.risk[0] < min(found.risk_of_mean[0], 1)


def data_of(model, theta, snr):
    """Return the signals that `bayes_risk` draws from seed 0."""
    from crbestim._simulations import random_state_of
    from crbestim.noise import add_noise, noise_of_data

    entropy = random_state_of(0).randint(2**31 - 1, size=4)
    seeds = np.random.SeedSequence(entropy.tolist()).spawn(len(theta))
    for row, seed in zip(theta, seeds, strict=True):
        s = model.signal(row[None])
        rng = np.random.default_rng(seed)
        yield add_noise(s, np.array([float(snr)]), rng, noise=noise_of_data(model))


def exact(x, signals, nodes, crb, snr, model):
    """Integrate over a grid."""
    if model.is_complex:
        power = (np.abs(signals) ** 2).sum(axis=1)
        log = np.abs((signals.conj() * x).sum(axis=1)) ** 2 / power / 2 * snr**2
    else:
        m, a = x * snr, signals * snr
        log = stats.rice.logpdf(m, a).sum(axis=1) - np.log(nodes[:, 1])
    weight = np.exp(log - log.max()) / crb
    return weight @ nodes[:, 0] / weight.sum()


def test_draws_have_the_density_that_is_stated():
    model = MonoExponential([0.01, 0.04], bounds={"T2": (0.05, 3.0)})
    mixture, theta = mixture_of(model), draw(model, 4000)
    assert [weight for weight, _ in mixture] == [0.9, 0.1]
    nodes = np.geomspace(0.05, 3.0, 20_001)
    density = np.exp(log_densities(model, mixture, nodes[:, None])).sum(axis=0)
    share = np.concatenate(
        [[0], np.cumsum(np.diff(nodes) * (density[1:] + density[:-1]) / 2)]
    )
    assert share[-1] == pytest.approx(1, abs=1e-3)
    assert stats.kstest(theta[:, 0], lambda t: np.interp(t, nodes, share)).pvalue > 1e-3
    assert len(mixture_of(model, {"T2": stats.uniform(0.1, 0.1)})) == 1


def test_voxels_with_few_effective_draws_are_left_out_and_counted(of_lines):
    theta, _ = of_lines
    few = bayes_risk(
        Affine(), theta[:6], 4, distributions=PRIOR, random_state=0, least_ess=1e4
    )
    assert few.n_left_out == 6 and np.isnan(few.risk).all()
    assert np.isnan(few.estimates).all()


def best_of_lines(X):
    """Return posterior means."""
    prior = np.diag([1 / 0.2**2, 1 / 0.1**2])
    gain = np.linalg.inv(16 * DESIGN @ DESIGN.T + prior)
    return (16 * X @ DESIGN.T + np.array([1.0, -0.5]) @ prior) @ gain


def test_the_limit_stands_beside_estimators_on_the_same_signals(of_lines, monkeypatch):
    theta = of_lines[0][:40]
    monkeypatch.setattr(comparison, "_LEAST_SECONDS", 0.0)
    monkeypatch.setattr(comparison, "find_spec", lambda name: None)
    options = dict(distributions=PRIOR, random_state=0, n_draws=1000)
    given = dict(random_state=1, limit=options, standard_errors=True)
    table = compare_estimators({"best": best_of_lines}, Affine(), theta, 4, 3, **given)
    assert table["estimator"] == ["best"] * 2 + ["limit"] * 2
    # Chance would make the loss differ by a tenth; what is left is that of the draws.
    for name in ("crb_loss", "bias_ratio", "variance_ratio", "crb_loss_se"):
        values = np.reshape(table[name], (2, 2))
        np.testing.assert_allclose(values[1], values[0], rtol=0.1, atol=5e-3)
    losses = np.reshape(table["crb_loss"], (2, 2))
    np.testing.assert_allclose(losses[1], losses[0], rtol=0.03)
    assert table["lost_share"][2] == 0 and np.isnan(table["voxels_per_second"][2])
    with pytest.raises(TypeError, match="limit is True; give a dict of options"):
        compare_estimators({"best": best_of_lines}, Affine(), theta, 4, 2, limit=True)


def test_the_limit_of_known_values_and_complex_signals(monkeypatch):
    monkeypatch.setattr(comparison, "_LEAST_SECONDS", 0.0)
    monkeypatch.setattr(comparison, "find_spec", lambda name: None)
    model = MonoExponential([0.01, 0.04, 0.08], offset=True).given("offset")
    model = model.at(np.array([[0.0], [0.1], [0.2]]))
    prior = {"T2": stats.uniform(0.0799, 0.0002)}
    limit = dict(distributions=prior, n_draws=400, least_ess=20, random_state=0)
    table = compare_estimators(
        None, model, [[0.08]] * 3, 20, 2, limit=limit, random_state=0
    )
    assert table["crb_loss"][0] < 1e-3 and table["lost_share"] == [0]


def test_the_expected_loss_has_a_smaller_error(of_lines):
    theta, found = of_lines
    # Of a linear model it is the same for all samples, but for the draws.
    assert (found.expected_error < 0.1 * found.standard_error).all()
    assert (found.expected_error > 0).all()


def test_draws_that_miss_the_bounds_start_again():
    # The data do not show the slope, whose bounds are far narrower than its spread.
    narrow = {"slope": stats.uniform(0.999, 0.002)}
    model = Line()
    model.bounds = np.array([[0.999, 1.001]])
    theta = draw(model, 20, narrow)
    found = bayes_risk(
        model, theta, 1, distributions=narrow, random_state=0, n_draws=400, least_ess=20
    )
    assert found.n_left_out == 0
    assert found.risk[0] < 1e-5
    np.testing.assert_allclose(found.estimates, 1, atol=2e-4)


class Unlikely(Noise):
    def information(self, signal, sigma):
        return None


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"snr": (5, 10)}, r"snr = \(5, 10\); give one number"),
        ({"n_draws": 10}, "n_draws = 10; give a whole number, 100 or more"),
        ({"least_ess": 0}, "least_ess = 0; give a number above 1"),
        ({"distributions": None}, "Line has no distribution for slope"),
        (
            {"theta": [[1.0], [3.0]]},
            "theta has no density in 1 of 2 rows, the first in row 1",
        ),
        ({"noise": Unlikely()}, "noise='Unlikely' has no log_likelihood"),
    ],
)
def test_bad_options(options, message):
    model = Line()
    model.noise = options.pop("noise", "gaussian")
    given = {"theta": [[1.0]], "snr": 10, "distributions": {"slope": stats.uniform(0, 2)}}
    with pytest.raises(ValueError, match=message):
        bayes_risk(model, **{**given, **options})
