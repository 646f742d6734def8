"""Fingerprints: distributions, noise and independence of how the work is cut."""

import numpy as np
import pytest
from scipy import stats

from crbestim.bounds import cramer_rao_bound
from crbestim.datasets import make_fingerprints
from crbestim.datasets.distributions import draw_parameters
from crbestim.models import (
    FunctionModel,
    MagnetizationTransfer,
    MonoExponential,
    SignalModel,
)
from crbestim.noise import add_noise, check_snr
from crbestim.sequences import HybridStateSequence


@pytest.fixture(scope="module")
def model():
    alpha = np.append(np.pi, 0.3 + 0.2 * np.sin(np.arange(23)))
    return MagnetizationTransfer(HybridStateSequence(alpha, np.full(24, 4e-4), 3.5e-3))


class Line(SignalModel):
    """A real model without distributions of its own."""

    parameter_names = ("slope",)
    bounds = np.array([[-10.0, 10.0]])

    def signal(self, theta):
        return theta * np.ones(1000)


def test_shapes_and_types(model):
    X, y, crb = make_fingerprints(model, 30, return_crb=True, random_state=0)
    assert X.shape == (30, 24) and X.dtype == complex
    assert y.shape == crb.shape == (30, 7)


def test_same_result_for_every_n_jobs(model):
    options = dict(snr=(10, 100), return_crb=True, random_state=3)
    serial = make_fingerprints(model, 2100, **options)
    parallel = make_fingerprints(model, 2100, n_jobs=2, **options)
    for one, two in zip(serial, parallel, strict=True):
        np.testing.assert_array_equal(one, two)


def test_result_depends_on_the_seed(model):
    first = make_fingerprints(model, 5, random_state=0)[0]
    np.testing.assert_array_equal(first, make_fingerprints(model, 5, random_state=0)[0])
    assert np.all(first != make_fingerprints(model, 5, random_state=1)[0])


def test_return_crb_does_not_change_the_data(model):
    plain = make_fingerprints(model, 50, random_state=0)
    for one, two in zip(
        plain, make_fingerprints(model, 50, random_state=0, return_crb=True), strict=False
    ):
        np.testing.assert_allclose(one, two, rtol=1e-12)


def test_bounds_are_those_of_the_noise(model):
    _, y, crb = make_fingerprints(model, 20, snr=40, return_crb=True, random_state=0)
    np.testing.assert_allclose(crb, cramer_rao_bound(model, y, noise_std=1 / 40), rtol=1e-9)


def test_noise_has_the_stated_level(model):
    X, y = make_fingerprints(model, 2000, snr=20, random_state=0)
    clean = model.signal(y)
    factor = (clean.conj() * X).sum(axis=1) / (np.abs(clean) ** 2).sum(axis=1)
    residual = X - factor[:, None] * clean
    # The fit of a complex factor takes one of 24 complex degrees of freedom.
    for part in (residual.real, residual.imag):
        assert part.std() * np.sqrt(24 / 23) == pytest.approx(0.05, rel=0.01)
    phases = np.angle(factor)
    assert stats.kstest(phases, stats.uniform(-np.pi, 2 * np.pi).cdf).pvalue > 0.01


def test_brain_distribution(model):
    theta = draw_parameters(model, 20_000, np.random.default_rng(0))
    low, high = model.bounds.T
    assert (theta >= low).all() and (theta <= high).all()
    y = dict(zip(model.parameter_names, theta.T, strict=True))
    fluid = y["m0s"] < 0.01
    # 10 % fluid, and what little of the truncated normal falls below 0.01.
    tissue_share = model.parameters[0].distribution.cdf(0.01)
    assert fluid.mean() == pytest.approx(0.1 + 0.9 * tissue_share, abs=0.01)
    assert y["Rx"].min() >= 5 and y["T2s"].max() <= 18e-6
    expected = model.parameters[6].distribution
    assert stats.kstest(y["B1"], expected.cdf).pvalue > 0.01


def test_given_distributions(model):
    given = {"m0s": stats.uniform(0.1, 0.01), "B1": stats.uniform(0.9, 0.1)}
    _, y = make_fingerprints(model, 500, distributions=given, random_state=0)
    assert 0.1 <= y[:, 0].min() and y[:, 0].max() <= 0.11
    assert 0.9 <= y[:, 6].min() and y[:, 6].max() <= 1.0
    assert y[:, 2].min() > 0.4  # no fluid mixed in


def test_real_model_has_no_phase():
    distributions = {"slope": stats.uniform(1, 1)}
    X, y = make_fingerprints(Line(), 50, distributions=distributions, random_state=0)
    assert X.dtype == float
    np.testing.assert_allclose(X.mean(axis=1), y[:, 0], atol=0.002)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        (dict(snr=0), ValueError, "snr = 0"),
        (dict(snr=(100, 10)), ValueError, r"snr = \(100, 10\)"),
        (dict(snr=(1, 2, 3)), ValueError, r"snr = \(1, 2, 3\)"),
        (dict(snr=np.nan), ValueError, "snr = nan"),
        (dict(n_samples=0), ValueError, "n_samples = 0"),
        (dict(n_samples=1.5), ValueError, "n_samples = 1.5"),
        (dict(distributions={"T1": stats.norm()}), ValueError, "distributions name T1"),
        (dict(distributions={"m0s": 0.1}), TypeError, "frozen"),
    ],
)
def test_bad_arguments(model, options, error, message):
    with pytest.raises(error, match=message):
        make_fingerprints(model, **{"n_samples": 5, **options})


def test_missing_distribution_is_named():
    with pytest.raises(ValueError, match="Line has no distribution for slope"):
        make_fingerprints(Line(), 5)


def test_draws_outside_the_domain_are_refused(model):
    with pytest.raises(ValueError, match="m0s = .* outside 0 to 0.8"):
        make_fingerprints(model, 5, distributions={"m0s": stats.uniform(2, 1)})


def test_progress_bar(model, capsys):
    make_fingerprints(model, 5, random_state=0, verbose=True)
    assert "fingerprints" in capsys.readouterr().err
    make_fingerprints(model, 5, random_state=0)
    assert capsys.readouterr().err == ""


def test_check_snr():
    assert check_snr(5) == (5.0, 5.0)
    assert check_snr([5, 7]) == (5.0, 7.0)


def test_add_noise_per_sample():
    rng = np.random.default_rng(0)
    noisy = add_noise(np.zeros((2, 20_000)), np.array([10.0, 100.0]), rng)
    np.testing.assert_allclose(noisy.std(axis=1), [0.1, 0.01], rtol=0.02)


# Draws follow the bounds of the model

TE = 0.01 * np.arange(1, 9)


@pytest.mark.parametrize(
    ("bounds", "share_of_fluid"),
    [((1e-3, 4.0), 0.1), ((0.05, 0.1), 0.0), ((0.6, 1.2), 1.0), ((0.1, 0.8), 0.1)],
)
def test_draws_stay_inside_the_bounds(bounds, share_of_fluid):
    model = MonoExponential(TE, bounds={"T2": bounds})
    t2 = make_fingerprints(model, 2000, random_state=0)[1][:, 0]
    assert bounds[0] <= t2.min() < t2.max() <= bounds[1]
    assert np.mean(t2 > 0.25) == pytest.approx(share_of_fluid, abs=0.03)


@pytest.mark.parametrize("distributions", [None, {}, {"M0": stats.uniform(1.0, 2.0)}])
def test_fluid_alone_is_drawn_where_only_fluid_is_inside(distributions):
    model = MonoExponential(TE, signal="magnitude", bounds={"T2": (0.6, 1.2)})
    _, y = make_fingerprints(model, 400, random_state=0, distributions=distributions)
    assert 0.6 <= y[:, 0].min() < 0.63 < 1.17 < y[:, 0].max() <= 1.2


def test_draws_inside_the_bounds_do_not_change_with_them():
    wide, narrow = (
        make_fingerprints(MonoExponential(TE, bounds=b), 500, random_state=0)[1]
        for b in (None, {"T2": (0.02, 2.6)})
    )
    np.testing.assert_array_equal(wide, narrow)


def test_a_truncated_draw_has_the_shape_of_the_distribution():
    frozen = stats.norm(0.08, 0.02)
    model = FunctionModel(
        lambda theta: np.exp(-TE / theta) + 0j,
        ["T2"],
        [(0.09, 0.2)],
        distributions={"T2": frozen},
    )
    t2 = make_fingerprints(model, 4000, random_state=0)[1][:, 0]
    expected = (frozen.cdf(0.1) - frozen.cdf(0.09)) / (frozen.cdf(0.2) - frozen.cdf(0.09))
    assert np.mean(t2 < 0.1) == pytest.approx(expected, abs=0.03)


def test_bounds_without_tissue_are_refused():
    model = MonoExponential(TE, bounds={"T2": (0.26, 0.4)})
    with pytest.raises(ValueError, match="T2 in the brain, 0.03 to 0.25, has nothing in"):
        make_fingerprints(model, 10)
    _, y = make_fingerprints(model, 10, distributions={"T2": stats.uniform(0.3, 0.05)})
    assert y.min() >= 0.3
