"""What CRBRegressor refuses, and the odd data that it takes."""

import numpy as np
import pytest

from crbestim import CRBRegressor
from crbestim.models import SignalModel


def small(model=None, **changes):
    options = dict(hidden_layer_sizes=(16, 16), max_iter=3, random_state=0)
    return CRBRegressor(model, **{**options, **changes})


@pytest.fixture(scope="module")
def fitted(model, fingerprints):
    X, y, crb = fingerprints
    return small(model).fit(X, y, crb=crb)


BAD = {
    "NaN in X": (lambda X, y, c: (X * np.nan, y, c), "X has NaN or infinite"),
    "infinite X": (lambda X, y, c: (X * np.inf, y, c), "X has NaN or infinite"),
    "complex y": (lambda X, y, c: (X, y + 0j, c), "Complex data not supported"),
    "columns of X": (lambda X, y, c: (np.tile(X, 2), y, c), "X has 16 features"),
    "columns of y": (lambda X, y, c: (X, y[:, :5], None), "y has 5 columns"),
    "rows": (lambda X, y, c: (X[:9], y, c), "inconsistent numbers of samples"),
    "zero crb": (lambda X, y, c: (X, y, 0 * c), r"crb\[0, 0\] = 0"),
    "negative crb": (lambda X, y, c: (X, y, -c), r"crb\[0, 0\] = -"),
    "columns of crb": (lambda X, y, c: (X, y, c[:, :3]), "crb has shape"),
    "real X": (lambda X, y, c: (X.real, y, c), "X is real"),
    "empty X": (lambda X, y, c: (X[:0], y[:0], c[:0]), "0 sample"),
    "zero row": (lambda X, y, c: (X * (y[:, :1] < 0.3), y, c), "X is zero throughout"),
    "no y": (lambda X, y, c: (X, None, None), "requires y to be passed"),
    "outside the domain": (lambda X, y, c: (X, y + 50, c), "outside 0 to 0.8"),
    "outside the bounds": (
        lambda X, y, c: (X, np.maximum(y, [0.4, 0, 0, 0, 0, y[:, 5].min(), 0]), c),
        "outside the model",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input(model, fingerprints, case):
    spoil, message = BAD[case]
    X, y, crb = spoil(*fingerprints)
    with pytest.raises(ValueError, match=message):
        small(model).fit(X, y, crb=crb)


def test_microseconds_are_recognized(model, fingerprints):
    X, y, crb = fingerprints
    y = y.copy()
    y[:, 4] *= 1e6
    with pytest.raises(ValueError, match="looks like microseconds"):
        small(model).fit(X, y, crb=crb)


def test_any_scale_of_signal(model, fingerprints):
    X, y, crb = fingerprints
    options = dict(resample_noise=False)
    expected = small(model, **options).fit(X, y, crb=crb).predict(X)
    tiny = small(model, **options).fit(1e-170 * X, y, crb=crb)
    scale = np.diff(model.bounds, axis=1).ravel()
    np.testing.assert_allclose(
        tiny.predict(1e-170 * X) / scale, expected / scale, atol=1e-5
    )


def test_constant_target(model, fingerprints):
    X, y, crb = fingerprints
    y = y.copy()
    y[:, 6] = 1.0
    reg = small(model, loss="mse").fit(X, y, crb=crb)
    assert np.isfinite(reg.loss_curve_).all()


def test_global_random_state_stays(model, fingerprints):
    import torch

    before = torch.random.get_rng_state()
    small(model).fit(*fingerprints[:2]).predict(fingerprints[0])
    assert torch.equal(torch.random.get_rng_state(), before)


@pytest.mark.parametrize("sizes", [(0,), (-3,), (1.5,)])
def test_bad_layers(model, fingerprints, sizes):
    with pytest.raises(ValueError, match="hidden_layer_sizes"):
        small(model, hidden_layer_sizes=sizes).fit(*fingerprints[:2])


def test_bad_snr_and_model(model, fingerprints):
    with pytest.raises(ValueError, match="snr"):
        small(model, snr=(-1,), resample_noise=False).fit(*fingerprints[:2])
    with pytest.raises(TypeError, match="give a SignalModel or None"):
        small("mt").fit(*fingerprints[:2])


class Unbounded(SignalModel):
    """A model whose parameter may be anything."""

    parameter_names = ("slope",)
    bounds = np.array([[-np.inf, np.inf]])

    def signal(self, theta):
        return theta * np.array([1.0, 2.0, 3.0])


def test_infinite_bounds_are_named():
    y = np.random.default_rng(0).standard_normal((50, 1))
    with pytest.raises(ValueError, match="slope are not finite"):
        small(Unbounded()).fit(Unbounded().signal(y), y)


def test_score_checks(fitted, fingerprints):
    X, y, crb = fingerprints
    with pytest.raises(ValueError, match="y has shape"):
        fitted.score(X, y[:, :5])
    X = X.copy()
    X[7] = 0
    with pytest.warns(UserWarning, match="1 of 300 voxels have no estimate, .* row 7: sc"):
        found = fitted.score(X, y, crb=crb)
    rest = np.arange(len(X)) != 7
    assert found == pytest.approx(fitted.score(X[rest], y[rest], crb=crb[rest]))


def test_prediction_checks(fitted, fingerprints):
    X = fingerprints[0]
    with pytest.raises(ValueError, match="X has 5 features"):
        fitted.predict(X[:, :5])
    assert np.isnan(fitted.predict(X * np.nan)).all()


def test_voxels_that_are_not_finite_are_nan_and_stop_no_other(fitted, fingerprints):
    X = fingerprints[0].copy()
    alone = fitted.predict(X)
    X[3, 2], X[9, 0], X[20] = np.nan, np.inf, 0
    with pytest.warns(UserWarning, match="in some samples of 2 of 300 voxels, whose est"):
        estimate, std = fitted.predict(X, return_std=True)
    lost = np.isin(np.arange(len(X)), [3, 9, 20])
    np.testing.assert_array_equal(estimate[~lost], alone[~lost])
    assert (np.isnan(estimate) == lost[:, None]).all()
    assert (np.isnan(std) == lost[:, None]).all()
    assert fitted.residual(X).flag[lost].all()


def test_rows_that_are_not_finite_are_left_out_of_fit(model, fingerprints):
    X, y, crb = (part.copy() for part in fingerprints)
    expected = small(model).fit(X[1:], y[1:], crb=crb[1:]).predict(X)
    X[0, 3] = np.nan
    with pytest.warns(UserWarning, match="in 1 of 300 rows, the first is row 0: fit"):
        found = small(model).fit(X, y, crb=crb)
    np.testing.assert_array_equal(found.predict(X[1:]), expected[1:])
