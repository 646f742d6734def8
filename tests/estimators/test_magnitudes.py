"""Estimators of magnitudes: training, precision and what they refuse."""

import warnings

import numpy as np
import pytest

from crbestim import (
    CRBRegressor,
    DictionaryRegressor,
    NLLSRegressor,
    OneStepRegressor,
)
from crbestim._measurements import Measurements
from crbestim.bounds import cramer_rao_bound, signal_and_bound
from crbestim.datasets import make_fingerprints
from crbestim.estimators._residuals import analyze_residuals
from crbestim.estimators._training_data import TrainingData
from crbestim.exceptions import LowSignalWarning
from crbestim.network.arrays import KnownInputs, Network
from crbestim.network.losses import CRBLoss, MSELoss
from crbestim.noise import RicianNoise
from tests.magnitudes import MagnitudeDecay

RICIAN = MagnitudeDecay("rician")


def small(model=RICIAN, **changes):
    options = dict(hidden_layer_sizes=(32, 32), max_iter=3, random_state=0)
    return CRBRegressor(model, **{**options, **changes})


@pytest.fixture(scope="module")
def data():
    """Return X, y and crb of magnitudes between 3 and 30 times the noise."""
    return make_fingerprints(RICIAN, 400, snr=(3, 30), return_crb=True, random_state=0)


SCALE = np.ptp(RICIAN.bounds, axis=1)
NETWORK = Network(
    hidden_layer_sizes=(8,),
    activation="gelu",
    dtype="float64",
    offset=RICIAN.bounds.mean(axis=1),
    scale=SCALE,
    periods=np.full(2, np.inf),
    reference=np.zeros(RICIAN.n_features),
    known_inputs=KnownInputs.learn(None),
)


def training_set(y, crb=None, **changes):
    """Return arrays and options of clean magnitudes that get fresh noise."""
    options = dict(loss=CRBLoss(), target_variance=np.ones(2), noise_std=0.1, snr=None)
    data = TrainingData(NETWORK, **{**options, **changes})
    return data.simulated(RICIAN, y, crb, None)


# Bounds of the noise that training draws


def test_table_of_precisions_is_that_of_bounds(data):
    """Between levels, too: the step is chosen for one per cent."""
    y = data[1][:50]
    table, options = training_set(y, snr=(3.0, 30.0))
    assert isinstance(options["noise"], RicianNoise) and options["snr_is_range"]
    levels = table["levels"]
    assert levels[0] == 3 and levels[-1] == 30
    for snr in (3.0, 3.3, 7.0, 19.0, 30.0):
        precision = np.array(
            [
                np.interp(snr, levels, column)
                for row in table["precision"]
                for column in row.T
            ]
        ).reshape(50, 2)
        expected = SCALE**2 / signal_and_bound(RICIAN, y, 1 / snr)[1]
        np.testing.assert_allclose(precision * snr**2, expected, rtol=0.01)


def test_one_noise_level_has_one_bound(data):
    table, _ = training_set(data[1])
    assert table["snr"] == table["levels"] == 10
    expected = SCALE**2 / cramer_rao_bound(RICIAN, data[1], 0.1)
    np.testing.assert_allclose(table["precision"][:, 0] * 10**2, expected)
    # Bounds tell the noise to about 1e-5.
    crb = cramer_rao_bound(RICIAN, data[1], 0.02)
    table, _ = training_set(data[1], crb)
    assert len(table["levels"]) == 1
    np.testing.assert_allclose(table["snr"], 50, rtol=1e-5)


@pytest.mark.parametrize("noise_std", [1e-3, 10.0])
def test_bounds_tell_the_noise_of_their_rows(noise_std):
    snr = np.geomspace(0.5, 200, 40)
    y = np.random.default_rng(0).uniform(*RICIAN.bounds.T, size=(40, 2))
    crb = cramer_rao_bound(RICIAN, y, 1 / snr)
    crb[::3, 0] = np.inf
    for loss in (CRBLoss(), MSELoss()):
        found, _ = training_set(y, crb, noise_std=noise_std, loss=loss)
        np.testing.assert_allclose(found["snr"], snr, rtol=1e-4)
    table, _ = training_set(y, crb)
    assert (table["precision"][::3, :, 0] == 0).all()
    assert (table["precision"][1::3] > 0).all()


def test_squared_errors_need_no_table(data):
    table, options = training_set(data[1], loss=MSELoss())
    assert table["levels"] is None and isinstance(options["noise"], RicianNoise)
    np.testing.assert_allclose(
        table["precision"], np.tile(np.ptp(RICIAN.bounds, axis=1) ** 2, (400, 1))
    )


# The network


def test_network_learns_the_noise_floor(data):
    """Least squares without it takes the floor for a slower decay."""
    X, y, _ = data
    options = dict(loss="mse", snr=3.0, max_iter=12, batch_size=32, early_stopping=False)
    new, truth = make_fingerprints(RICIAN, 1000, snr=3, random_state=1)
    network = (small(**options).fit(X, y).predict(new) - truth).mean(axis=0)[1]
    with pytest.warns(LowSignalWarning, match="below 5 sigma .* give the model noise='ric"):
        estimates = NLLSRegressor(MagnitudeDecay()).fit(X, y).predict(new)
    squares = (estimates - truth).mean(axis=0)[1]
    assert squares < -10
    assert abs(network) < 3


def test_training_is_the_same_for_the_same_seed(data):
    X, y, _ = data
    one, two = (small(snr=(3, 30)).fit(X, y).predict(X) for _ in range(2))
    np.testing.assert_array_equal(one, two)


@pytest.mark.parametrize("loss", ["mse", "bias-reduced"])
def test_other_losses_train_on_magnitudes(data, loss):
    X, y, crb = data
    reg = small(loss=loss).fit(X, y, crb=crb)
    np.testing.assert_allclose(reg.snr_range_, (3, 30), rtol=0.02)
    assert np.isfinite(reg.predict(X)).all()


# Standard deviations


@pytest.fixture(
    scope="module",
    params=[
        NLLSRegressor(RICIAN),
        OneStepRegressor(model=RICIAN, prior=None),
        DictionaryRegressor(RICIAN, n_neighbors=5, interpolate=True),
    ],
    ids=lambda estimator: type(estimator).__name__,
)
def fitted(request, data):
    return request.param.fit(*data[:2])


def test_standard_deviations_are_of_rician_noise(fitted, data):
    X, sigma = data[0][:20], np.linspace(0.05, 0.5, 20)
    y, std = fitted.predict(X, return_std=True, sigma=sigma)
    np.testing.assert_allclose(std, np.sqrt(cramer_rao_bound(RICIAN, y, sigma)), rtol=1e-6)


def test_matching_needs_the_noise_for_standard_deviations(data):
    reg = DictionaryRegressor(RICIAN).fit(*data[:2])
    with pytest.raises(ValueError, match="is Rician, which adds to the signal.*give sigma"):
        reg.predict(data[0], return_std=True)


def test_network_gives_calibrated_standard_deviations(data):
    """Of errors with the noise of training, 68 % are within one standard deviation."""
    X, y, crb = data
    reg = small(snr=5.0, max_iter=60, batch_size=32).fit(X, y)
    new, truth = make_fingerprints(RICIAN, 2000, snr=5, random_state=2)
    found, std = reg.predict(new, return_std=True, sigma=1 / 5)
    coverage = (np.abs(found - truth) < std).mean(axis=0)
    np.testing.assert_allclose(coverage, 0.68, atol=0.1)
    with pytest.raises(ValueError, match="is Rician, which adds to the signal.*give sigma"):
        reg.predict(new, return_std=True)


def test_posterior_has_rician_information(data):
    X, y, _ = data
    prior = np.diag([10.0, 0.01])
    sigma = np.full(len(X), 0.3)
    data = Measurements(X, sigma)
    std = analyze_residuals(RICIAN, data, y, prior_precision=prior).std
    fits = NLLSRegressor(RICIAN, prior=([1, 20], np.linalg.inv(prior))).fit(X, y)
    fitted, expected = fits.predict(X[:9], return_std=True, sigma=0.3)
    seen = analyze_residuals(RICIAN, data[:9], fitted, prior_precision=prior)
    np.testing.assert_allclose(seen.std, expected, rtol=1e-6)
    assert (std < np.sqrt(cramer_rao_bound(RICIAN, y, 0.3))).all()


def test_covariances_are_of_the_noise_that_each_voxel_shows(data):
    X, y, _ = data
    fits = NLLSRegressor(RICIAN).fit(X, y).fit_voxels(X[:5])
    expected = cramer_rao_bound(RICIAN, fits.theta, fits.sigma)
    # The sigma of the bound is that of data at an amplitude of 1, as this model names none.
    found = np.einsum("nii->ni", fits.covariance)
    np.testing.assert_allclose(found, expected, rtol=1e-6)


# Warnings


def test_scores_by_gaussian_bounds_warn(data):
    X, y, crb = data
    reg = NLLSRegressor(MagnitudeDecay(), noise_std=0.2).fit(X, y)
    with pytest.warns(LowSignalWarning, match="of 400 samples: .* give noise='rician'"):
        reg.score(X, y)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        reg.score(X, y, crb=crb)
        NLLSRegressor(RICIAN, noise_std=0.2).fit(X, y).score(X, y)


def test_training_with_gaussian_bounds_warns_once(data):
    with pytest.warns(LowSignalWarning, match="of 40 samples") as caught:
        small(MagnitudeDecay(), noise_std=0.2).fit(*data[:2])
    assert len(caught) == 1


def test_residuals_of_low_magnitudes_warn():
    """Rician noise has its own distribution, and nothing to warn of."""
    X, y = make_fingerprints(MagnitudeDecay(), 100, snr=100, random_state=0)
    reg = NLLSRegressor(MagnitudeDecay()).fit(X, y)
    rician = NLLSRegressor(RICIAN).fit(X, y)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        reg.residual(X, sigma=0.01)
        rician.residual(X, sigma=0.5)
    with pytest.warns(LowSignalWarning, match="below 5 sigma in 100 of 100 voxels") as seen:
        reg.residual(X, sigma=0.5)
    assert [w.filename for w in seen] == [__file__]
