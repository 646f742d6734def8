"""Views of models: compressed, whitened, and with parameters given."""

import pickle

import numpy as np
import pytest

from crbestim.bounds import cramer_rao_bound
from crbestim.datasets import make_fingerprints
from crbestim.exceptions import ImplausibleValueWarning
from crbestim.models import CompressedModel, FunctionModel, MonoExponential, SignalModel
from tests.models.conftest import (
    MODELS,
    TE,
    Biexponential,
    Recovery,
    draw,
    mt,
    orthonormal,
    smooth,
)

# The text


def test_the_text_shows_the_steps():
    model = mt(24, joint_r1=False).fix(R1s=3.0).given("B1").at(np.ones(10))
    model = model.whiten(np.ones(24)).compress(orthonormal(24, 13))
    steps = (
        ".fix(R1s=3.0).given('B1').at(<10 samples>)"
        ".whiten(<covariance of 24 features>).compress(<basis of 13 components>)"
    )
    whole = mt(24, joint_r1=False)
    assert str(model) == str(whole) + steps and "alpha=<24 values>" in str(model)


def test_the_text_of_a_view_can_be_pasted_back():
    model = MonoExponential([0.01, 0.02, 0.05], offset=True, signal="magnitude")
    whole = model.fix(offset=0.1).given("M0").at([[1.0], [2 / 3]])
    for view in (
        whole,
        whole.whiten(2.0).compress(orthonormal(3, 2).real),
        whole.whiten(np.diag([1.0, 2.0, 1 / 3])),
        MonoExponential([0.01, 0.02, 0.05]).compress(orthonormal(3, 2)),
    ):
        twin, theta = eval(repr(view), {"MonoExponential": MonoExponential}), [[0.05]] * 2
        np.testing.assert_array_equal(twin.signal(theta), view.signal(theta))


def test_the_text_of_given_parameters_can_be_pasted_back():
    model = MonoExponential([0.01, 0.02], offset=True, signal="magnitude")
    model = model.fix(offset=1 / 3).given("M0")
    assert repr(eval(repr(model))) == repr(model)
    assert eval(repr(model)).constants == {"offset": 1 / 3}


def test_errors_show_the_short_text():
    model = MonoExponential(TE, offset=True)
    with pytest.raises(ValueError, match=r"those of MonoExponential\(te=<12 values>, off"):
        model.fix(T1=1.0)
    with pytest.raises(ValueError, match="all parameters of Mono.*<12 values>.* are given"):
        model.given("T2", "offset")
    with pytest.raises(ValueError, match="known has values, but Mono.*<12 values>"):
        model.at([1.0])
    with pytest.raises(ValueError, match=r"<12 values>.*\.given\('T2'\) needs the values"):
        model.given("T2").signal([[0.1]])
    with pytest.raises(ValueError, match="the signal of Mono.*<12 values>.* is real"):
        MonoExponential(TE, signal="magnitude").whiten(np.eye(12) + 0j)
    rician = MonoExponential(TE, signal="magnitude", noise="rician")
    for change in (lambda: rician.whiten(1.0), lambda: rician.compress(np.eye(12))):
        with pytest.raises(ValueError, match="te=<12 values>.* has Rician noise"):
            change()


# Compressed


def test_compress_makes_a_compressed_model():
    model, basis = mt(24), orthonormal(24, 5)
    small = model.compress(basis)
    assert isinstance(small, CompressedModel)
    assert small.model is model
    np.testing.assert_array_equal(small.basis, basis)
    assert small.n_features == 5
    assert small.parameters == model.parameters
    np.testing.assert_array_equal(small.periods, model.periods)
    assert str(small) == f"{model}.compress(<basis of 5 components>)"
    assert repr(mt(24).compress(np.eye(24)[:, :2])).endswith("0.0], [0.0, 0.0]])")
    assert repr(mt(1002).compress(np.eye(1002)[:, :1])).endswith(
        "(<basis of 1 components>)"
    )


def test_the_basis_is_a_copy_and_read_only():
    basis = orthonormal(24, 5)
    small = mt(24).compress(basis)
    kept = basis.copy()
    basis[:] = 0
    np.testing.assert_array_equal(small.basis, kept)
    with pytest.raises(ValueError, match="read-only"):
        small.basis[0, 0] = 1


@pytest.mark.parametrize(
    "form",
    [
        lambda basis: basis.tolist(),
        np.asfortranarray,
        lambda basis: basis[::-1][::-1],
        lambda basis: basis.astype(np.complex128),
    ],
    ids=["list", "Fortran", "strided", "complex"],
)
@pytest.mark.parametrize("make", [lambda: mt(24), Biexponential])
def test_any_kind_of_basis(form, make):
    model = make()
    basis, theta = orthonormal(model.n_features, 5), draw(model, 4)
    expected = model.compress(basis).signal(theta, jacobian=True)
    parts = model.compress(form(basis)).signal(theta, jacobian=True)
    for part, value in zip(parts, expected, strict=True):
        np.testing.assert_allclose(part, value, rtol=0, atol=1e-14 * np.abs(value).max())


def test_single_precision_is_orthonormal_enough():
    model, basis = mt(24), orthonormal(24, 5)
    theta = draw(model, 4)
    single = model.compress(basis.astype(np.float32))
    s = single.signal(theta)
    assert s.dtype == np.complex128
    np.testing.assert_allclose(s, model.compress(basis).signal(theta), rtol=0, atol=1e-6)


def test_unit_vectors_choose_samples():
    model = mt(24)
    theta = draw(model, 4)
    s, jacobian = model.compress(np.eye(24, dtype=int)[:, 3:7]).signal(theta, jacobian=True)
    expected = model.signal(theta, jacobian=True)
    np.testing.assert_array_equal(s, expected[0][:, 3:7])
    np.testing.assert_array_equal(jacobian, expected[1][:, 3:7])


def test_components_do_not_depend_on_each_other():
    model, basis = mt(24), orthonormal(24, 6)
    theta = draw(model, 4)
    whole = model.compress(basis).signal(theta)
    np.testing.assert_array_equal(
        model.compress(basis[:, 2:4]).signal(theta), whole[:, 2:4]
    )


@pytest.mark.parametrize("dtype", [float, complex])
def test_projecting_on_the_way_is_projecting_at_the_end(dtype):
    model, basis = mt(24), orthonormal(24, 6, dtype=dtype)
    theta = draw(model, 300)
    expected = SignalModel.project(model, theta, basis, jacobian=True)
    for part, value in zip(
        model.project(theta, basis, jacobian=True), expected, strict=True
    ):
        scale = np.abs(value).reshape(-1, *value.shape[2:]).max(axis=0)
        assert (np.abs(part - value) <= 1e-13 * scale).all()
    np.testing.assert_allclose(model.project(theta, basis), expected[0], atol=1e-13)


@pytest.mark.parametrize("make", [lambda: mt(24), Biexponential, Recovery])
@pytest.mark.parametrize("dtypes", [(float, float), (complex, float), (float, complex)])
def test_compressing_twice(make, dtypes):
    model = make()
    first = orthonormal(model.n_features, 4, seed=1, dtype=dtypes[0])
    second = orthonormal(4, 2, seed=2, dtype=dtypes[1])
    theta = draw(model, 4)
    twice = model.compress(first).compress(second)
    expected = model.compress(first @ second)
    assert (twice.n_features, twice.is_complex) == (2, expected.is_complex)
    values = expected.signal(theta, jacobian=True)
    for part, value in zip(twice.signal(theta, jacobian=True), values, strict=True):
        np.testing.assert_allclose(part, value, rtol=0, atol=1e-13 * np.abs(value).max())


@pytest.mark.parametrize(
    ("basis", "message"),
    [
        (np.eye(23), r"basis has shape \(23, 23\); give \(24, n_components\), a row for"),
        (np.eye(24)[0], r"basis has shape \(24,\); give \(24, n_components\)"),
        (np.eye(24)[None], r"basis has shape \(1, 24, 24\); give"),
        (1.001 * np.eye(24), r"not orthonormal.* up to 2.0e-03; .*numpy.linalg.qr"),
        (np.ones((24, 2)) / np.sqrt(24), "not orthonormal.* up to 1.0e"),
        (np.zeros((24, 2)), "not orthonormal.* up to 1.0e"),
        (np.full((24, 2), np.nan), "not finite numbers"),
        (np.full((24, 2), "x"), "basis holds values of type <U1; give numbers"),
    ],
)
def test_bases_that_do_not_fit(basis, message):
    with pytest.raises(ValueError, match=message):
        mt(24).compress(basis)


def test_the_conjugate_transpose_of_a_complex_basis_is_what_counts():
    # Its columns are orthonormal by U^H U, not by U^T U.
    basis = orthonormal(24, 5, dtype=complex)
    assert np.abs(basis.T @ basis - np.eye(5)).max() > 0.1
    assert mt(24).compress(basis).n_features == 5


def test_theta_is_checked():
    small = mt(24).compress(orthonormal(24, 5))
    with pytest.raises(ValueError, match="m0s = -1 in row 0 of theta"):
        small.signal([[-1, 0.7, 13, 30, 1e-5, 0, 1]])


def test_a_pickle_holds_the_basis_once():
    basis = orthonormal(24, 24)
    small, model = mt(24).compress(basis), mt(24)
    small.signal(draw(small, 2))
    spare = len(pickle.dumps(small)) - len(pickle.dumps(model)) - basis.nbytes
    assert spare < 1000


# Given


def drop(values, model, *names):
    """Return values a parameter without the columns of some of them."""
    return np.delete(values, [model.parameter_names.index(n) for n in names], axis=-1)


def column(theta, model, *names):
    return theta[:, [model.parameter_names.index(n) for n in names]]


@pytest.mark.parametrize("name", ["MT", "MT, real basis", "MT, complex basis"])
def test_signals_are_those_of_the_whole_model(name):
    whole = MODELS[name]()
    theta = draw(whole, 5)
    given = whole.given("omega0", "T2s").at(column(theta, whole, "omega0", "T2s"))
    assert given.parameter_names == ("m0s", "R1", "R2f", "Rx", "B1")
    assert given.known_names == ("omega0", "T2s")
    s, jacobian = whole.signal(theta, jacobian=True)
    s_given, jacobian_given = given.signal(drop(theta, whole, "omega0", "T2s"), True)
    np.testing.assert_array_equal(s_given, s)
    np.testing.assert_array_equal(jacobian_given, drop(jacobian, whole, "omega0", "T2s"))


def test_bound_is_the_inverse_of_the_information_without_what_is_known():
    model = smooth()
    theta = model.bounds.mean(axis=1) + np.zeros((4, 1))
    theta[:, -2:] = np.column_stack([[-300, -100, 100, 200], [0.7, 0.9, 1.1, 1.2]])
    s, jacobian = model.signal(theta, jacobian=True)
    expected = []
    for signal, derivatives in zip(s, jacobian[:, :, :-1], strict=True):
        columns = np.column_stack([derivatives, signal, 1j * signal])
        scale = np.linalg.norm(columns, axis=0)
        information = ((columns / scale).conj().T @ (columns / scale)).real
        expected.append((np.diag(np.linalg.inv(information)) / scale**2)[:6] * 0.01**2)
    known = model.given("B1").at(theta[:, -1])
    crb = cramer_rao_bound(known, theta[:, :-1], noise_std=0.01)
    np.testing.assert_allclose(crb, expected, rtol=1e-5)
    assert (crb < cramer_rao_bound(model, theta, noise_std=0.01)[:, :-1]).all()


def test_order_of_views_does_not_matter():
    whole, basis = mt(24, joint_r1=False), orthonormal(24, 10)
    models = [
        whole.fix(R1s=3.0).given("B1").compress(basis),
        whole.compress(basis).fix(R1s=3.0).given("B1"),
        whole.given("B1").compress(basis).fix(R1s=3.0),
    ]
    theta = draw(models[0], 4)
    known = np.array([0.7, 0.8, 0.9, 1.0])
    expected = models[0].at(known).signal(theta)
    for model in models:
        assert model.whole.parameter_names == whole.fix(R1s=3.0).parameter_names
        assert model.parameter_names == ("m0s", "R1f", "R2f", "Rx", "T2s", "omega0")
        np.testing.assert_array_equal(model.at(known).signal(theta), expected)
        for part in (slice(1, 3), [2, 0], known > 0.75):
            np.testing.assert_allclose(
                model.at(known).rows(part).signal(theta[part]), expected[part], rtol=1e-12
            )


def test_a_constant_is_its_value_in_every_sample():
    whole = mt(joint_r1=False)
    fixed = whole.fix(R1s=3.0, B1=0.9)
    theta = draw(fixed, 3)
    full = np.insert(np.insert(theta, 4, 3.0, axis=1), 7, 0.9, axis=1)
    np.testing.assert_array_equal(fixed.signal(theta), whole.signal(full))
    assert fixed.known_names == () and fixed.whole.parameter_names == fixed.parameter_names


def test_fingerprints_are_those_of_the_whole_model():
    whole = mt(24).compress(orthonormal(24, 10))
    X, y, crb = make_fingerprints(whole, 30, return_crb=True, random_state=0)
    model = whole.given("B1", "omega0")
    X_given, y_given, crb_given, known = make_fingerprints(
        model, 30, return_crb=True, random_state=0
    )
    np.testing.assert_array_equal(X_given, X)
    np.testing.assert_array_equal(y_given, y[:, :-2])
    np.testing.assert_array_equal(known, y[:, [6, 5]])
    # To know more never makes a bound worse.
    finite = np.isfinite(crb[:, :-2])
    assert (crb_given[finite] <= crb[:, :-2][finite] * (1 + 1e-6)).all()
    assert len(make_fingerprints(whole.fix(B1=1.0), 3, random_state=0)) == 2


def test_pickles_of_a_model_at_known_values():
    model = mt().given("B1").at([0.9, 1.1])
    theta = draw(model, 2)
    twin = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(twin.signal(theta), model.signal(theta))
    assert str(model).endswith(".given('B1').at(<2 samples>)")
    assert repr(mt(joint_r1=False).fix(R1s=3.0)).endswith(".fix(R1s=3.0)")


def test_what_cannot_be_given():
    model = mt()
    with pytest.raises(ValueError, match="'B0' is not a parameter; those of Magnetization"):
        model.given("B0")
    with pytest.raises(ValueError, match="MonoExponential has it with offset=True"):
        MonoExponential([0.01, 0.02, 0.04]).given("offset")
    with pytest.raises(ValueError, match="'R1s' is not a parameter"):
        model.fix(R1s=3.0)
    with pytest.raises(ValueError, match="B1 is given twice"):
        model.fix(B1=1.0).given("B1")
    with pytest.raises(ValueError, match="B1 is given twice"):
        model.given("B1").fix(B1=1.0)
    with pytest.raises(ValueError, match="B1 = 99 in row 0 of the constants is outside"):
        model.fix(B1=99.0)
    with pytest.raises(ValueError, match="all parameters of .* are given"):
        model.given(*model.parameter_names)


@pytest.mark.parametrize("value", ["x", None, np.ones(3), 1 + 0j])
def test_constants_that_are_no_numbers(value):
    with pytest.raises(ValueError, match="B1 = .*; give one real number, the same in all"):
        mt().fix(B1=value)


def test_differences_are_those_of_what_is_left():
    calls = []

    def decay(theta):
        calls.append(theta)
        amplitude, rate, kink = theta
        return amplitude * np.exp(-rate * np.linspace(0, 0.1, 6)) + abs(kink - 0.5)

    bounds = [(0.5, 2.0), (1.0, 100.0), (0.0, 1.0)]
    # That by the kink would bring a warning, were it taken.
    fixed = FunctionModel(decay, ["S0", "R2", "kink"], bounds).fix(R2=20.0, kink=0.5)
    calls.clear()
    s, jacobian = fixed.signal([[1.0]], jacobian=True)
    assert len(calls) == 5
    # Linear in S0: rounding over the step.
    np.testing.assert_allclose(jacobian[:, :, 0], s, rtol=1e-10)
    calls.clear()
    fixed.compress(np.eye(6)[:, :4]).signal([[1.0]], jacobian=True)
    assert len(calls) == 5


def test_differences_at_known_values_in_any_number_of_rows():
    times = np.linspace(0, 0.1, 6)

    def decay(theta):
        return theta[:, :1] * np.exp(-theta[:, 1:] * times)

    whole = FunctionModel(decay, ["S0", "R2"], [(0.5, 2.0), (1.0, 100.0)])
    theta = draw(whole, 600)
    basis = np.linalg.qr(np.vander(times, 3))[0]
    for seen in (whole, whole.compress(basis)):
        known = seen.given("S0").at(theta[:, 0])
        s, jacobian = known.signal(theta[:, 1:], jacobian=True)
        s_whole, jacobian_whole = seen.signal(theta, jacobian=True)
        np.testing.assert_array_equal(s, s_whole)
        # Products with a basis round by the number of their columns.
        atol = 1e-14 * np.abs(jacobian_whole).max()
        np.testing.assert_allclose(jacobian, jacobian_whole[:, :, 1:], rtol=0, atol=atol)
        with pytest.raises(ValueError, match="theta has 256 rows, but known values .* 600"):
            known.signal(theta[:256, 1:], jacobian=True)
        assert known.rows(slice(0)).signal(theta[:0, 1:], True)[1].shape[0] == 0


def test_known_values_that_do_not_fit():
    model = mt()
    theta = draw(model.given("B1"), 2)
    with pytest.raises(ValueError, match="needs the values of B1 in each sample"):
        model.given("B1").signal(theta)
    with pytest.raises(ValueError, match="not given any parameter; name those"):
        model.at([1.0])
    with pytest.raises(ValueError, match="theta has 2 rows, but known values .* for 3"):
        model.given("B1").at(np.ones(3)).signal(theta)
    with pytest.raises(ValueError, match=r"shape \(2, 2\); give \(n_samples, 1\), a col"):
        model.given("B1").at(np.ones((2, 2)))
    with pytest.raises(ValueError, match=r"shape \(2,\); give \(n_samples, 2\).* omega0"):
        model.given("B1", "omega0").at(np.ones(2))
    with pytest.raises(ValueError, match="known is complex"):
        model.given("B1").at([1j])
    with pytest.raises(ValueError, match="B1 = nan in row 1 of known is outside"):
        model.given("B1").at([1.0, np.nan])
    with pytest.warns(ImplausibleValueWarning, match="B1 = 0.1 in row 0 of known"):
        model.given("B1").at([0.1])
