"""FunctionModel; properties of every model are tested with the others."""

import copy
import functools
import pickle

import numba
import numpy as np
import pytest
from joblib import Parallel, delayed
from scipy import stats

from crbestim.bounds import cramer_rao_bound
from crbestim.datasets import make_fingerprints
from crbestim.exceptions import InexactJacobianWarning, MissingJacobianError
from crbestim.models import FunctionModel, InversionRecovery, SignalModel
from crbestim.parameters import Parameter
from tests.models import functions
from tests.models.functions import BOUNDS, NAMES, biexponential, draw, magnitudes_of

WAYS = {
    "of many": (functions.of_many, {}),
    "of one": (functions.of_one, {}),
    "of many, said": (functions.of_many, {"vectorized": True}),
    "of one, said": (functions.of_one, {"vectorized": False}),
    "with Jacobian": (functions.of_one, {"jacobian": functions.jacobian_of_one}),
    "with Jacobians": (functions.of_many, {"jacobian": functions.jacobian_of_many}),
    "numba": (functions.compiled, {"jacobian": functions.compiled_jacobian}),
    "numba, differences": (functions.compiled, {"backend": "numba"}),
    "numba, in Python": (functions.compiled, {"backend": "numpy"}),
    "numba and NumPy": (functions.compiled, {"jacobian": functions.jacobian_of_one}),
    "torch": (functions.of_tensor, {"backend": "torch"}),
    "torch, of many": (functions.of_tensors, {"backend": "torch", "vectorized": True}),
}


@pytest.mark.parametrize(("f", "options"), WAYS.values(), ids=WAYS)
def test_all_ways_are_the_same_model(f, options):
    theta = draw(7)
    model = biexponential(f, **options)
    s, jacobian = model.signal(theta, jacobian=True)
    np.testing.assert_allclose(s, functions.of_many(theta), rtol=1e-14)
    # Differences: rounding over the step.
    expected = functions.jacobian_of_many(theta) * np.ptp(BOUNDS, axis=1)
    scaled = jacobian * np.ptp(BOUNDS, axis=1)
    assert np.abs(scaled - expected).max() < 1e-9
    if "jacobian" in options or model.backend == "torch":
        assert np.abs(scaled - expected).max() < 1e-13
    assert model.is_complex and model.n_features == 12


@pytest.mark.parametrize("n", [1, 3, 4, 5])
def test_as_many_samples_as_parameters_are_not_mixed_up(n):
    for f in (functions.of_many, functions.of_one):
        s = biexponential(f).signal(draw(n))
        np.testing.assert_array_equal(s, functions.of_many(draw(n)))


@pytest.mark.parametrize(
    ("f", "expected"),
    [
        (lambda theta: theta @ np.arange(6.0).reshape(2, 3), True),
        (lambda theta: theta[0] * np.exp(-theta[1] * np.arange(2.0)), False),
        (lambda theta: theta[0] * np.exp(-theta[1] * np.arange(4.0)), False),
        (lambda theta: np.outer(theta[:1], np.arange(5.0))[0], False),
        (lambda theta: theta - theta.mean(axis=-1, keepdims=True), True),
        (lambda theta: [theta[0], theta[1] ** 2, 1.0], False),
        (lambda theta: theta.astype(np.float32), True),
    ],
)
def test_the_way_of_calling_is_found(f, expected):
    model = FunctionModel(f, ["a", "b"], [(0.0, 1.0), (0.0, 2.0)])
    assert model.vectorized is expected
    one = np.array([0.2, 0.7])
    np.testing.assert_allclose(model.signal(np.tile(one, (2, 1)))[1], f(one), rtol=1e-6)


@pytest.mark.parametrize("f", [lambda x: x - x.mean(), lambda x: np.cumsum(x, axis=0)])
def test_rows_that_depend_on_each_other_are_not_taken_for_many_samples(f):
    assert FunctionModel(f, ["a", "b"], [(0.0, 1.0)] * 2).vectorized is False


def test_an_unclear_function_is_refused():
    with pytest.raises(ValueError, match="something other than the row of that sample; gi"):
        FunctionModel(lambda x: x.ndim * x, ["a", "b"], [(0.0, 1.0)] * 2)
    message = (
        r"f of FunctionModel '<lambda>' is unclear: for theta of shape \(4, 2\), many "
        r"samples, it returns shape \(2,\); for .* \(2,\), one sample, it returns shape "
        r"\(\). It must return \(n_samples, n_features\) or \(n_features,\); choose b"
    )
    with pytest.raises(ValueError, match=message):
        FunctionModel(lambda x: x[0], ["a", "b"], [(0.0, 1.0)] * 2)
    with pytest.raises(ValueError, match="many samples, it raises KeyError: 'B0'; for"):
        FunctionModel(lambda x: {}["B0"], ["a", "b"], [(0.0, 1.0)] * 2)


@pytest.mark.parametrize(
    ("f", "vectorized", "message"),
    [
        (
            functions.of_one,
            True,
            "(?s)values to unpack.*raised by f of .* 'of_one' for theta of shape .4, 3",
        ),
        (lambda x: x[:, 0], True, r"shape \(4,\) for .* \(4, 3\); .*True .* \(4, n_feat"),
        (lambda x: x[None], False, r"shape \(1, 3\) for .* \(3,\); .*False .* \(n_feat"),
        (lambda x: x.sum(), False, r"returned shape \(\) for theta of shape \(3,\)"),
        (
            lambda x: ["a"],
            False,
            "f of FunctionModel '<lambda>' returned .*must return num",
        ),
    ],
)
def test_wrong_shapes(f, vectorized, message):
    with pytest.raises((TypeError, ValueError), match=message):
        biexponential(f, vectorized=vectorized)


def test_shapes_that_change():
    def odd(theta):
        return np.ones((len(theta), 3 if len(theta) in (4, 5) else 5))

    model = biexponential(odd, vectorized=True)
    message = r"f of FunctionModel 'odd' returned shape \(2, 5\) .* must return \(2, 3\)"
    with pytest.raises(ValueError, match=message):
        model.signal(draw(2))
    compiled = numba.njit(lambda x: np.ones(3 if x[0] == 0.5 else 4))
    with pytest.raises(ValueError, match="returns arrays of several sizes"):
        biexponential(compiled).signal(draw(2))


def test_a_jacobian_of_another_shape():
    with pytest.raises(ValueError, match=r"jacobian of .* \(3, 12\) .* return \(12, 3\)"):
        biexponential(functions.of_one, jacobian=lambda x: np.ones((3, 12)))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (np.ones((2, 3)), r"returned shape \(2, 3\) .* must return \(3, 2\)"),
        (np.ones((3, 3)), r"returned shape \(3, 3\) .* must return \(3, 2\)"),
        (np.ones((3, 2)) + 0j, "returned complex numbers, but the signal is real"),
    ],
)
@pytest.mark.parametrize("compile", [numba.njit, lambda f: f])
def test_a_jacobian_is_checked_compiled_or_not(compile, values, message):
    f = compile(lambda x: np.array([x[0], x[1], x[0] * x[1]]))
    jacobian = compile(lambda x: x[0] * values)
    with pytest.raises(ValueError, match="jacobian of FunctionModel '<lambda>' " + message):
        FunctionModel(f, ["a", "b"], [(0.0, 1.0)] * 2, jacobian=jacobian)


def test_complex_numbers_now_and_then():
    def root(theta):
        return np.emath.sqrt(theta[0] - 0.4) * np.ones(3)

    with pytest.raises(ValueError, match="f of .*'root' returned complex numbers, but the"):
        FunctionModel(root, ["x"], [(0.0, 1.0)], vectorized=False).signal([[0.1]])


def test_a_function_may_change_its_argument():
    def in_ms(theta):
        theta *= 1e3
        return np.exp(-10.0 / theta) * np.ones(3)

    theta = np.array([[0.02], [0.1]])
    s, jacobian = FunctionModel(in_ms, ["T2"], [(5e-3, 1.0)]).signal(theta, jacobian=True)
    np.testing.assert_allclose(s, np.exp(-0.01 / theta) * np.ones(3))
    expected = (0.01 / theta**2 * s)[:, :, None]
    np.testing.assert_allclose(jacobian, expected, rtol=1e-10)
    assert theta.tolist() == [[0.02], [0.1]]


@pytest.mark.parametrize(
    ("names", "bounds", "options", "error", "message"),
    [
        ("R2", [(0, 1)], {}, TypeError, r"parameter_names is 'R2'; give a seq.*\['R2'\]"),
        (["a"], None, {}, TypeError, "bounds are missing; give a row"),
        (["a"], [(0, 1)] * 2, {}, ValueError, r"shape \(2, 2\); give \(1, 2\), .*'a'"),
        (["a", "a"], [(0, 1)] * 2, {}, ValueError, "'a', 'a'.*; give names that differ"),
        ([], np.empty((0, 2)), {}, ValueError, r"are \[\]; give names that differ"),
        (
            ["a"],
            {"a": (0, 1)},
            {},
            TypeError,
            "bounds is an object of type dict; give numbers",
        ),
        (["a", "b"], [(0, 1), 2], {}, ValueError, "bounds is ragged"),
        (["a"], [(1, 0)], {}, ValueError, r"bounds of a are \(1.0, 0.0\)"),
        ([Parameter("a", (0, 1)), "b"], None, {}, TypeError, "give only such objects"),
        ([Parameter("a", (0, 1))], [(0, 1)], {}, TypeError, "bounds and dist.* own"),
        (["a"], [(0, 1)], {"backend": "jax"}, ValueError, "backend='jax' is unkn.*numba"),
        (
            ["a"],
            [(0, 1)],
            {"backend": "numba"},
            TypeError,
            "needs a function compiled by n",
        ),
        (["a"], [(0, 1)], {"difference": "no"}, ValueError, "difference='no' is unknown"),
        (["a"], [(0, 1)], {"vectorized": 2}, ValueError, "vectorized=2; give True, False"),
        (
            ["a"],
            [(0, 1)],
            {"distributions": {"R": stats.norm()}},
            ValueError,
            "distributions name R; the parameters are a",
        ),
    ],
)
def test_arguments_that_are_refused(names, bounds, options, error, message):
    with pytest.raises(error, match=message):
        FunctionModel(lambda x: x * np.ones(3), names, bounds, **options)


@pytest.mark.parametrize(
    ("bounds", "middle"),
    [
        ((2.0, 4.0), 3.0),
        ((10.0, np.inf), 10.5),
        ((-np.inf, -10.0), -10.5),
        ((-np.inf, np.inf), 0.0),
    ],
)
def test_functions_are_tried_out_inside_the_bounds(bounds, middle):
    seen = []

    def f(theta):
        seen.append(theta[0])
        return theta[0] * np.ones(3)

    FunctionModel(f, ["a"], [bounds], vectorized=False)
    assert seen == [middle]


def test_something_that_is_no_function():
    with pytest.raises(TypeError, match="f is 3.0; give a function"):
        FunctionModel(3.0, ["a"], [(0, 1)])


def test_parameters_with_units():
    given = [Parameter("T2", (0.01, 1.0), domain=(1e-3, 5.0), unit="s")]
    model = FunctionModel(lambda x: np.exp(-0.02 / x) * np.ones(3), given)
    assert model.parameters == tuple(given) and model.parameter_names == ("T2",)
    with pytest.raises(ValueError, match="T2 = 80 s .*it looks like milliseconds"):
        model.signal([[80.0]])


def test_distributions_are_drawn_from():
    some = {"R2a": stats.uniform(5.0, 1.0)}
    own = {
        name: stats.uniform(low, 0.1) for name, low in zip(NAMES, (0.4, 2, 50), strict=True)
    }
    model = biexponential(distributions=own)
    _, y = make_fingerprints(model, 50, snr=100, distributions=some, random_state=0)
    assert 0.4 <= y[:, 0].min() < y[:, 0].max() <= 0.5
    assert 5.0 <= y[:, 1].min() < y[:, 1].max() <= 6.0
    with pytest.raises(ValueError, match="has no distribution for fraction, R2b; give"):
        make_fingerprints(biexponential(distributions=some), 5)


def scaled(theta, factor):
    return factor * functions.of_many(theta)


def test_names():
    partial = biexponential(functools.partial(scaled, factor=2.0))
    assert partial.name == "scaled"
    np.testing.assert_array_equal(partial.signal(draw(2)), scaled(draw(2), 2.0))
    assert biexponential(name="two decays").name == "two decays"


def test_a_model_without_derivatives_says_who_wants_them():
    model = biexponential(difference="none", name="biexp")
    assert not model.has_jacobian and model.signal(draw(2)).shape == (2, 12)
    lacks = "needs a Jacobian; FunctionModel 'biexp' has none and difference='none'. Give"
    for seen in (model, model.compress(np.eye(12)[:, :8])):
        with pytest.raises(MissingJacobianError, match="The Cramér-Rao bound " + lacks):
            cramer_rao_bound(seen, draw(2))
    with pytest.raises(MissingJacobianError, match=rf"signal\(.*jacobian=True\) {lacks}"):
        model.signal(draw(2), jacobian=True)


def test_differences_can_be_switched_off_in_any_model():
    class Decay(SignalModel):
        parameter_names = ("R2",)
        bounds = ((1.0, 100.0),)
        difference = "none"

        def signal(self, theta):
            return np.exp(-theta * np.linspace(0, 0.1, 4))

    with pytest.raises(MissingJacobianError, match="needs a Jacobian; Decay has none"):
        Decay().signal([[20.0]], jacobian=True)


@pytest.mark.parametrize(
    ("f", "options"),
    [
        (functions.of_many, {}),
        (functions.of_one, {"jacobian": functions.jacobian_of_one}),
        (functions.of_one, {"difference": "none"}),
        (functions.of_tensor, {"backend": "torch"}),
    ],
)
def test_options_matter_and_none_brings_no_jacobian_where_there_is_one(f, options):
    model = biexponential(f, **{"difference": "none", **options})
    own = model.jacobian is not None or model.backend == "torch"
    assert model.has_jacobian == own


def square(x):
    return x**2 * np.ones(3)


def results(model):
    return model.signal([[2.0]], jacobian=True)


@pytest.mark.parametrize("f", [numba.njit(square), lambda x: square(x)])
def test_models_travel_to_other_processes(f):
    model = FunctionModel(f, ["x"], [(0.0, 4.0)])
    model.signal([[1.0]])
    (there,) = Parallel(n_jobs=2)([delayed(results)(model)])
    for part, value in zip(there, results(model), strict=True):
        np.testing.assert_array_equal(part, value)


def test_copies_share_compiled_loops():
    from crbestim.models._backends import _loop

    model = biexponential(functions.compiled)
    model.signal(draw(2))
    before = _loop.cache_info().misses
    for twin in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        twin.signal(draw(2))
    assert _loop.cache_info().misses == before


def test_threads_do_not_matter():
    theta, before = draw(300), numba.get_num_threads()
    one = biexponential(functions.compiled).signal(theta, jacobian=True)
    numba.set_num_threads(min(2, numba.config.NUMBA_NUM_THREADS))
    two = biexponential(functions.compiled).signal(theta, jacobian=True)
    numba.set_num_threads(before)
    for part, other in zip(one, two, strict=True):
        np.testing.assert_array_equal(part, other)


def test_a_function_that_stacks_its_samples_takes_many():
    """For one sample it raises an error that has a number of dimensions itself."""

    def stacked(theta):
        return np.stack([np.exp(-t / theta[..., 0]) for t in (0.01, 0.02, 0.05)], axis=1)

    model = FunctionModel(stacked, ["T2"], [(0.01, 1.0)])
    assert model.vectorized and model.n_features == 3
    np.testing.assert_allclose(model.signal([[0.05]]), stacked(np.array([[0.05]])))


@pytest.mark.parametrize("n_samples", [2, 3])
def test_samples_along_the_first_axis_are_refused(n_samples):
    """Also if there are as many samples as rows of the first trial."""
    rates = np.arange(1, 1 + n_samples) / 100
    with pytest.raises(ValueError, match=r"it must return \(\d, \d\)"):
        FunctionModel(
            lambda theta: np.stack([np.exp(-theta[:, 0] * t) for t in rates]),
            ["R2"],
            [(1, 100)],
            vectorized=True,
        )


def test_doubtful_derivatives_are_told_in_one_warning():
    def noisy(theta):
        s = theta[0] * np.exp(-theta[1] * np.array([0.01, 0.03, 0.05]))
        return s + 1e-5 * np.sin(1e7 * theta.sum())

    model = FunctionModel(noisy, ["S0", "R2"], [(0.5, 2.0), (1.0, 100.0)])
    with pytest.warns(InexactJacobianWarning, match="respect to S0, R2 is unc") as record:
        model.signal([[1.0, 20.0], [1.5, 40.0]], jacobian=True)
    assert len(record) == 1


MAGNITUDES = {
    "real": (functions.recovery, {}),
    "complex": (functions.turning_recovery.py_func, {}),
    "with Jacobian": (functions.recovery, {"jacobian": functions.jacobian_of_recovery}),
    "numba": (numba.njit(functions.recovery), {}),
    "numba, complex": (functions.turning_recovery, {}),
    "numba, with Jacobian": (
        numba.njit(functions.recovery),
        {"jacobian": numba.njit(functions.jacobian_of_recovery)},
    ),
    "torch": (functions.recovery_of_tensor, {"backend": "torch"}),
}


@pytest.mark.parametrize(("f", "options"), MAGNITUDES.values(), ids=MAGNITUDES)
def test_magnitudes_of_functions_are_those_of_the_library(f, options):
    ours = InversionRecovery(functions.INVERSION_TIMES, signal="magnitude", noise="rician")
    ours = ours.fix(efficiency=1.0)
    model = magnitudes_of(f, **options)
    # The last one is zero at the third inversion time, where the derivative is zero.
    theta = np.array([[1.0, 0.9], [2.0, 3.0], [0.5, 0.5 / np.log(2)]])
    s, jacobian = model.signal(theta, jacobian=True)
    expected, derivatives = ours.signal(theta[:, ::-1], jacobian=True)
    np.testing.assert_allclose(s, expected, rtol=1e-13, atol=1e-14)
    np.testing.assert_allclose(jacobian, derivatives[..., ::-1], rtol=1e-9, atol=1e-9)
    assert model.jacobian_error(theta).max() < 1e-9
    form = model._compiled_form()
    assert (form is not None) == (model.backend == "numba")
    if form is not None:
        for found, wanted in zip(form.simulate(theta, True), (s, jacobian), strict=True):
            np.testing.assert_allclose(found, wanted, rtol=1e-9, atol=1e-9)
    bound = cramer_rao_bound(model, theta, noise_std=0.05)
    wanted = cramer_rao_bound(ours, theta[:, ::-1], noise_std=0.05)[:, ::-1]
    np.testing.assert_allclose(bound, wanted, rtol=1e-7)
    given, theirs = model.given("T1"), ours.given("T1")
    known = theta[:, 1:]
    np.testing.assert_allclose(
        cramer_rao_bound(given.at(known), theta[:, :1], noise_std=0.05),
        cramer_rao_bound(theirs.at(known), theta[:, :1], noise_std=0.05),
        rtol=1e-7,
    )


def test_magnitudes_are_in_the_text_and_in_copies():
    model = magnitudes_of()
    assert repr(model).endswith("amplitude='M0', signal='magnitude', noise='rician')")
    twin = pickle.loads(pickle.dumps(model))
    assert (twin.is_magnitude, twin.is_complex, twin.noise) == (True, False, "rician")
    theta = [[1.0, 0.9]]
    np.testing.assert_array_equal(model.signal(theta), np.abs([functions.recovery(*theta)]))
    for view in (model.fix(T1=0.9), model.given("T1")):
        assert view.is_magnitude and view.noise == "rician"
    for way in (lambda: model.compress(np.eye(5)[:, :3]), lambda: model.whiten(2.0)):
        with pytest.raises(ValueError, match="has Rician noise"):
            way()


def test_a_real_function_is_complex_if_the_signal_is():
    model = FunctionModel(
        functions.recovery, ["a", "b"], [(0.5, 1.0)] * 2, signal="complex"
    )
    assert model.is_complex and model.n_unknowns == 4
    assert "signal='complex'" in repr(model)


def test_noise_of_magnitudes_asks_for_them():
    with pytest.raises(ValueError, match="and the signal is real; give signal='magnitude'"):
        magnitudes_of(signal="auto")
    with pytest.raises(ValueError, match="signal='real' is unknown; choose .*'magnitude'"):
        magnitudes_of(signal="real")
    model = magnitudes_of(signal="auto", noise="gaussian")
    model.noise = "rician"
    message = "choose noise='gaussian', or make the model with signal='magnitude'"
    with pytest.raises(ValueError, match=message):
        cramer_rao_bound(model, [[1.0, 0.9]], noise_std=0.05)
