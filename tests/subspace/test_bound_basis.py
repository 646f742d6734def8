"""The basis that keeps the Cramér-Rao bound: gradient, optimum, weights and options."""

import numpy as np
import pytest
from sklearn.exceptions import ConvergenceWarning

from crbestim.bounds import cramer_rao_bound
from crbestim.subspace import SubspaceProjection
from crbestim.subspace._bound_basis import Losses, share_on, telling_axes
from tests.models.conftest import Recovery
from tests.subspace.test_projection import toy

KINDS = pytest.mark.parametrize("real", [True, False], ids=["real", "complex"])


def efficiency(model, y, basis):
    return cramer_rao_bound(model, y) / cramer_rao_bound(model.compress(basis), y)


def losses(model, y, n_components, weights, energy_weight, real):
    """Return the losses over all directions of the signal."""
    signal, jacobian = model.signal(y, jacobian=True)
    columns = jacobian * np.sqrt(cramer_rao_bound(model, y))[:, None, :]
    nuisance = signal[:, :, None] * [1, 1j] if model.is_complex else columns[:, :, :0]
    columns = np.concatenate([columns, nuisance], axis=2)
    return Losses(signal, columns, n_components, weights, energy_weight, real)


@KINDS
def test_losses_are_those_of_bounds_and_energy(real):
    model, signal, y = toy(n=20)
    weights = np.array([1.0, 2.0, 0.0])
    loss = losses(model, y, 4, weights, 0.3, real)
    z = np.random.default_rng(0).standard_normal(loss.n_unknowns)
    basis = loss.basis(z)[0]
    mean = np.mean(efficiency(model, y, basis) ** 2, axis=0) @ weights / 3
    held = np.sum(np.abs(signal @ basis.conj()) ** 2) / np.sum(np.abs(signal) ** 2)
    # The ridge that keeps the information invertible matters where it is near singular.
    assert loss(z)[0] == pytest.approx(1 - mean + 0.3 * (1 - held), rel=1e-5)


@KINDS
@pytest.mark.parametrize("energy_weight", [0.0, 2.0])
def test_gradient_against_differences(real, energy_weight):
    model, _, y = toy(n=20)
    loss = losses(model, y, 4, np.array([1.0, 2.0, 0.5]), energy_weight, real)
    z = 0.3 * np.random.default_rng(0).standard_normal(loss.n_unknowns)
    gradient, step = loss(z)[1], 1e-5
    ends = ([loss(z + s * e)[0] for e in np.eye(len(z))] for s in (step, -step))
    differences = np.subtract(*ends) / (2 * step)
    np.testing.assert_allclose(gradient, differences, atol=1e-6 * np.abs(gradient).max())


@pytest.mark.parametrize("make", [None, Recovery])
def test_it_keeps_bounds_better_than_energy_and_start(make):
    model, X, y = toy(make and make())
    n_components = 3 if model.is_complex else 2
    options = dict(model=model, energy_weight=0.0)
    ratios = [
        SubspaceProjection(n_components, method=method, max_iter=n, **options)
        .fit(X, y)
        .crb_ratio_
        for method, n in (("svd", 0), ("crb", 0), ("crb", 500))
    ]
    svd, start, optimum = np.array(ratios)
    assert np.mean(optimum**-2.0) > np.mean(start**-2.0) > np.mean(svd**-2.0)


def test_it_serves_fingerprints_not_seen():
    model, X, y = toy()
    svd, crb = (
        SubspaceProjection(3, method=method, model=model).fit(X[::2], y[::2])
        for method in ("svd", "crb")
    )
    seen, fresh = (np.mean(efficiency(model, part, crb.components_.T) ** 2)
                   for part in (y[::2], y[1::2]))  # fmt: skip
    assert fresh == pytest.approx(seen, rel=0.1)
    assert fresh > np.mean(efficiency(model, y[1::2], svd.components_.T) ** 2)


def test_nothing_better_is_near():
    model, X, y = toy()
    options = dict(method="crb", model=model, energy_weight=0.0)
    basis = SubspaceProjection(4, tol=1e-12, **options).fit(X, y).components_.T
    best, rng = np.mean(efficiency(model, y, basis) ** 2), np.random.default_rng(0)
    for _ in range(20):
        step = 1e-2 * rng.standard_normal((12, 4, 2)).view(complex)[..., 0]
        other = np.linalg.qr(basis + step)[0]
        assert np.mean(efficiency(model, y, other) ** 2) < best + 1e-9


def test_weights_choose_what_is_kept():
    model, X, y = toy()
    zeros = dict.fromkeys(model.parameter_names, 0.0)
    for k, name in enumerate(model.parameter_names):
        options = dict(method="crb", model=model, energy_weight=0.0)
        equal = SubspaceProjection(3, **options).fit(X, y)
        one = SubspaceProjection(3, weights={**zeros, name: 1.0}, **options).fit(X, y)
        assert one.crb_ratio_[k] < equal.crb_ratio_[k]


def test_energy_has_a_price():
    model, X, y = toy()
    low, high = (
        SubspaceProjection(3, method="crb", model=model, energy_weight=w).fit(X, y)
        for w in (0.0, 100.0)
    )
    energy = low.explained_energy_ratio_.sum(), high.explained_energy_ratio_.sum()
    svd = SubspaceProjection(3).fit(X).explained_energy_ratio_.sum()
    assert energy[0] < energy[1] <= svd + 1e-12
    assert np.mean(low.crb_ratio_**-2.0) > np.mean(high.crb_ratio_**-2.0)


def test_the_start_spans_signals_and_derivatives_apart():
    # One fingerprint, one parameter: two directions, the signal and the part of the
    # derivatives orthogonal to it, as in the bound with M0 unknown.
    model, _, y = toy()
    y = np.repeat(y[:1], 20, axis=0)
    projection = SubspaceProjection(4, method="crb", model=model, max_iter=0)
    projection.fit(model.signal(y), y)
    assert projection.n_iter_ == 0
    np.testing.assert_allclose(projection.crb_ratio_, 1, rtol=1e-6)


def test_iterations_are_counted_and_an_early_end_is_reported():
    model, X, y = toy()
    options = dict(method="crb", model=model)
    with pytest.warns(ConvergenceWarning, match="after 2 iterations; increase max_iter"):
        early = SubspaceProjection(3, max_iter=2, **options).fit(X, y)
    full = SubspaceProjection(3, **options).fit(X, y)
    assert early.n_iter_ == 2 < full.n_iter_
    again = SubspaceProjection(3, **options).fit(X, y)
    np.testing.assert_array_equal(again.components_, full.components_)


def test_axes_that_tell_keep_the_bound():
    model, _, y = toy()
    axes = telling_axes(model, y, 1e-5)
    n_features, n = axes.shape
    assert model.n_unknowns / 2 < n < n_features
    np.testing.assert_allclose(axes.conj().T @ axes, np.eye(n), atol=1e-12)
    assert np.median(efficiency(model, y, axes)) > 0.99
    fewer = telling_axes(model, y, 1e-2)
    assert fewer.shape[1] < n
    np.testing.assert_allclose(fewer, axes[:, : fewer.shape[1]], atol=1e-12)


def test_the_more_axes_there_are_the_more_each_has_to_tell():
    model, _, y = toy()
    axes = telling_axes(model, y, 0.0)
    signal, jacobian = model.signal(y, jacobian=True)
    nuisance = signal[:, :, None]
    columns = np.concatenate([jacobian, nuisance, 1j * nuisance], axis=2)
    reals = np.concatenate([columns.real, columns.imag], axis=1)
    # The rows of the pseudo-inverse are orthogonal to all other derivatives.
    rows = np.linalg.pinv(reals)[:, : model.n_parameters].reshape(-1, reals.shape[1])
    apart = rows[:, : model.n_features] + 1j * rows[:, model.n_features :]
    rows = np.concatenate([signal, apart])
    rows = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    shares = (np.abs(rows @ axes.conj()) ** 2).mean(axis=0)
    assert (np.diff(shares) < 1e-12).all()
    least = shares / np.arange(1, len(shares) + 1)
    for n in (1, 3, 5):
        for factor, expected in ((1.01, n - 1), (0.99, n)):
            assert telling_axes(model, y, factor * least[n - 1]).shape[1] == expected


def test_axes_hold_what_fingerprints_determine():
    model, _, y = toy()
    y[:, 0] = 1.0  # nothing decays fast, so R2b is not determined
    axes = telling_axes(model, y, 1e-7)
    assert 0 < axes.shape[1] < model.n_features
    others = model.fix(R2b=float(y[0, 2]))
    seen = others.compress(axes)
    ratio = cramer_rao_bound(seen, y[:, :2]) / cramer_rao_bound(others, y[:, :2])
    assert np.median(ratio[:, 1]) < 1.01
    assert share_on(axes, model, y) == pytest.approx(1.0, abs=1e-4)
    assert share_on(axes[:, :1], model, y) < 0.95
