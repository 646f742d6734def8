"""A row of a result depends on its row alone, bit for bit."""

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from crbestim import CRBRegressor, DictionaryRegressor, NLLSRegressor, OneStepRegressor
from crbestim.datasets import make_fingerprints
from crbestim.kernels.products import row_products
from crbestim.models import MonoExponential
from crbestim.network.arrays import KnownInputs, Network
from crbestim.subspace import ComplexToReal, SubspaceProjection, Whitening
from tests.models.conftest import orthonormal

TE = 0.01 * np.arange(1, 10)
KINDS = [np.float32, np.float64, np.complex64, np.complex128]


def numbers(*shape, kind=float, seed=0):
    rng = np.random.default_rng(seed)
    values = rng.normal(size=shape) + 1j * rng.normal(size=shape)
    return (values if np.dtype(kind).kind == "c" else values.real).astype(kind)


def check_rows(function, X, alone=(0, 1, 7, -1)):
    """Check rows in another order, alone, among a few, and elsewhere in memory."""
    expected, order = function(X), np.random.default_rng(1).permutation(len(X))
    np.testing.assert_array_equal(function(X[order]), np.asarray(expected)[..., order, :])
    spaced = np.repeat(X, 2, axis=1)[:, ::2]
    for same in (np.asfortranarray(X), spaced):
        np.testing.assert_array_equal(function(same), expected)
    for i in (k % len(X) for k in alone):
        for rows in (slice(i, i + 1), slice(max(i - 2, 0), i + 1)):
            found = function(X[rows])
            np.testing.assert_array_equal(found, np.asarray(expected)[..., rows, :])


def network(width, is_complex, dtype):
    """Return a function that estimates with a network of random weights."""
    kind = complex if is_complex else float
    net = Network(
        hidden_layer_sizes=(37, 20, 20),
        activation="gelu",
        dtype=dtype,
        offset=np.zeros(3),
        scale=np.ones(3),
        periods=np.array([np.inf, 1.0, np.inf]),
        reference=numbers(width, kind=kind),
        known_inputs=KnownInputs.learn(None),
    )
    module = net._new(numbers(200, width, kind=kind), None, 0)
    weights = {name: value.numpy() for name, value in module.state_dict().items()}
    return lambda X, n_jobs=None: net.estimate(weights, X, None, n_jobs)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("is_complex", [False, True])
def test_networks_of_any_width(dtype, is_complex):
    for width in (1, 5, 9, 33, 64):
        X = numbers(1300, width, kind=complex if is_complex else float)
        estimate = network(width, is_complex, dtype)
        check_rows(estimate, X, alone=(0, 1, 7, 1023, 1025, -1))
        np.testing.assert_array_equal(estimate(X, n_jobs=2), estimate(X))


@pytest.mark.parametrize("kind", KINDS)
def test_products(kind):
    for width, n_columns in ((1, 1), (5, 3), (8, 8), (33, 16), (200, 13)):
        X, matrix = numbers(133, width, kind=kind), numbers(width, n_columns, kind=kind)
        found, rounding = row_products(X, matrix), 4 * width * np.finfo(kind).eps
        assert found.dtype == kind
        np.testing.assert_allclose(found, X @ matrix, rtol=0, atol=rounding * 10)
        check_rows(lambda rows, matrix=matrix: row_products(rows, matrix), X)
    mixed = row_products(X, 1j * matrix)
    np.testing.assert_allclose(mixed, 1j * found, rtol=0, atol=rounding * 10)
    assert row_products(X[:0], matrix).shape == (0, 13)


@pytest.mark.parametrize("kind", KINDS)
def test_transformers(kind):
    for width in (1, 5, 9, 40):
        X, noise = numbers(90, width, kind=kind), numbers(99, width, kind=kind, seed=2)
        for transformer in (
            SubspaceProjection(min(3, width)),
            Whitening(noise=noise),
            ComplexToReal(),
            ComplexToReal(normalize=True),
        ):
            transformer.fit(X)
            check_rows(transformer.transform, X)
            with threadpool_limits(1):
                one = transformer.transform(X)
            np.testing.assert_array_equal(one, transformer.transform(X))


@pytest.mark.parametrize(
    "reg",
    [
        CRBRegressor(hidden_layer_sizes=(16,), max_iter=1, random_state=0),
        NLLSRegressor(),
        DictionaryRegressor(n_neighbors=3, interpolate=True),
        OneStepRegressor(),
    ],
    ids=lambda reg: type(reg).__name__,
)
@pytest.mark.parametrize("kind", [float, complex])
@pytest.mark.filterwarnings("ignore:X is much:crbestim.exceptions.NoiseLevelWarning")
def test_estimators(reg, kind):
    model = MonoExponential(TE)
    if kind is float:
        model = MonoExponential(TE, signal="magnitude")
    X, y = make_fingerprints(model, 60, snr=30, random_state=0)
    check_rows(reg.fit(X, y, crb=np.ones_like(y)).predict, X)
    reg = reg.__class__(**reg.get_params(deep=False)).set_params(
        model=model, noise_std=1 / 30
    )
    reg.fit(X, y)
    check_rows(lambda X: reg.predict(X, return_std=True, sigma=1 / 30), X)
    if isinstance(reg, DictionaryRegressor):
        sigma = np.linspace(0.03, 0.06, X.shape[1])[None]
        check_rows(lambda X: reg.kneighbors(X, sigma=sigma)[0], X)


def test_compressed_models():
    model = MonoExponential(TE).compress(orthonormal(9, 4, dtype=complex))
    theta = np.linspace([0.03], [0.2], 40)
    check_rows(model.signal, theta)
