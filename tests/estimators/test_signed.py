"""Signed data, without imaginary parts, in models of complex signals and of magnitudes."""

import warnings

import numpy as np
import pytest

from crbestim import DictionaryRegressor, NLLSRegressor
from crbestim._warnings import ignored
from crbestim.estimators.nlls import VoxelStatus
from crbestim.exceptions import NoiseLevelWarning
from crbestim.models import InversionRecovery
from tests.estimators.siblings import ESTIMATORS

TI = np.array([0.03, 0.06, 0.1, 0.2, 0.4, 0.7, 1.1, 1.6, 2.4, 3.5])
MODEL = InversionRecovery(TI, tr=5.0)
MAGNITUDE = InversionRecovery(TI, tr=5.0, signal="magnitude")


def signed(n=1500, sigma=100.0):
    """Return signals of T1 = 1 s in real noise."""
    noise = np.random.default_rng(0).standard_normal((n, len(TI)))
    return 1e4 * MODEL.signal([[1.0, 0.96]]).real + sigma * noise


@pytest.mark.parametrize("kind", ESTIMATORS)
def test_parts_that_were_not_measured_show_no_noise(kind):
    X = signed() + 0j
    reg = ESTIMATORS[kind](MODEL).fit(X)
    y, std = reg.predict(X, return_std=True)
    given = reg.predict(X, return_std=True, sigma=100.0)[1]
    # The root mean square of estimates of sigma with seven degrees of freedom is sigma.
    ratio = np.sqrt((std[:, 0] ** 2).mean()) / np.median(given[:, 0])
    assert ratio == pytest.approx(1.0, abs=0.04)
    assert y[:, 0].std() / np.median(given[:, 0]) == pytest.approx(1.0, abs=0.06)
    residual = reg.residual(X)
    assert residual.n_free == 7
    assert np.median(residual.sigma) == pytest.approx(100.0, rel=0.03)
    assert residual.flag.mean() < 0.005


def test_each_voxel_is_judged_on_its_own():
    noise = np.random.default_rng(1).standard_normal((400, len(TI)))
    both = np.concatenate([signed(400) + 0j, signed(400) + 100j * noise])
    reg = NLLSRegressor(MODEL).fit(both)
    together = reg.predict(both, return_std=True)[1]
    apart = [reg.predict(part, return_std=True)[1] for part in np.split(both, 2)]
    np.testing.assert_array_equal(together, np.concatenate(apart))


def test_three_real_samples_show_no_noise():
    model = InversionRecovery(TI[[1, 4, 8]], tr=5.0)
    X = signed(3)[:, [1, 4, 8]] + 0j
    reg = NLLSRegressor(model).fit(X)
    with pytest.warns(UserWarning, match="X without imaginary parts has no more real num"):
        std = reg.predict(X, return_std=True)[1]
    assert np.isnan(std).all()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert np.isfinite(reg.predict(X, return_std=True, sigma=100.0)[1]).any()


def test_real_data_are_told_what_helps():
    with pytest.raises(ValueError, match=r"X is real.*; give X \+ 0j if it is signed"):
        NLLSRegressor(MODEL).fit(signed(3))
    with pytest.raises(ValueError, match=r"fitted to complex X; give X \+ 0j if it is si"):
        NLLSRegressor(MODEL).fit(signed(3) + 0j).predict(signed(3))


@pytest.mark.parametrize("kind", ESTIMATORS)
def test_signed_data_are_no_magnitudes(kind):
    reg = ESTIMATORS[kind](MAGNITUDE).fit(np.abs(signed(5)))
    with pytest.warns(UserWarning, match="large negative values in 5 of 5 voxels, and the"):
        reg.predict(signed(5, sigma=1.0))


def test_a_few_negative_magnitudes_are_tolerated():
    """Filters leave small ones."""
    X = np.abs(signed(300))
    X[:, 3] -= 0.05 * X.max()
    X[0] -= 0.5 * X.max()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        DictionaryRegressor(MAGNITUDE).fit(X).predict(X)


def test_a_kink_is_no_fault_of_the_jacobian():
    X = signed(300)
    reg = NLLSRegressor(MAGNITUDE).fit(np.abs(X))
    with pytest.warns() as record:
        fits = reg.fit_voxels(X)
    assert (fits.status == VoxelStatus.STALLED).any()
    text = " ".join(str(warning.message) for warning in record)
    assert "stalled" in text and "Jacobian" not in text


@pytest.mark.parametrize("kind", ESTIMATORS)
def test_rician_magnitudes_are_never_negative(kind):
    model = InversionRecovery(TI, tr=5.0, signal="magnitude", noise="rician")
    X = np.abs(signed(60))
    reg = ESTIMATORS[kind](model).fit(X)
    zero, below = X.copy(), X.copy()
    zero[:, 4], below[:, 4] = 0.0, -0.02 * X.max()
    with ignored(NoiseLevelWarning):
        # No model has this sample.
        expected = reg.predict(zero, sigma=100.0)
    told = pytest.warns(UserWarning, match="negative values in 60 of 60 voxels, which")
    with told, ignored(NoiseLevelWarning):
        found = reg.predict(below, sigma=100.0)
    np.testing.assert_allclose(found, expected, rtol=0.02)
