"""Objects come back from files as they were, bit for bit."""

import copy
import pickle
import subprocess
import sys

import numpy as np
import pytest
from scipy import stats
from sklearn import config_context
from sklearn.compose import ColumnTransformer, TransformedTargetRegressor
from sklearn.decomposition import PCA
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.neural_network import MLPRegressor
from sklearn.pipeline import FeatureUnion, make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from crbestim import CRBRegressor, DictionaryRegressor, NLLSRegressor, OneStepRegressor
from crbestim.exceptions import SavedFileError
from crbestim.io import describe, load, save
from crbestim.models import FunctionModel, MonoExponential
from crbestim.models.views import ShapeModel
from crbestim.network.losses import make_loss
from crbestim.noise import RicianNoise
from crbestim.parameters import Parameter
from crbestim.subspace import ComplexToReal, SubspaceProjection, Whitening
from tests.conftest import ROOT
from tests.estimators.siblings import ESTIMATORS
from tests.models.conftest import MODELS, draw

TE = 0.01 * np.arange(1, 9)
NOISY = np.random.default_rng(3).standard_normal((60, 8)) * 0.01


@pytest.fixture
def again(tmp_path):
    """Return a function that saves an object and loads it, trusting what it needs."""

    def move(value, **options):
        path = tmp_path / "object.crbestim"
        save(value, path, **options)
        names = describe(path).get("trusted")
        return load(path, trusted=names.split(", ") if names else ())

    return move


@pytest.fixture(scope="module")
def decay():
    """Return a small model with signals and parameters to learn from."""
    model = MonoExponential(TE)
    y = np.random.default_rng(0).uniform(0.02, 0.2, (60, 1))
    return model, model.signal(y) + NOISY, y


@pytest.fixture(scope="module")
def network(decay):
    model, X, y = decay
    options = dict(hidden_layer_sizes=(8, 8), max_iter=2, random_state=0)
    return CRBRegressor(model, **options).fit(X, y)


def equal(found, expected):
    """Assert that results are the same, bit for bit."""
    for one, other in zip(found, expected, strict=True):
        assert one.dtype == other.dtype
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("name", MODELS)
def test_models(again, name):
    model = MODELS[name]()
    twin, theta = again(model), draw(model, 2)
    assert type(twin) is type(model) and repr(twin) == repr(model)
    equal(twin.signal(theta, jacobian=True), model.signal(theta, jacobian=True))
    equal([twin.bounds], [model.bounds])
    # What is not stored is made again.
    assert repr(copy.copy(twin)) == repr(pickle.loads(pickle.dumps(twin))) == repr(model)


VIEWS = {
    "given": lambda m: m.given("B1"),
    "given, at": lambda m: m.given("B1").at([[0.9], [1.1]]),
    "fixed": lambda m: m.fix(B1=0.9),
    "whitened": lambda m: m.whiten(np.diag(np.arange(1.0, 13.0))),
    "compressed": lambda m: m.compress(np.eye(12)[:, :7]).given("B1"),
    "shape": ShapeModel,
}


@pytest.mark.parametrize("name", VIEWS)
def test_views(again, name):
    model = VIEWS[name](MODELS["CPMG"]())
    twin, theta = again(model), draw(model, 2)
    assert repr(twin) == repr(model)
    if model.known_parameters and model.known is None:
        twin, model = (m.at([[0.9], [1.1]]) for m in (twin, model))
    equal(twin.signal(theta, jacobian=True), model.signal(theta, jacobian=True))


@pytest.mark.parametrize("name", ESTIMATORS)
@pytest.mark.parametrize("kind", [MonoExponential, None])
@pytest.mark.filterwarnings("ignore:.* has neither a model nor crb")
def test_estimators(again, decay, name, kind):
    model, X, y = decay
    reg = ESTIMATORS[name](model if kind else None)
    assert repr(again(reg)) == repr(reg)
    reg.fit(X, y)
    twin = again(reg)
    equal([twin.predict(X)], [reg.predict(X)])
    if kind:
        assert twin.model is twin._fitted_model
        wants = {} if isinstance(reg, DictionaryRegressor) else {"return_std": True}
        equal(
            np.atleast_3d(twin.predict(X, **wants)), np.atleast_3d(reg.predict(X, **wants))
        )
        equal([twin.residual(X).chi_square], [reg.residual(X).chi_square])


def test_networks(again, decay, network):
    _, X, y = decay
    twin = again(network)
    equal(twin.predict(X, return_std=True), network.predict(X, return_std=True))
    equal(twin.weights_.values(), network.weights_.values())
    assert twin.history_ == network.history_
    step = OneStepRegressor(FrozenEstimator(network), network.model).fit(X, y)
    equal([again(step).predict(X)], [step.predict(X)])
    assert repr(again(CRBRegressor(loss=make_loss("mse", {})))).startswith("CRBRegressor(")


@pytest.mark.parametrize("training_state", [False, True])
def test_training_goes_on(again, decay, network, training_state):
    _, X, y = decay
    reg = copy.deepcopy(network)
    twin = again(reg, training_state=training_state)
    assert hasattr(twin, "optimizer_") is training_state
    assert twin._random_state.randint(99) == copy.deepcopy(reg)._random_state.randint(99)
    twin, reg = again(reg, training_state=training_state).partial_fit(X, y), reg
    if not training_state:
        # As if the optimizer were new.
        del reg.optimizer_
    equal(twin.weights_.values(), reg.partial_fit(X, y).weights_.values())


def test_a_network_in_a_new_process(tmp_path, decay, network):
    _, X, _ = decay
    save(network, tmp_path / "network.crbestim")
    np.save(tmp_path / "X.npy", X)
    code = """
import sys, numpy as np
from crbestim.io import load
reg = load("network.crbestim")
np.save("y.npy", reg.predict(np.load("X.npy"), return_std=True))
print({"torch"} & set(sys.modules))
"""
    path = f"import sys; sys.path[0] = {str(ROOT)!r}"
    result = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", path + code],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        check=False,
    )
    assert (result.stdout.strip(), result.stderr) == ("set()", "")
    equal(np.load(tmp_path / "y.npy"), network.predict(X, return_std=True))


@pytest.mark.filterwarnings("ignore:Stochastic Optimizer")
def test_pipelines(again, decay):
    _, X, y = decay
    scaled = ColumnTransformer([("first", StandardScaler(), slice(0, 3))], remainder="drop")
    steps = FeatureUnion([("some", scaled), ("main", PCA(2))]), FunctionTransformer(np.tanh)
    ridge = TransformedTargetRegressor(Ridge(), func=np.log, inverse_func=np.exp)
    mlp = MLPRegressor(
        hidden_layer_sizes=(4,), max_iter=2, random_state=np.random.RandomState(1)
    )
    for last in (ridge, mlp):
        inputs = SubspaceProjection(4), Whitening(np.eye(4)), ComplexToReal()
        reg = make_pipeline(*inputs[: 1 if last is ridge else 3], *steps, last)
        if last is mlp:
            reg.steps[2] = ("none", "passthrough")
        reg.fit(X.real, y.ravel())
        equal([again(reg).predict(X.real)], [reg.predict(X.real)])


def test_the_best_of_a_search_with_routing(again, decay):
    model, X, y = decay
    with config_context(enable_metadata_routing=True):
        reg = OneStepRegressor(NLLSRegressor(model), model=model)
        reg = reg.set_fit_request(crb=True).set_score_request(crb=True)
        search = GridSearchCV(reg, {"noise_std": [0.01, 0.02]}, cv=2)
        best = search.fit(X, y, crb=np.ones_like(y)).best_estimator_
        twin = again(best)
        equal([twin.predict(X)], [best.predict(X)])
        assert repr(twin.get_metadata_routing()) == repr(best.get_metadata_routing())
        with pytest.raises(SavedFileError, match="cannot be saved"):
            again(search)


ALPHABET = np.array(["a", "Ω"])
VALUES = {
    "numbers": [
        0,
        -0.0,
        1e300,
        True,
        None,
        "text \ud800",
        2**80,
        1j,
        complex(np.nan, -0.0),
    ],
    "not finite": (np.inf, -np.inf, np.nan),
    "sets": [{1, 2}, frozenset("a"), slice(1, None, 2), b"\x00\xff", {}, (), []],
    "scalars": [
        np.float32(0.1),
        np.bool_(True),
        np.str_("x"),
        np.int64(-3),
        np.complex64(1j),
    ],
    "keys": {1: "a", (2, 3): "b", None: "c", 1.5: "d"},
    "texts": [ALPHABET, ALPHABET.astype(object), np.array([[1, None], ["x", [2]]], object)],
    "types": [np.dtype("<f4"), np.float64, float, np.real, np.log1p, MonoExponential],
    "arrays": [
        np.arange(6.0).reshape(2, 3).T,
        np.arange(6, dtype=">i2")[::2],
        np.zeros((0, 3), complex),
        np.array(2.5),
        np.zeros(5000),
        np.array([True, False]),
        np.array(["2026-01-01"], "M8[D]"),
    ],
}


def same(one, other):
    """Return whether values are the same, in type and in every bit."""
    if type(one) is not type(other):
        return False
    if isinstance(one, np.ndarray) and one.dtype != object:
        layout = one.flags.f_contiguous == other.flags.f_contiguous
        is_alike = one.dtype == other.dtype and one.shape == other.shape
        return is_alike and (layout or one.size < 4) and one.tobytes() == other.tobytes()
    if isinstance(one, np.ndarray | list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, dict):
        return list(one) == list(other) and all(map(same, one.values(), other.values()))
    return repr(one) == repr(other)


@pytest.mark.parametrize("name", VALUES)
def test_values(again, name):
    assert same(again({"value": VALUES[name]})["value"], VALUES[name])


def test_one_object_stays_one_and_read_only_stays_so(again):
    array = np.arange(3.0)
    fixed = array.copy()
    fixed.flags.writeable = False
    first, second, third = again([array, array, fixed])
    assert first is second and first.flags.writeable and not third.flags.writeable
    first[0] = 7.0


def test_random_generators_go_on(again):
    states = [np.random.RandomState(5), np.random.default_rng(5)]
    states += [
        np.random.Generator(np.random.SFC64(np.random.SeedSequence(1, spawn_key=(2,))))
    ]
    for state in states:
        state.normal(size=3)
        twin = again([state])[0]
        equal([twin.normal(size=5)], [state.normal(size=5)])
    (twin,), (child,) = again([states[1]])[0].spawn(1), states[1].spawn(1)
    assert twin.random() == child.random()


def test_parameters_and_noise(again):
    frozen = stats.truncnorm(-1, np.float64(2), loc=1.0, scale=0.1)
    parameter = Parameter("T2", bounds=(0.01, 3.0), distribution=frozen, unit="s")
    twin = again(parameter)
    assert repr(twin) == repr(parameter)
    equal([twin.distribution.rvs(4, random_state=0)], [frozen.rvs(4, random_state=0)])
    assert type(again(RicianNoise())) is RicianNoise
    assert again(MODELS["bSSFP"]().sequence) == MODELS["bSSFP"]().sequence


class Holder:
    """Hold a value."""

    def __init__(self, value):
        self.value = value


NAN_KEPT = np.ma.masked_array([1.0])


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (
            FunctionModel(lambda p: p * np.ones(3), ["a"], [(0, 1)]),
            "'f'.*found by an import",
        ),
        (Holder(type("Local", (), {})()), r"\['value'\] cannot be found by an import"),
        ([1, np.zeros(2, "f8,i4")], r"\[1\].*cannot be saved"),
        ({"x": NAN_KEPT}, r"\['x'\].*cannot be saved"),
        ([(n for n in range(3))], "cannot be saved"),
        ([np.frompyfunc(abs, 1, 1)], "cannot be found by an import"),
        ([MonoExponential(TE).signal], "cannot be found by an import"),
        ([save], "is neither data, nor of a class"),
        ([np.random.Generator(np.random.Philox(0))], "cannot be saved"),
        ([sys], "cannot be saved"),
    ],
)
def test_what_cannot_be_saved_leaves_no_file(tmp_path, value, message):
    path = tmp_path / "object"
    path.write_text("before")
    with pytest.raises(SavedFileError, match=message):
        save(value, path)
    assert [p.read_text() for p in tmp_path.iterdir()] == ["before"]


def test_what_holds_itself(tmp_path):
    values = []
    values.append({"again": values})
    with pytest.raises(SavedFileError, match=r"an object of list at \[0\] holds itself"):
        save(values, tmp_path / "object")
    for value in (3, "text", None):
        with pytest.raises(TypeError, match="give an estimator or a model"):
            save(value, tmp_path / "object")
