"""Images alone: fit(X) of least squares, matching and step, and starts that cover a box."""

import json

import numpy as np
import pytest

from crbestim import (
    CRBRegressor,
    DictionaryRegressor,
    NLLSRegressor,
    OneStepRegressor,
)
from crbestim.datasets import make_fingerprints
from crbestim.estimators._start_values import values_without_targets
from crbestim.least_squares.box import search_box
from crbestim.models import (
    BiExponential,
    FunctionModel,
    IntravoxelIncoherentMotion,
    InversionRecovery,
    MonoExponential,
    SaturationRecovery,
    SpinLock,
    SpoiledGradientEcho,
)
from tests.estimators.siblings import ESTIMATORS

TE = 0.01 * np.arange(1, 13)
TI = [0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 3.0, 5.5]
B = 1e6 * np.array([0, 10, 20, 30, 50, 75, 100, 150, 250, 400, 600, 800, 1000])
TSL = [0.0, 0.01, 0.02, 0.04, 0.06, 0.1]
ANGLES = np.deg2rad([2, 5, 10, 15, 20, 30])
CLOSED_FORMS = {
    "T2": lambda **k: MonoExponential(TE, **k),
    "T2, offset": lambda **k: MonoExponential(TE, offset=True, **k),
    "T2*": lambda **k: MonoExponential(TE / 3, parameter="T2star", **k),
    "two T2": lambda **k: BiExponential(0.01 * np.arange(1, 33), **k),
    "T1": lambda **k: InversionRecovery(TI, **k),
    "T1, TR": lambda **k: InversionRecovery(TI, tr=6.0, **k),
    "SR": lambda **k: SaturationRecovery(TI, **k),
    "T1rho": lambda **k: SpinLock(TSL, tr=1.5, flip_angle=0.6, **k),
    "SPGR": lambda **k: SpoiledGradientEcho(ANGLES, 0.015, **k),
    "SPGR, T2*": lambda **k: SpoiledGradientEcho(
        np.tile(ANGLES, 2), 0.015, te=np.repeat([2e-3, 8e-3], 6), **k
    ),
    "IVIM": lambda **k: IntravoxelIncoherentMotion(B, **k),
}


def over_the_box(model, n, seed=5):
    """Return parameters from all over the bounds, on the scale of a search."""
    box = search_box(model, model.bounds)
    theta = box.theta(np.random.default_rng(seed).random((n, len(box.low))))
    column = model._amplitude_column
    return theta if column is None else np.insert(theta, column, 1500.0, axis=1)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("signal", ["magnitude", "complex"])
@pytest.mark.parametrize("name", CLOSED_FORMS)
@pytest.mark.parametrize("has_targets", [True, False])
def test_one_start_finds_the_signal_all_over_the_box(name, signal, has_targets):
    model = CLOSED_FORMS[name](signal=signal)
    X = model.signal(over_the_box(model, 600))
    data = make_fingerprints(model, 500, random_state=0) if has_targets else (X,)
    fits = NLLSRegressor(model, max_iter=1000).fit(*data).fit_voxels(X)
    assert np.mean(fits.relative_residual > 1e-4) < 0.005


def test_a_short_t1_is_not_mistaken_for_a_long_one():
    options = dict(tr=6.0, signal="magnitude", bounds={"T1": (0.01, 6)})
    model = InversionRecovery(TI, **options)
    X = model.signal([[0.063, 0.95, 800.0]])
    y = NLLSRegressor(model).fit(X).predict(X)
    np.testing.assert_allclose(y, [[0.063, 0.95, 800.0]], rtol=1e-6)


@pytest.mark.parametrize("signal", ["magnitude", "complex"])
@pytest.mark.parametrize("array", ["NiCl2", "MnCl2"])
@pytest.mark.parametrize("field", ["1.5T", "3T"])
def test_the_spheres_of_a_phantom(shared_data, field, array, signal):
    path = shared_data / "data" / "external" / "nist_system_phantom.json"
    spheres = json.loads(path.read_text("utf-8"))[f"{array}_{field}"]
    t1, t2 = np.array(spheres["T1"]), np.array(spheres["T2"])
    is_magnitude = signal == "magnitude"
    for model, true in (
        (MonoExponential(0.01 * np.arange(1, 33), signal=signal), [t2]),
        (InversionRecovery(TI, tr=6.0, signal=signal), [t1, np.full(14, 0.96)]),
    ):
        theta = np.column_stack([*true, *[np.full(14, 2000.0)] * is_magnitude])
        X = model.signal(theta) * (1 if is_magnitude else 2000 * np.exp(1j))
        found = NLLSRegressor(model).fit(X).predict(X)
        np.testing.assert_allclose(found, theta, rtol=1e-5)


@pytest.mark.parametrize("kind", ESTIMATORS)
@pytest.mark.parametrize("signal", ["magnitude", "complex"])
def test_images_are_enough(kind, signal):
    model = MonoExponential(TE, signal=signal)
    theta = over_the_box(model, 50)
    theta[:, 0] = np.linspace(0.01, 0.3, 50)
    X = model.signal(theta)
    images = X.copy()
    images[::2] = np.nan
    y = ESTIMATORS[kind](model).fit(images).predict(X)
    assert y.shape == (50, model.n_parameters)
    np.testing.assert_allclose(y, theta, rtol=5e-3 if kind == "matching" else 1e-4)


@pytest.mark.parametrize("kind", ESTIMATORS)
def test_fits_without_targets_do_not_depend_on_the_images(kind):
    model = MonoExponential(TE, signal="magnitude")
    X, _ = make_fingerprints(model, 30, random_state=0)
    one = ESTIMATORS[kind](model).fit(X).predict(X)
    other = ESTIMATORS[kind](model).fit(1e6 * X[:3]).predict(X)
    np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("kind", ESTIMATORS)
def test_a_model_without_a_distribution(kind):
    model = FunctionModel(
        lambda theta: np.exp(-TE * theta) + 0j, ["R2"], [(1.0, 100.0)], name="decay"
    )
    X = 3j * model.signal([[5.0], [50.0]])
    y = ESTIMATORS[kind](model).fit(X).predict(X)
    np.testing.assert_allclose(y, [[5.0], [50.0]], rtol=1e-3)


@pytest.mark.parametrize("kind", ESTIMATORS)
def test_known_maps_without_targets(kind):
    model = SpoiledGradientEcho(ANGLES, 0.015, b1=True, signal="magnitude").given("B1")
    rng = np.random.default_rng(0)
    b1, t1 = rng.uniform(0.7, 1.2, (40, 1)), rng.uniform(0.4, 3.0, 40)
    theta = np.column_stack([t1, np.full(40, 300.0)])
    X, b1[0] = model.at(b1).signal(theta), np.nan
    y = ESTIMATORS[kind](model).fit(X, known=b1).predict(X, known=b1)
    assert np.isnan(y[0]).all()
    # Matching has the known values of its cells only.
    tolerance = {"matching": 0.2, "step": 0.01, "least squares": 1e-4}[kind]
    assert np.abs(y[1:, 0] / t1[1:] - 1).max() < tolerance
    with pytest.raises(ValueError, match="known has no row inside the domains of B1"):
        ESTIMATORS[kind](model).fit(X, known=np.full(40, 1e3))


def test_atoms_follow_the_brain_and_cover_the_bounds():
    model = MonoExponential(TE, signal="magnitude")
    values, known = values_without_targets(model, None, 1000)
    assert known is None
    np.testing.assert_array_equal(values[:, 1], 1.0)
    drawn, spread = values[:500, 0], values[500:, 0]
    assert np.mean((drawn > 0.03) & (drawn < 0.25)) > 0.8
    counts, _ = np.histogram(spread, np.geomspace(1e-3, 4.0, 11))
    assert (np.abs(counts - 50) <= 2).all()


@pytest.mark.parametrize(
    ("make", "options", "text"),
    [
        (NLLSRegressor, {"crb": np.ones((5, 2))}, "crb holds the bounds of y, but y is"),
        (lambda m: OneStepRegressor(model=m, n_starts=2), {}, "give y, or n_starts=1"),
        (lambda m: OneStepRegressor(CRBRegressor(m), m), {}, "requires y to be passed"),
        (CRBRegressor, {}, "CRBRegressor requires y to be passed"),
        (lambda _: NLLSRegressor(), {}, "NLLSRegressor requires y to be passed"),
    ],
)
def test_what_needs_targets_says_so(make, options, text):
    model = MonoExponential(TE, signal="magnitude")
    X, _ = make_fingerprints(model, 5, random_state=0)
    with pytest.raises(ValueError, match=text):
        make(model).fit(X, None, **options)


def test_compressed_images_need_targets_or_a_compressed_model():
    model = MonoExponential(TE, signal="magnitude")
    with pytest.raises(ValueError, match="X has 3 features, fewer than .* give y, or comp"):
        DictionaryRegressor(model).fit(np.ones((5, 3)))


@pytest.mark.parametrize("make", [NLLSRegressor, lambda m: OneStepRegressor(model=m)])
def test_a_prior_without_targets_is_wide(make):
    model = MonoExponential(TE, signal="magnitude")
    X, _ = make_fingerprints(model, 5, random_state=0)
    reg = make(model).set_params(prior="gaussian").fit(X)
    assert 0.5 < 1 / np.sqrt(reg.prior_.precision[0, 0]) < 1.5
    assert reg.prior_.precision[1, 1] == 0


@pytest.mark.parametrize("signal", ["magnitude", "complex"])
def test_steps_begin_beyond_the_training_targets(signal):
    model = InversionRecovery(TI, tr=6.0, signal=signal, bounds={"T1": (0.02, 5.0)})
    t1 = np.geomspace(0.03, 5.0, 60)
    theta = np.column_stack([t1, np.full(60, 0.9), np.full(60, 9.0)])
    X = model.signal(theta[:, : model.n_parameters])
    data = make_fingerprints(model, 300, random_state=0)
    y = OneStepRegressor(model=model, n_steps=3).fit(*data).predict(X)
    np.testing.assert_allclose(y[:, 0], t1, rtol=0.01)
