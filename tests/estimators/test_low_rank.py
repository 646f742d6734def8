"""Bases of long signals: what they leave of atoms, where they serve, that matches stay."""

import pickle

import numpy as np
import pytest
from sklearn.base import clone

from crbestim.estimators import DictionaryRegressor, _low_rank
from crbestim.estimators._low_rank import Basis
from crbestim.models import MonoExponential

TIMES = np.linspace(0.0, 0.3, 64)
N = 1500


def decays(n=N, seed=0, kind="complex"):
    """Return decays at two rates, with phases that differ, and their parameters."""
    rng = np.random.default_rng(seed)
    y = np.column_stack([rng.uniform(5.0, 60.0, n), rng.uniform(0.2, 0.8, n)])
    fast = np.exp(-3 * y[:, :1] * TIMES)
    if kind == "real":
        return y[:, 1:] * np.exp(-y[:, :1] * TIMES) + 0.3 * fast, y
    return np.exp(1j * y[:, 1:] - y[:, :1] * TIMES) + 0.5j * y[:, 1:] * fast, y


def noisy(X, sigma, seed=1):
    parts = np.random.default_rng(seed).standard_normal((2, *X.shape))
    return X + sigma * (parts[0] + (1j * parts[1] if X.dtype.kind == "c" else 0))


def basis_of(X):
    """Return the basis of signals, which is made for rows of unit norm if complex."""
    is_complex = X.dtype.kind == "c"
    if is_complex:
        X = X / np.linalg.norm(X, axis=1, keepdims=True)
    return Basis.of(X.view(float), np.arange(len(X)), is_complex), X


@pytest.fixture
def without_basis(monkeypatch):
    """Return a function that calls another, without bases."""

    def call(function):
        with monkeypatch.context() as patch:
            patch.setattr(_low_rank, "_FEWEST_ATOMS", np.inf)
            return function()

    return call


@pytest.mark.parametrize("kind", ["complex", "real"])
@pytest.mark.parametrize("scale", [1.0, 1e-30, 1e30])
def test_a_basis_is_orthonormal_short_and_leaves_little_of_each_atom(kind, scale):
    basis, atoms = basis_of(scale * decays(kind=kind)[0])
    gram = basis.vectors.conj().T @ basis.vectors
    np.testing.assert_allclose(gram, np.eye(len(gram)), atol=1e-13)
    assert len(gram) <= 12
    largest = np.linalg.norm(atoms, axis=1).max()
    left = atoms - atoms @ basis.vectors.conj() @ basis.vectors.T
    left = np.linalg.norm(left, axis=1).max()
    assert left <= basis.outside <= 1.1e-5 * largest
    np.testing.assert_allclose(basis.largest, largest)


def test_atoms_unlike_the_others_are_spanned_as_well():
    atoms = np.repeat(decays()[0], 4, axis=1)
    atoms[:3] = noisy(0 * atoms[:3], 1.0)
    basis, unit = basis_of(atoms)
    left = unit[:3] - unit[:3] @ basis.vectors.conj() @ basis.vectors.T
    assert (np.linalg.norm(left, axis=1) <= basis.outside).all()


@pytest.mark.parametrize(
    "atoms",
    [
        decays(500)[0],
        decays()[0][:, :63],
        noisy(decays()[0], 0.01),
        noisy(np.zeros((600, 400), complex), 1.0),
        np.zeros((600, 64)),
        1e180 * decays(kind="real")[0],
    ],
    ids=["few atoms", "short", "noisy", "noise", "zeros", "huge"],
)
def test_no_basis_where_it_is_no_help(atoms):
    assert basis_of(atoms)[0] is None


def test_the_size_grows_while_that_promises_enough(monkeypatch):
    expected = basis_of(decays()[0])[0].vectors.shape
    monkeypatch.setattr(_low_rank, "_FIRST", 4)
    assert basis_of(decays()[0])[0].vectors.shape == expected
    monkeypatch.setattr(_low_rank, "_MOST", expected[1] - 1)
    assert basis_of(decays()[0])[0] is None


@pytest.mark.parametrize("kind", ["complex", "real"])
@pytest.mark.parametrize("k", [1, 3, 100])
def test_matches_are_those_without_a_basis_to_the_bit(without_basis, kind, k):
    X, y = decays(kind=kind)
    X = np.concatenate([X, X[::2]])
    if kind == "complex":
        X[N:] *= np.exp(1j * np.arange(N // 2))[:, None]
    reg = DictionaryRegressor(n_neighbors=k).fit(X, np.arange(len(X)))
    plain = without_basis(lambda: clone(reg).fit(X, np.arange(len(X))))
    assert reg.ball_tree_.basis is not None and plain.ball_tree_.basis is None
    for sigma in (0.0, 1e-8, 0.01, 0.3, 30.0):
        data = noisy(X[::10], sigma)
        for one, other in zip(reg.kneighbors(data), plain.kneighbors(data), strict=True):
            np.testing.assert_array_equal(one, other)


OPTIONS = {
    "interpolated": dict(n_neighbors=20, interpolate=True),
    "blocks of one": dict(n_neighbors=2, block_size=1),
    "threads": dict(n_neighbors=2, block_size=7, n_jobs=2),
}


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_estimates_are_those_without_a_basis_to_the_bit(without_basis, options):
    X, y = decays()
    reg = DictionaryRegressor(**options).fit(X, y)
    plain = without_basis(lambda: DictionaryRegressor(**options).fit(X, y))
    data = noisy(X[:60], 0.2)
    np.testing.assert_array_equal(reg.predict(data), plain.predict(data))


def test_cells_of_known_values_have_bases_of_their_own(without_basis):
    X, y = decays()
    known = y[:, 1:]
    reg = DictionaryRegressor(n_neighbors=3).fit(X, y, known=known)
    plain = without_basis(lambda: clone(reg).fit(X, y, known=known))
    cells = reg.ball_tree_.cells
    assert len(cells) == 2 and all(cell.basis is not None for cell in cells)
    data = noisy(X[:200], 0.1)
    np.testing.assert_array_equal(
        reg.predict(data, known=known[:200]), plain.predict(data, known=known[:200])
    )


@pytest.mark.filterwarnings("ignore:magnitudes are below 5 sigma")
def test_amplitudes_and_missing_samples(without_basis):
    model = MonoExponential(TIMES, signal="magnitude")
    y = np.column_stack([np.random.default_rng(0).uniform(0.01, 0.3, N), np.ones(N)])
    options = dict(n_neighbors=4, interpolate=True, nan_policy="omit")
    X = model.signal(y)
    reg = DictionaryRegressor(model, **options).fit(X, y)
    plain = without_basis(lambda: DictionaryRegressor(model, **options).fit(X, y))
    assert reg.ball_tree_.basis is not None
    data = 1e3 * np.abs(noisy(X[:40], 0.05))
    data[:5, 3] = np.nan
    np.testing.assert_array_equal(reg.predict(data), plain.predict(data))


def test_signals_whose_squares_overflow_exclude_nothing(without_basis):
    X, y = decays(kind="real")
    reg = DictionaryRegressor().fit(X, y)
    plain = without_basis(lambda: DictionaryRegressor().fit(X, y))
    data = np.concatenate([1e200 * X[:2], 1e150 * X[:2], -X[:2]])
    found = reg.predict(data)
    np.testing.assert_array_equal(found, plain.predict(data))
    assert np.isnan(found[:2]).all() and np.isfinite(found[2:]).all()


def test_a_basis_needs_little_memory_and_lets_blocks_be_larger(without_basis):
    X, y = decays(4000)
    reg = DictionaryRegressor().fit(X, y)
    plain = without_basis(lambda: DictionaryRegressor().fit(X, y))
    sizes = [len(pickle.dumps(one)) for one in (reg, plain)]
    share = reg.ball_tree_.basis.vectors.shape[1] / len(TIMES)
    assert sizes[0] < (1 + share) * sizes[1]
    assert reg.ball_tree_.n_numbers < plain.ball_tree_.n_numbers / 2
    again = pickle.loads(pickle.dumps(reg))
    np.testing.assert_array_equal(again.predict(X[:9]), reg.predict(X[:9]))
