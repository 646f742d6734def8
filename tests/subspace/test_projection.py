"""SubspaceProjection: components, energy, bounds, blocks, and how users call it."""

import tracemalloc

import numpy as np
import pytest
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV
from sklearn.neighbors import KNeighborsRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils.estimator_checks import parametrize_with_checks

from crbestim.bounds import cramer_rao_bound, signal_and_bound
from crbestim.estimators import NLLSRegressor
from crbestim.models import MonoExponential
from crbestim.subspace import (
    ComplexToReal,
    SubspaceProjection,
    Whitening,
    _bound_basis,
    _spectrum,
)
from tests.models.conftest import Biexponential, Recovery, draw

KINDS = pytest.mark.parametrize("kind", [float, complex])


def low_rank(kind, n=60, n_features=9, rank=3, seed=0):
    """Return rows of a random subspace."""
    rng = np.random.default_rng(seed)
    parts = (rng.standard_normal(size) for size in ((n, rank), (rank, n_features)))
    left, right = (p + 1j * rng.standard_normal(p.shape) for p in parts)
    X = left @ right
    return X if kind is complex else left.real @ right.real


def toy(model=None, n=200):
    """Return a model, clean signals and their parameters, away from singular points."""
    model = model or Biexponential()
    low, high = model.bounds.T
    share = np.random.default_rng(0).uniform(0.1, 0.9, (n, model.n_parameters))
    y = low + (high - low) * share
    return model, model.signal(y), y


@parametrize_with_checks(
    [SubspaceProjection(), ComplexToReal(), ComplexToReal(normalize=True), Whitening()]
)
def test_scikit_learn_checks(estimator, check):
    check(estimator)


@KINDS
def test_an_exact_subspace_is_recovered(kind):
    X = low_rank(kind)
    projection = SubspaceProjection(3).fit(X)
    back = projection.inverse_transform(projection.transform(X))
    np.testing.assert_allclose(back, X, atol=1e-12)
    assert projection.explained_energy_ratio_.sum() == pytest.approx(1, abs=1e-12)
    assert projection.components_.dtype == kind


@KINDS
def test_components_are_those_of_a_singular_value_decomposition(kind):
    X = low_rank(kind, rank=9)
    projection = SubspaceProjection(4).fit(X)
    values, vectors = np.linalg.svd(X)[1:]
    overlap = np.abs(projection.components_ @ vectors[:4].conj().T)
    np.testing.assert_allclose(overlap, np.eye(4), atol=1e-10)
    share = values**2 / (values**2).sum()
    np.testing.assert_allclose(projection.explained_energy_ratio_, share[:4], rtol=1e-10)
    largest = projection.components_[range(4), np.abs(projection.components_).argmax(1)]
    np.testing.assert_allclose(largest.imag, 0, atol=1e-15)
    assert (largest.real > 0).all()


@KINDS
@pytest.mark.parametrize("method", ["svd", "crb"])
def test_coefficients_are_those_of_the_compressed_model(kind, method):
    model, X, y = toy(Recovery() if kind is float else None)
    projection = SubspaceProjection(3, method=method, model=model).fit(X, y)
    components = projection.components_
    np.testing.assert_allclose(components @ components.conj().T, np.eye(3), atol=1e-12)
    coefficients = model.compress(components.T).signal(y)
    np.testing.assert_allclose(projection.transform(X), coefficients, atol=1e-12)
    np.testing.assert_allclose(X @ components.conj().T, coefficients, atol=1e-12)
    assert (np.diff(projection.explained_energy_ratio_) <= 0).all()
    energy = np.sum(np.abs(coefficients) ** 2, axis=0) / np.sum(np.abs(X) ** 2)
    np.testing.assert_allclose(projection.explained_energy_ratio_, energy, rtol=1e-9)


@pytest.mark.parametrize("method", ["svd", "crb"])
@pytest.mark.parametrize("real_basis", [True, False])
def test_crb_ratio_is_that_of_the_bounds(method, real_basis):
    model, X, y = toy()
    projection = SubspaceProjection(
        4, method=method, model=model, real_basis=real_basis
    ).fit(X, y)
    small = model.compress(projection.components_.T)
    expected = cramer_rao_bound(small, y) / cramer_rao_bound(model, y)
    np.testing.assert_allclose(projection.crb_ratio_, np.median(expected, 0), rtol=1e-6)
    assert projection.components_.dtype.kind == ("f" if real_basis else "c")


def test_infinite_bounds_are_left_out():
    model, X, y = toy()
    some = y.copy()
    some[::4, 0] = 1.0  # nothing decays fast, so R2b is not determined
    for method in ("svd", "crb"):
        projection = SubspaceProjection(4, method=method, model=model)
        finite = projection.fit(X, some).crb_ratio_
        assert np.isfinite(finite).all()
        bounds = cramer_rao_bound(
            model.compress(projection.components_.T), y[some[:, 0] < 1]
        )
        ratio = bounds / cramer_rao_bound(model, y[some[:, 0] < 1])
        assert finite[2] == pytest.approx(np.median(ratio[:, 2]), rel=1e-6)
    some[:, 0] = 1.0
    assert np.isnan(SubspaceProjection(4, model=model).fit(X, some).crb_ratio_[2])
    with pytest.raises(ValueError, match="no fingerprint determines all of fraction, R2a"):
        SubspaceProjection(4, method="crb", model=model).fit(X, some)


@KINDS
@pytest.mark.parametrize("method", ["svd", "crb"])
@pytest.mark.parametrize("real_basis", [True, False])
def test_a_complete_basis_leaves_signals_as_they_are(kind, method, real_basis):
    model, X, y = toy(Recovery() if kind is float else None)
    options = dict(method=method, model=model, real_basis=real_basis)
    for n_components in (X.shape[1], 50):
        projection = SubspaceProjection(n_components, **options).fit(X, y)
        np.testing.assert_array_equal(projection.components_, np.eye(X.shape[1]))
        assert projection.components_.dtype == (float if real_basis else kind)
        np.testing.assert_array_equal(projection.transform(X), X)
        np.testing.assert_array_equal(projection.inverse_transform(X), X)
        np.testing.assert_allclose(projection.crb_ratio_, 1, rtol=1e-6)
        energy = np.sum(np.abs(X) ** 2, axis=0) / np.sum(np.abs(X) ** 2)
        np.testing.assert_allclose(projection.explained_energy_ratio_, energy, rtol=1e-9)


def test_after_a_complete_basis_the_model_of_the_signal_holds():
    model = MonoExponential(np.linspace(0.01, 0.08, 8))
    _, X, y = toy(model, n=30)
    pipeline = make_pipeline(SubspaceProjection(), NLLSRegressor(model, noise_std=0.02))
    # Without noise, least squares stops near the truth, not exactly at it.
    np.testing.assert_allclose(pipeline.fit(X, y).predict(X), y, rtol=1e-3)


@KINDS
def test_blocks_change_nothing(kind, monkeypatch):
    X = low_rank(kind, rank=9)
    X[5] = np.nan
    with pytest.warns(UserWarning, match="in 1 of 60 rows, the first is row 5: fit leaves"):
        whole = SubspaceProjection(4).fit(X)
    monkeypatch.setattr(_spectrum.blocks, "__defaults__", (7,))
    with pytest.warns(UserWarning, match="fit leaves them out"):
        cut = SubspaceProjection(4).fit(X)
    np.testing.assert_allclose(cut.components_, whole.components_, atol=1e-12)
    np.testing.assert_allclose(cut.transform(X), whole.transform(X), atol=1e-12)
    assert np.isnan(cut.transform(X)[5]).all()
    assert np.isnan(cut.inverse_transform(cut.transform(X))[5]).all()


def test_single_precision_stays_single_and_is_not_copied():
    X = low_rank(complex, n=20_000, n_features=40).astype(np.complex64)
    tracemalloc.start()
    projection = SubspaceProjection(3).fit(X)
    coefficients = projection.transform(X)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    # Half of X in double precision would be as large as X.
    assert peak < X.nbytes
    assert (X.dtype, coefficients.dtype) == (np.complex64, np.complex64)
    assert projection.components_.dtype == np.complex128
    assert projection.inverse_transform(coefficients).dtype == np.complex64
    expected = X.astype(complex) @ projection.components_.conj().T
    np.testing.assert_allclose(coefficients, expected, atol=1e-5)


def test_squaring_would_lose_small_singular_values():
    rng = np.random.default_rng(0)
    left, right = (np.linalg.qr(rng.standard_normal((n, 4)))[0] for n in (50, 9))
    X = left * [1, 1e-4, 1e-8, 1e-12] @ right.T
    components = SubspaceProjection(4).fit(X).components_
    np.testing.assert_allclose(np.abs(components @ right), np.eye(4), atol=1e-3)


def test_fingerprints_are_drawn_from_many():
    model, X, y = toy()
    options = dict(model=model, n_fingerprints=30)
    one, same = (SubspaceProjection(4, random_state=0, **options).fit(X, y) for _ in "ab")
    other = SubspaceProjection(4, random_state=1, **options).fit(X, y)
    np.testing.assert_array_equal(one.crb_ratio_, same.crb_ratio_)
    assert (one.crb_ratio_ != other.crb_ratio_).all()


def test_a_fit_leaves_nothing_of_the_one_before():
    model, X, y = toy()
    projection = SubspaceProjection(4, model=model).fit(X, y)
    assert not hasattr(projection.fit(X), "crb_ratio_")
    projection.fit(X, y).set_params(model=None)
    assert not hasattr(projection.fit(X, y), "crb_ratio_")


def test_names_and_data_frames():
    pandas = pytest.importorskip("pandas")
    X = pandas.DataFrame(low_rank(complex), columns=[f"echo{k}" for k in range(9)])
    projection = SubspaceProjection(3).set_output(transform="pandas").fit(X)
    assert projection.feature_names_in_.tolist() == list(X.columns)
    table = projection.transform(X)
    assert list(table.columns) == [f"subspaceprojection{k}" for k in range(3)]
    assert {dtype.kind for dtype in table.dtypes} == {"c"}
    with pytest.raises(ValueError, match="feature names should match"):
        projection.transform(X.rename(columns={"echo0": "other"}))


def test_as_a_step_of_pipelines():
    model, X, y = toy(n=60)
    neighbors = KNeighborsRegressor(1)
    projection = SubspaceProjection(5, method="crb", model=model, max_iter=20, tol=1e-2)
    for to_real in (
        ComplexToReal(),
        ComplexToReal(normalize=True),
        FunctionTransformer(np.abs),
    ):
        pipeline = make_pipeline(projection, to_real, neighbors).fit(X, y)
        np.testing.assert_allclose(pipeline.predict(X), y, rtol=1e-6)
    search = GridSearchCV(
        make_pipeline(SubspaceProjection(), ComplexToReal(), neighbors),
        {"subspaceprojection__n_components": [1, 4]},
        scoring="neg_mean_absolute_percentage_error",
        cv=3,
    )
    assert search.fit(X, y).best_params_ == {"subspaceprojection__n_components": 4}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (dict(method="pca"), "The 'method' parameter of SubspaceProjection must be a str"),
        (dict(n_components=0), "The 'n_components' parameter"),
        (dict(method="crb", model=None), 'method="crb" keeps the bounds of a model; give'),
        (dict(weights={"R1": 1}), "weights name R1; the parameters are fraction"),
        (dict(weights={"R2a": -1}), r"weights\['R2a'\] = -1; give a number, 0 or more"),
        (dict(model=Recovery()), "X has 12 features, but .* has 5 samples; give the model"),
        (dict(method="crb", n_components=2), "2 components hold 4 real .* the 5 unknowns"),
    ],
)
def test_options_that_do_not_fit(options, message):
    model, X, y = toy()
    with pytest.raises(ValueError, match=message):
        SubspaceProjection(**{"model": model, **options}).fit(X, y)


def test_data_that_do_not_fit():
    model, X, y = toy()
    crb = SubspaceProjection(4, method="crb", model=model)
    with pytest.raises(
        ValueError, match="requires y to be passed, but the target y is None"
    ):
        crb.fit(X)
    with pytest.raises(ValueError, match=r"inconsistent numbers of samples: \[200, 199\]"):
        crb.fit(X, y[1:])
    with pytest.raises(ValueError, match="Complex data not supported: y is complex"):
        crb.fit(X, y + 0j)
    with pytest.raises(ValueError, match="X is real, but the signal of .* is not"):
        crb.fit(X.real, y)
    with pytest.raises(TypeError, match="model is 3; give a SignalModel or None"):
        SubspaceProjection(model=3).fit(X, y)
    with pytest.raises(ValueError, match="n_samples=2 finite rows.* few for 10 components"):
        SubspaceProjection().fit(X[:2])
    with pytest.raises(ValueError, match="n_samples=2 fing.* 8 directions, fewer than 9 c"):
        SubspaceProjection(9, method="crb", model=model).fit(X[:2], y[:2])
    with pytest.raises(NotFittedError):
        SubspaceProjection().transform(X)
    projection = SubspaceProjection(4).fit(X)
    with pytest.raises(
        ValueError, match="X is real, but SubspaceProjection was fitted to c"
    ):
        projection.transform(X.real)
    with pytest.raises(ValueError, match=r"X has shape \(200, 12\); .* gives 4 columns"):
        projection.inverse_transform(X)
    with pytest.raises(ValueError, match="X has 11 features, but SubspaceProjection is"):
        projection.transform(X[:, 1:])
    with pytest.raises(ValueError, match="in 200 of 200 rows.*none is left to learn from"):
        projection.fit(X * np.nan)


@pytest.mark.parametrize("method", ["svd", "crb"])
def test_known_values_follow_their_rows(method, monkeypatch):
    whole, X, y = toy(n=300)
    # Without a fast fraction R2b is not determined: these rows are left out by "crb".
    y[::7, 0], X[5] = 1.0, np.nan
    model = whole.given("fraction").at(y[:, 0])
    options = dict(method=method, model=model, random_state=0, max_iter=20, tol=1e-3)
    for n_fingerprints in (1000, 280):
        projection = SubspaceProjection(4, n_fingerprints=n_fingerprints, **options)
        with pytest.warns(UserWarning, match="fit leaves them out"):
            ratio = projection.fit(X, y[:, 1:]).crb_ratio_
        with monkeypatch.context() as patch, pytest.warns(UserWarning, match="leaves them"):
            patch.setattr(_bound_basis, "_BLOCK", 11)
            cut = projection.fit(X, y[:, 1:]).crb_ratio_
        np.testing.assert_allclose(cut, ratio, rtol=1e-6)
    used = np.delete(np.arange(300), 5)
    model = model.rows(used)
    small = model.compress(projection.components_.T)
    bounds = [signal_and_bound(m, y[used, 1:])[1] for m in (small, model)]
    determined = np.isfinite(bounds[1]).all(axis=1)
    expected = np.median(bounds[0][determined] / bounds[1][determined], axis=0)
    # The last fit drew 280 of 299 rows.
    np.testing.assert_allclose(ratio, expected, rtol=0.1)


def test_known_values_that_are_missing_or_do_not_fit():
    whole, X, y = toy()
    model = whole.given("fraction")
    for method in ("svd", "crb"):
        with pytest.raises(ValueError, match="lacks the values of fraction; give the mod"):
            SubspaceProjection(4, method=method, model=model).fit(X, y[:, 1:])
        short = SubspaceProjection(4, method=method, model=model.at(y[1:, 0]))
        with pytest.raises(ValueError, match="X has 200 rows, but .* known values of 199"):
            short.fit(X, y[:, 1:])


def test_draws_at_the_ends_of_bounds_are_no_obstacle():
    model = Biexponential()
    y = draw(model, 100)
    projection = SubspaceProjection(4, method="crb", model=model).fit(model.signal(y), y)
    assert np.isfinite(projection.crb_ratio_).all()


@pytest.mark.parametrize("scale", [1e-200, 1e160, 2.0**-500])
def test_the_scale_has_no_effect_on_the_basis(scale):
    rng = np.random.default_rng(0)
    X = rng.standard_normal((20, 5)) + 1j * rng.standard_normal((20, 5))
    plain, scaled = SubspaceProjection(2).fit(X), SubspaceProjection(2).fit(scale * X)
    np.testing.assert_allclose(scaled.components_, plain.components_, rtol=1e-10)
    ratios = scaled.explained_energy_ratio_, plain.explained_energy_ratio_
    np.testing.assert_allclose(*ratios, rtol=1e-12)
    np.testing.assert_allclose(scaled.transform(scale * X) / scale, plain.transform(X))
