import pickle

import numpy as np
import pytest

from crbestim.models import CompressedModel, SignalModel
from tests.models.conftest import Biexponential, Recovery, draw, mt, orthonormal


def test_compress_makes_a_compressed_model():
    model, basis = mt(24), orthonormal(24, 5)
    small = model.compress(basis)
    assert isinstance(small, CompressedModel)
    assert small.model is model
    np.testing.assert_array_equal(small.basis, basis)
    assert small.n_features == 5
    assert small.parameters == model.parameters
    np.testing.assert_array_equal(small.periods, model.periods)
    assert repr(small) == f"{model!r}.compress(<basis of 5 components>)"


def test_the_basis_is_a_copy_and_read_only():
    basis = orthonormal(24, 5)
    small = mt(24).compress(basis)
    kept = basis.copy()
    basis[:] = 0
    np.testing.assert_array_equal(small.basis, kept)
    with pytest.raises(ValueError, match="read-only"):
        small.basis[0, 0] = 1


@pytest.mark.parametrize(
    "form",
    [
        lambda basis: basis.tolist(),
        np.asfortranarray,
        lambda basis: basis[::-1][::-1],
        lambda basis: basis.astype(np.complex128),
    ],
    ids=["list", "Fortran", "strided", "complex"],
)
@pytest.mark.parametrize("make", [lambda: mt(24), Biexponential])
def test_any_kind_of_basis(form, make):
    model = make()
    basis, theta = orthonormal(model.n_features, 5), draw(model, 4)
    expected = model.compress(basis).signal(theta, jacobian=True)
    parts = model.compress(form(basis)).signal(theta, jacobian=True)
    for part, value in zip(parts, expected, strict=True):
        np.testing.assert_allclose(part, value, rtol=0, atol=1e-14 * np.abs(value).max())


def test_single_precision_is_orthonormal_enough():
    model, basis = mt(24), orthonormal(24, 5)
    theta = draw(model, 4)
    single = model.compress(basis.astype(np.float32))
    s = single.signal(theta)
    assert s.dtype == np.complex128
    np.testing.assert_allclose(s, model.compress(basis).signal(theta), rtol=0, atol=1e-6)


def test_unit_vectors_choose_samples():
    model = mt(24)
    theta = draw(model, 4)
    s, jacobian = model.compress(np.eye(24, dtype=int)[:, 3:7]).signal(theta, jacobian=True)
    expected = model.signal(theta, jacobian=True)
    np.testing.assert_array_equal(s, expected[0][:, 3:7])
    np.testing.assert_array_equal(jacobian, expected[1][:, 3:7])


def test_components_do_not_depend_on_each_other():
    model, basis = mt(24), orthonormal(24, 6)
    theta = draw(model, 4)
    whole = model.compress(basis).signal(theta)
    np.testing.assert_array_equal(
        model.compress(basis[:, 2:4]).signal(theta), whole[:, 2:4]
    )


@pytest.mark.parametrize("dtype", [float, complex])
def test_projecting_on_the_way_is_projecting_at_the_end(dtype):
    model, basis = mt(24), orthonormal(24, 6, dtype=dtype)
    theta = draw(model, 300)
    expected = SignalModel.project(model, theta, basis, jacobian=True)
    for part, value in zip(
        model.project(theta, basis, jacobian=True), expected, strict=True
    ):
        scale = np.abs(value).reshape(-1, *value.shape[2:]).max(axis=0)
        assert (np.abs(part - value) <= 1e-13 * scale).all()
    np.testing.assert_allclose(model.project(theta, basis), expected[0], atol=1e-13)


@pytest.mark.parametrize("make", [lambda: mt(24), Biexponential, Recovery])
@pytest.mark.parametrize("dtypes", [(float, float), (complex, float), (float, complex)])
def test_compressing_twice(make, dtypes):
    model = make()
    first = orthonormal(model.n_features, 4, seed=1, dtype=dtypes[0])
    second = orthonormal(4, 2, seed=2, dtype=dtypes[1])
    theta = draw(model, 4)
    twice = model.compress(first).compress(second)
    expected = model.compress(first @ second)
    assert (twice.n_features, twice.is_complex) == (2, expected.is_complex)
    values = expected.signal(theta, jacobian=True)
    for part, value in zip(twice.signal(theta, jacobian=True), values, strict=True):
        np.testing.assert_allclose(part, value, rtol=0, atol=1e-13 * np.abs(value).max())


@pytest.mark.parametrize(
    ("basis", "message"),
    [
        (np.eye(23), r"basis has shape \(23, 23\); give \(24, n_components\), a row for"),
        (np.eye(24)[0], r"basis has shape \(24,\); give \(24, n_components\)"),
        (np.eye(24)[None], r"basis has shape \(1, 24, 24\); give"),
        (1.001 * np.eye(24), r"not orthonormal.* up to 2.0e-03; .*numpy.linalg.qr"),
        (np.ones((24, 2)) / np.sqrt(24), "not orthonormal.* up to 1.0e"),
        (np.zeros((24, 2)), "not orthonormal.* up to 1.0e"),
        (np.full((24, 2), np.nan), "not finite numbers"),
        (np.full((24, 2), "x"), "not finite numbers"),
    ],
)
def test_bases_that_do_not_fit(basis, message):
    with pytest.raises(ValueError, match=message):
        mt(24).compress(basis)


def test_the_conjugate_transpose_of_a_complex_basis_is_what_counts():
    # Its columns are orthonormal by U^H U, not by U^T U.
    basis = orthonormal(24, 5, dtype=complex)
    assert np.abs(basis.T @ basis - np.eye(5)).max() > 0.1
    assert mt(24).compress(basis).n_features == 5


def test_theta_is_checked():
    small = mt(24).compress(orthonormal(24, 5))
    with pytest.raises(ValueError, match="m0s = -1 in row 0 of theta"):
        small.signal([[-1, 0.7, 13, 30, 1e-5, 0, 1]])


def test_a_pickle_holds_the_basis_once():
    basis = orthonormal(24, 24)
    small, model = mt(24).compress(basis), mt(24)
    small.signal(draw(small, 2))
    spare = len(pickle.dumps(small)) - len(pickle.dumps(model)) - basis.nbytes
    assert spare < 1000
