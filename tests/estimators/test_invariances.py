"""What must change no estimate: the form of data, their order, and how the work is done."""

import pickle
import threading

import joblib
import numpy as np
import pytest
import sklearn
from sklearn.base import clone
from sklearn.pipeline import make_pipeline

from crbestim import CRBRegressor
from crbestim.bounds import cramer_rao_bound
from crbestim.models import InversionRecovery, MonoExponential, SpoiledGradientEcho
from crbestim.noise import add_noise, noise_of_data
from tests.estimators.siblings import ESTIMATORS
from tests.models.conftest import fisp, orthonormal, water

# Nothing that follows gives a reason for a warning.
pytestmark = pytest.mark.filterwarnings("error")

TE = 0.01 * np.arange(1, 13)
TI = np.array([0.05, 0.2, 0.5, 1.0, 2.0, 4.0])
ALPHA = np.deg2rad([3.0, 8.0, 15.0, 30.0])
ECHOES = SpoiledGradientEcho(
    ALPHA, 0.02, te=np.repeat([2e-3, 0.02], 2), b1=True, signal="magnitude"
)
COEFFICIENTS = water(24).compress(orthonormal(24, 6, dtype=complex))

# Models, and signal-to-noise ratios at which they are well determined.
MODELS = {
    "complex": (lambda: InversionRecovery(TI, tr=6.0), 300.0),
    "magnitudes": (lambda: MonoExponential(TE, signal="magnitude", noise="rician"), 50.0),
    "one known": (lambda: ECHOES.given("B1"), 2000.0),
    "compressed, two known": (lambda: COEFFICIENTS.given("B1", "omega0"), 300.0),
    "FISP": (fisp, 300.0),
}
KINDS = {
    **ESTIMATORS,
    "network": lambda model: CRBRegressor(
        model, hidden_layer_sizes=(16, 16), batch_size=4, max_iter=8, random_state=0
    ),
}


def tissue(parameters, n, rng):
    """Draw parameters from the middle of their distributions, and amplitudes of 1."""
    columns = [
        np.ones(n)
        if p.distribution is None
        else p.distribution.ppf(rng.uniform(0.3, 0.7, n))
        for p in parameters
    ]
    return np.stack(columns, axis=1)


def data(model, snr, n, seed):
    """Return what fit takes, and what predict takes, of n voxels that fit the model."""
    rng, known = np.random.default_rng(seed), {}
    y = tissue(model.parameters, n, rng)
    if model.known_names:
        known = {"known": tissue(model.known_parameters, n, rng)}
        model = model.at(known["known"])
    X = add_noise(model.signal(y), snr, rng, noise=noise_of_data(model))
    crb = cramer_rao_bound(model, y, noise_std=1 / snr)
    return dict(X=X, y=y, crb=crb) | known, dict(X=X, sigma=np.full(n, 1 / snr)) | known


class Case:
    """An estimator, a model, and data that fit it."""

    def __init__(self, kind, name):
        make, snr = MODELS[name]
        self.kind, self.model = kind, make()
        self.train, _ = data(self.model, snr, 100, 0)
        _, self.new = data(self.model, snr, 8, 1)
        self.reg = self.make().fit(**self.train)
        self.expected = results(self.reg, self.new)

    def make(self, **options):
        """Return an estimator that is not fitted."""
        return KINDS[self.kind](self.model).set_params(**options)

    def again(self, train, new=None, **options):
        """Fit anew, and return what the estimator says of new voxels."""
        return results(self.make(**options).fit(**train), self.new if new is None else new)

    def close(self, found, expected, exact=False):
        """Compare bit for bit, or to what is left of digits."""
        tolerance = 0.0 if exact else 1e-5 if self.kind == "network" else 1e-9
        largest = np.abs(expected).max(axis=(0, 1))
        assert (np.abs(found - expected) <= tolerance * largest).all()


def results(reg, new):
    """Return estimates and standard deviations of voxels, (n, 2, n_parameters)."""
    found = np.stack(reg.predict(**new, return_std=True), axis=1)
    assert np.isfinite(found).all()
    return found


# Networks take longest to fit, and see little of a model.
CASES = [
    (kind, model)
    for model in MODELS
    for kind in KINDS
    if kind != "network" or model in ("magnitudes", "compressed, two known")
]


@pytest.fixture(scope="module", params=CASES, ids=", ".join)
def case(request):
    return Case(*request.param)


def mapped(function, values):
    return {name: function(array) for name, array in values.items()}


def same(found, expected):
    """Compare bit for bit."""
    np.testing.assert_array_equal(found, expected)


# Rows


@pytest.mark.parametrize("rows", [[6], [5, 7, 2, 0], [*range(7, -1, -1)] * 10], ids=len)
def test_rows_stand_alone(case, rows):
    same(results(case.reg, mapped(lambda a: a[rows], case.new)), case.expected[rows])


# The form of data


def single(a):
    return a.astype(np.complex64 if a.dtype == complex else np.float32)


def strided(a):
    """Return a view of every second element along each axis, the rows backwards."""
    whole = np.repeat(a[::-1], 2, axis=0)
    return whole[::-2] if a.ndim == 1 else np.repeat(whole, 2, axis=1)[::-2, ::2]


FORMS = {
    "big-endian": lambda a: a.astype(a.dtype.newbyteorder(">")),
    "Fortran": np.asfortranarray,
    "strided": strided,
    "masked": np.ma.masked_array,
    "list": lambda a: a.tolist(),
}


@pytest.mark.parametrize("form", FORMS)
def test_the_form_of_arrays_does_not_matter(case, form):
    train, new = (mapped(FORMS[form], d) for d in (case.train, case.new))
    same(results(case.reg, new), case.expected)
    if form not in ("masked", "list"):
        same(case.again(train), case.expected)


def test_single_precision_is_read_as_double(case):
    train, new = (mapped(single, d) for d in (case.train, case.new))
    double, double_new = (
        mapped(lambda a: a.astype(np.result_type(a, float)), d) for d in (train, new)
    )
    same(case.again(train, new), case.again(double, double_new))


def test_arrays_in_files(case, tmp_path):
    def mapped_file(a):
        path = tmp_path / f"{joblib.hash(a)}.npy"
        np.save(path, a)
        return np.load(path, mmap_mode="r")

    train, new = (mapped(mapped_file, d) for d in (case.train, case.new))
    same(case.again(train, new), case.expected)


def test_frames(case):
    """Columns of parameters go by their names."""
    pandas = pytest.importorskip("pandas")
    names = dict(
        X=[f"sample {k}" for k in range(case.model.n_features)],
        y=case.model.parameter_names,
        crb=case.model.parameter_names,
        known=case.model.known_names,
    )

    def frame(values):
        frames = {
            name: pandas.DataFrame(values[name], columns=columns)
            for name, columns in names.items()
            if name in values
        }
        turned = {k: f if k == "X" else f[f.columns[::-1]] for k, f in frames.items()}
        return values | turned

    same(case.again(frame(case.train), frame(case.new)), case.expected)


# The size and phase of signals


def test_scale(case):
    column = case.model._amplitude_column
    for c in (2.0**20, 2.0**-20, 1e9, 1e-9):
        new = case.new | dict(X=c * case.new["X"], sigma=c * case.new["sigma"])
        expected = case.expected.copy()
        if column is not None:
            expected[..., column] *= c
        case.close(results(case.reg, new), expected, exact=np.log2(c) % 1 == 0)


def test_phase(case):
    if case.model.is_complex:
        for phase in (np.pi / 2, 2.0):
            new = case.new | dict(X=np.exp(1j * phase) * case.new["X"])
            case.close(results(case.reg, new), case.expected)


# How the work is done


def test_intervals(case):
    if case.kind != "matching":
        expected = np.stack(case.reg.interval(**case.new))
        rows = [5, 7, 2, 0]
        for form in FORMS.values():
            new = mapped(lambda a, form=form: form(a[rows]), case.new)
            same(np.stack(case.reg.interval(**new)), expected[:, rows])


def test_fits_repeat(case):
    copy = clone(case.reg)
    assert not [name for name in vars(copy) if name.endswith("_")]
    same(results(copy.fit(**case.train), case.new), case.expected)


def test_pickle(case):
    same(results(pickle.loads(pickle.dumps(case.reg)), case.new), case.expected)


def test_workers(case):
    same(case.again(case.train, n_jobs=2), case.expected)


def test_nothing_is_changed_in_place(case):
    before = joblib.hash((case.train, case.new)), joblib.hash(vars(case.reg))
    results(case.reg, case.new)
    assert joblib.hash(vars(case.reg)) == before[1]
    case.again(case.train)
    assert joblib.hash((case.train, case.new)) == before[0]


@pytest.mark.parametrize("work", ["predict", "fit"])
def test_two_threads_at_once(case, work):
    found = [None, None]

    def run(k):
        found[k] = (
            results(case.reg, case.new) if work == "predict" else case.again(case.train)
        )

    threads = [threading.Thread(target=run, args=(k,)) for k in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    same(found, [case.expected] * 2)


def test_routing(case):
    """Metadata reach an estimator inside a pipeline."""
    fit = dict.fromkeys(set(case.train) - {"X", "y"}, True)
    predict = dict.fromkeys(set(case.new) - {"X"}, True)
    with sklearn.config_context(enable_metadata_routing=True):
        same(case.again(case.train), case.expected)
        reg = case.make().set_fit_request(**fit).set_predict_request(**predict)
        pipeline = make_pipeline("passthrough", reg).fit(**case.train)
        same(pipeline.predict(**case.new), case.expected[:, 0])
