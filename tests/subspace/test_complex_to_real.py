"""Real features of complex signals, with and without their complex factor."""

import numpy as np
import pytest
from sklearn.neighbors import KNeighborsRegressor
from sklearn.pipeline import make_pipeline

from crbestim.subspace import ComplexToReal
from tests.subspace.test_projection import low_rank, toy


@pytest.mark.parametrize("dtype", [np.complex64, np.complex128])
def test_there_and_back(dtype):
    X = low_rank(complex).astype(dtype)
    to_real = ComplexToReal().fit(X)
    out = to_real.transform(X)
    assert out.dtype == X.real.dtype
    np.testing.assert_array_equal(out, np.hstack([X.real, X.imag]))
    np.testing.assert_array_equal(to_real.inverse_transform(out), X)


@pytest.mark.parametrize("normalize", [True, False])
def test_real_signals_pass_unchanged(normalize):
    X = low_rank(float)
    to_real = ComplexToReal(normalize=normalize).fit(X)
    np.testing.assert_array_equal(to_real.transform(X), X)
    np.testing.assert_array_equal(to_real.inverse_transform(X), X)
    assert to_real.get_feature_names_out()[0] == "x0"


@pytest.mark.parametrize("dtype", [np.complex64, np.complex128])
def test_normalized_signals_have_lost_their_factor(dtype):
    X = low_rank(complex)
    X[3], X[4] = 0, np.nan
    rng = np.random.default_rng(0)
    factor = rng.uniform(0.1, 9, (60, 1)) * np.exp(2j * np.pi * rng.random((60, 1)))
    with pytest.warns(UserWarning, match="fit leaves them out"):
        to_real = ComplexToReal(normalize=True).fit((factor * X).astype(dtype))
    one = to_real.transform(X.astype(dtype))
    assert one.dtype == np.empty(0, dtype).real.dtype
    other = to_real.transform((factor * X).astype(dtype))
    np.testing.assert_allclose(one, other, atol=1e-5 if dtype is np.complex64 else 1e-13)
    assert (one[3] == 0).all()
    assert np.isnan(one[4]).all()
    back = np.delete(to_real.inverse_transform(one), [3, 4], axis=0)
    np.testing.assert_allclose(np.linalg.norm(back, axis=1), 1, rtol=1e-6)
    along = back @ to_real.direction_.conj()
    assert (along.real > 0).all()
    np.testing.assert_allclose(along.imag, 0, atol=1e-6)


def test_the_direction_is_the_main_one_of_unit_rows():
    X = low_rank(complex) * np.logspace(0, 3, 60)[:, None]
    direction = ComplexToReal(normalize=True).fit(X).direction_
    normalized = X / np.linalg.norm(X, axis=1, keepdims=True)
    main = np.linalg.svd(normalized)[2][0]
    assert np.abs(np.vdot(main, direction)) == pytest.approx(1, abs=1e-12)


def test_neighbors_that_do_not_know_the_factor():
    model, X, y = toy()
    factors = np.exp(2j * np.pi * np.random.default_rng(0).random((200, 1)))
    pipeline = make_pipeline(ComplexToReal(normalize=True), KNeighborsRegressor(1))
    np.testing.assert_allclose(pipeline.fit(X, y).predict(3 * factors * X), y)
    plain = make_pipeline(ComplexToReal(), KNeighborsRegressor(1)).fit(X, y)
    assert np.mean(np.abs(plain.predict(factors * X) - y) > 1e-6) > 0.5


def test_a_fit_leaves_nothing_of_the_one_before():
    X = low_rank(complex)
    to_real = ComplexToReal(normalize=True).fit(X)
    assert not hasattr(to_real.fit(X.real), "direction_")
    to_real.fit(X).set_params(normalize=False)
    assert not hasattr(to_real.fit(X), "direction_")


def test_names_and_data_frames():
    pandas = pytest.importorskip("pandas")
    X = pandas.DataFrame({"a": [1 + 2j, 3j], "b": [0j, 1]})
    table = ComplexToReal().set_output(transform="pandas").fit_transform(X)
    assert list(table.columns) == ["a_real", "b_real", "a_imag", "b_imag"]
    assert table["a_imag"].tolist() == [2.0, 3.0]


def test_kinds_are_not_mixed():
    X = low_rank(complex)
    with pytest.raises(
        ValueError, match="X is real, but ComplexToReal was fitted to compl"
    ):
        ComplexToReal().fit(X).transform(X.real)
    with pytest.raises(
        ValueError, match="X is complex, but ComplexToReal was fitted to re"
    ):
        ComplexToReal().fit(X.real).transform(X)
    with pytest.raises(ValueError, match=r"X has shape \(60, 9\); .* gives 18 columns"):
        ComplexToReal().fit(X).inverse_transform(X.real)


@pytest.mark.parametrize("scale", [1e-200, 1e-24, 1e20, 1e160])
def test_the_scale_has_no_effect_on_normalized_signals(scale):
    rng = np.random.default_rng(0)
    X = rng.standard_normal((20, 4)) + 1j * rng.standard_normal((20, 4))
    expected = ComplexToReal(normalize=True).fit_transform(X)
    scaled = ComplexToReal(normalize=True).fit_transform(scale * X)
    np.testing.assert_allclose(scaled, expected, atol=1e-12)
    if 1e-30 < scale < 1e30:
        single = ComplexToReal(normalize=True).fit_transform((scale * X).astype("c8"))
        np.testing.assert_allclose(single, expected, atol=1e-6)


@pytest.mark.parametrize("y", [["a", "b"], np.array(["a", "b"]), [{}, None], None])
def test_targets_may_be_labels_of_any_kind(y):
    X = np.array([[1j, 2.0], [3.0, 4j]])
    assert ComplexToReal().fit(X, y).transform(X).shape == (2, 4)
