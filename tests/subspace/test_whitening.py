"""Whitening of data, and the model of whitened data."""

import numpy as np
import pytest
from scipy.stats import uniform

from crbestim.bounds import cramer_rao_bound
from crbestim.datasets import make_fingerprints
from crbestim.models import MonoExponential
from crbestim.subspace import Whitening
from tests.models.conftest import Biexponential, Recovery, draw, orthonormal


def covariance_of(n, kind, seed=0):
    """Return a positive definite Hermitian matrix."""
    rng = np.random.default_rng(seed)
    root = rng.standard_normal((n, n)) + np.eye(n)
    if kind is complex:
        root = root + 1j * rng.standard_normal((n, n))
    return root @ root.conj().T / n


def noise_of(covariance, n_samples, kind, seed=1):
    """Return noise of a covariance per real or imaginary channel."""
    rng = np.random.default_rng(seed)
    white = rng.standard_normal((n_samples, len(covariance)))
    if kind is complex:
        white = white + 1j * rng.standard_normal(white.shape)
    return white @ np.linalg.cholesky(covariance).T


CASES = pytest.mark.parametrize(
    ("make", "kind"), [(Recovery, float), (Biexponential, float), (Biexponential, complex)]
)


@CASES
def test_the_bound_is_that_of_correlated_noise(make, kind):
    model = make()
    covariance, theta = covariance_of(model.n_features, kind), draw(model, 5)
    theta[:, 0] = 0.3
    s, columns = model.signal(theta, jacobian=True)
    if model.is_complex:
        nuisance = s[:, :, None] * [1, 1j]
        columns = np.concatenate([columns, nuisance], axis=2)
    adjoint = columns.conj().swapaxes(1, 2)
    information = (adjoint @ np.linalg.inv(covariance) @ columns).real
    # A unit diagonal keeps this inverse accurate: scales differ by 1e3.
    norm = np.sqrt(np.einsum("nii->ni", information))
    inverse = np.linalg.inv(information / norm[:, :, None] / norm[:, None, :])
    expected = (np.einsum("nii->ni", inverse) / norm**2)[:, : model.n_parameters]
    bound = cramer_rao_bound(model.whiten(covariance), theta)
    np.testing.assert_allclose(bound, expected, rtol=1e-6)


@CASES
def test_data_and_model_are_whitened_alike(make, kind):
    model = make()
    covariance, theta = covariance_of(model.n_features, kind), draw(model, 30)
    X = model.signal(theta)
    whitening = Whitening(covariance).fit(X)
    small = model.whiten(covariance)
    np.testing.assert_allclose(whitening.transform(X), small.signal(theta), atol=1e-12)
    np.testing.assert_allclose(
        whitening.inverse_transform(whitening.transform(X)), X, atol=1e-12
    )
    assert (small.n_features, small.is_complex) == (model.n_features, model.is_complex)
    assert small.parameters == model.parameters
    assert str(small) == f"{model}.whiten(<covariance of {model.n_features} features>)"


@pytest.mark.parametrize("kind", [float, complex])
def test_noise_becomes_white_whether_its_covariance_is_given_or_estimated(kind):
    covariance = covariance_of(4, kind)
    noise, fresh = (noise_of(covariance, 20_000, kind, seed) for seed in (1, 2))
    for whitening in (Whitening(covariance), Whitening(noise=noise)):
        white = whitening.fit(fresh).transform(fresh)
        channels = 2 if kind is complex else 1
        moments = white.T @ white.conj() / (len(white) * channels)
        # Standard errors are 1/sqrt(20,000) = 0.007, twice for given and estimated.
        np.testing.assert_allclose(moments, np.eye(4), atol=0.05)


def test_variances_are_a_diagonal():
    model = Biexponential()
    theta, variances = draw(model, 4), np.linspace(0.5, 2, 12)
    expected = model.whiten(np.diag(variances)).signal(theta)
    np.testing.assert_allclose(model.whiten(variances).signal(theta), expected, rtol=1e-12)
    np.testing.assert_allclose(model.whiten(4.0).signal(theta), model.signal(theta) / 2)


def test_a_uniform_variance_is_a_noise_level():
    model, theta = Biexponential(), [[0.4, 5.0, 80.0]]
    one = cramer_rao_bound(model.whiten(0.01), theta)
    np.testing.assert_allclose(one, cramer_rao_bound(model, theta, 0.1), rtol=1e-9)


def test_whitening_before_compression():
    model, covariance = Biexponential(), covariance_of(12, complex)
    basis, theta = orthonormal(12, 5), np.array([[0.4, 5.0, 80.0]])
    s, jacobian = model.whiten(covariance).compress(basis).signal(theta, jacobian=True)
    expected = model.whiten(covariance).signal(theta, jacobian=True)
    np.testing.assert_allclose(s, expected[0] @ basis, atol=1e-12)
    np.testing.assert_allclose(jacobian, basis.T @ expected[1], atol=1e-12)
    # Coefficients of a complete basis are as informative as the signal, in either order.
    basis = orthonormal(12, 12)
    other = model.compress(basis).whiten(basis.T @ covariance @ basis)
    bounds = (cramer_rao_bound(m, theta) for m in (model.whiten(covariance), other))
    np.testing.assert_allclose(*bounds, rtol=1e-6)


def test_fingerprints_of_a_whitened_model():
    model = Biexponential().whiten(np.linspace(1, 2, 12))
    draws = dict(fraction=uniform(0.2, 0.6), R2a=uniform(2, 10), R2b=uniform(50, 99))
    X, y, crb = make_fingerprints(
        model, 20, distributions=draws, random_state=0, return_crb=True
    )
    assert X.shape == (20, 12)
    np.testing.assert_allclose(crb, cramer_rao_bound(model, y, noise_std=0.01))


def test_derivatives_against_differences():
    model = Biexponential().whiten(covariance_of(12, complex))
    theta = np.array([[0.4, 5.0, 80.0]])
    assert (model.jacobian_error(theta) < 1e-8).all()


@pytest.mark.parametrize(
    ("covariance", "message"),
    [
        (np.eye(5), r"covariance has shape \(5, 5\); give a variance, 12 variances, or"),
        (
            np.ones((12, 12)),
            "not positive definite: its least eigenvalue is -?[0-9.e-]+; l",
        ),
        (np.triu(np.ones((12, 12))), "not Hermitian: .* by up to 1.0e"),
        (-1.0, "variances that are not positive"),
        (np.zeros(12), "variances that are not positive"),
        (np.nan, "not finite numbers"),
    ],
)
def test_covariances_that_do_not_fit(covariance, message):
    with pytest.raises(ValueError, match=message):
        Biexponential().whiten(covariance)
    with pytest.raises(ValueError, match=message):
        Whitening(covariance).fit(np.ones((3, 12)))


def test_complex_covariance_of_real_signals():
    covariance = covariance_of(5, complex)
    with pytest.raises(
        ValueError, match="covariance is complex, but the signal of .* real"
    ):
        Recovery().whiten(covariance)
    with pytest.raises(ValueError, match="covariance is complex, but X is real"):
        Whitening(covariance).fit(np.ones((3, 5)))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (dict(covariance=1.0, noise=np.ones((9, 5))), "are both given; give one of them"),
        (dict(noise=np.ones((9, 4))), r"noise has shape \(9, 4\); X asks for \(n, 5\)"),
        (dict(noise=np.ones((4, 5))), "noise has 4 samples, from which .* of 5 features"),
        (dict(noise=np.ones((9, 5)) + 0j), "noise is complex, but X is real"),
        (dict(noise=np.full((9, 5), np.nan)), "noise holds values that are not finite"),
    ],
)
def test_noise_that_does_not_fit(options, message):
    with pytest.raises(ValueError, match=message):
        Whitening(**options).fit(np.ones((3, 5)))


def test_voxels_that_are_not_finite():
    X = np.ones((3, 2))
    X[1, 0] = np.inf
    with pytest.warns(UserWarning, match="in 1 of 3 rows, the first is row 1: fit leaves"):
        whitening = Whitening([4.0, 1.0]).fit(X)
    expected = [[0.5, 1], [np.nan, np.nan], [0.5, 1]]
    np.testing.assert_array_equal(whitening.transform(X), expected)


def test_rician_noise_cannot_be_made_white():
    model = MonoExponential(np.array([0.01, 0.02]), signal="magnitude", noise="rician")
    with pytest.raises(ValueError, match="has Rician noise, which no linear map makes wh"):
        model.whiten([1.0, 2.0])


def test_known_values_of_a_whitened_model():
    whole, covariance = Biexponential(), covariance_of(12, complex)
    theta = np.array([[0.4, 5.0, 80.0], [0.2, 9.0, 60.0]])
    model = whole.whiten(covariance).given("fraction").at(theta[:, 0])
    np.testing.assert_array_equal(
        model.signal(theta[:, 1:]), whole.whiten(covariance).signal(theta)
    )
