import warnings

import numpy as np
import pytest

from crbestim import bounds
from crbestim.bounds import (
    cramer_rao_bound,
    crb_from_jacobian,
    fisher_information,
    signal_and_bound,
    warn_infinite,
)
from crbestim.exceptions import SingularInformationWarning
from crbestim.models import MagnetizationTransfer, SignalModel
from crbestim.sequences import HybridStateSequence


def random_jacobian(n, m, p, seed=0, dtype=complex):
    rng = np.random.default_rng(seed)
    jacobian = rng.standard_normal((n, m, p)).astype(dtype)
    if dtype is complex:
        jacobian += 1j * rng.standard_normal((n, m, p))
    return jacobian


class Line(SignalModel):
    """A straight line, real: a textbook's bound."""

    parameter_names = ("offset", "slope")
    bounds = np.array([[-1.0, 1.0], [-1.0, 1.0]])
    x = np.array([0.0, 1.0, 2.0, 4.0])

    def signal(self, theta):
        return theta[:, :1] + theta[:, 1:] * self.x


class Decay(SignalModel):
    """A complex signal, of which M0 is not known."""

    parameter_names = ("R2", "omega")
    bounds = np.array([[1.0, 100.0], [-50.0, 50.0]])
    t = np.linspace(0.0, 0.1, 7)

    def signal(self, theta, jacobian=False):
        rate, omega = np.asarray(theta, dtype=float).T[:, :, None]
        s = np.exp((1j * omega - rate) * self.t)
        if not jacobian:
            return s
        return s, np.stack([-self.t * s, 1j * self.t * s], axis=-1)


@pytest.fixture(scope="module")
def sequence():
    """Return a short train that determines all parameters."""
    rng = np.random.default_rng(0)
    alpha = np.append(np.pi, np.repeat(rng.uniform(0.1, 1.2, 15), 4))
    trf = np.append(5e-4, np.repeat(rng.uniform(2e-4, 5e-4, 15), 4))
    return HybridStateSequence(alpha, trf, 3.5e-3)


@pytest.fixture(scope="module")
def mt(sequence):
    return MagnetizationTransfer(sequence)


@pytest.fixture
def tissue(mt):
    rng = np.random.default_rng(1)
    low, high = mt.bounds.T
    return low + (high - low) * rng.uniform(0.2, 0.8, (5, 7))


# Reference values


@pytest.fixture(scope="module")
def reference(shared_data):
    with np.load(shared_data / "reference" / "mt_reference.npz") as arrays:
        return dict(arrays)


@pytest.fixture(scope="module")
def in_vivo(shared_data):
    path = shared_data / "data" / "hybrid_state_sequence.npz"
    return MagnetizationTransfer(HybridStateSequence.from_file(path), joint_r1=False)


def test_bound_against_reference(in_vivo, reference):
    crb = cramer_rao_bound(in_vivo, reference["theta"])
    # Required: 1e-3. Measured: 5e-6 for omega0, whose derivatives are good to 1.6e-5 in
    # the reference, and 2e-6 for the others.
    np.testing.assert_allclose(crb, reference["crb"], rtol=1e-5)


def test_compressed_bound_against_reference(in_vivo, reference, shared_data):
    with np.load(shared_data / "data" / "invivo_slice.npz") as arrays:
        basis = arrays["basis"]
    crb = cramer_rao_bound(in_vivo.compress(basis), reference["theta"])
    np.testing.assert_allclose(crb, reference["crb_compressed"], rtol=1e-5)


def test_joint_rate_against_reference(in_vivo, reference):
    # The joint rate moves both rates at once: a linear map of the information.
    joint = MagnetizationTransfer(in_vivo.sequence)
    names, parts = list(reference["names"]), []
    for theta in reference["theta"]:
        values = dict(zip(names, theta, strict=True), R1=theta[1])
        parts.append([values[name] for name in joint.parameter_names])
    theta = reference["theta"].copy()
    theta[:, names.index("R1s")] = theta[:, names.index("R1f")]
    s, jacobian = in_vivo.signal(theta, jacobian=True)
    change = np.zeros((8, 7))
    for k, name in enumerate(joint.parameter_names):
        for part in ("R1f", "R1s") if name == "R1" else (name,):
            change[names.index(part), k] = 1
    expected = crb_from_jacobian(jacobian @ change, s)
    np.testing.assert_allclose(cramer_rao_bound(joint, parts), expected, rtol=1e-9)


# What the information is


@pytest.mark.parametrize("dtype", [float, complex])
def test_information_is_the_product_of_derivatives(dtype):
    jacobian = random_jacobian(3, 6, 4, dtype=dtype)
    information = fisher_information(jacobian, noise_std=[0.5, 1.0, 2.0])
    for i, sigma in enumerate((0.5, 1.0, 2.0)):
        expected = (jacobian[i].conj().T @ jacobian[i]).real / sigma**2
        np.testing.assert_allclose(information[i], expected, rtol=1e-13, atol=1e-13)
    np.testing.assert_array_equal(information, np.swapaxes(information, 1, 2))


@pytest.mark.parametrize("dtype", [float, complex])
def test_bound_is_the_inverse(dtype):
    jacobian = random_jacobian(3, 6, 4, dtype=dtype)
    expected = np.linalg.inv(fisher_information(jacobian, 0.3))
    expected = np.diagonal(expected, axis1=1, axis2=2)
    crb = crb_from_jacobian(jacobian, noise_std=0.3)
    np.testing.assert_allclose(crb, expected, rtol=1e-10)


def test_m0_takes_two_real_parameters():
    jacobian, s = random_jacobian(3, 9, 4), random_jacobian(3, 9, 1, seed=1)
    both = np.concatenate([jacobian, s, 1j * s], axis=2)
    expected = crb_from_jacobian(both)[:, :4]
    np.testing.assert_array_equal(crb_from_jacobian(jacobian, s[:, :, 0]), expected)
    # The same by projecting out the signal.
    weight = np.einsum("nmi,nmp->nip", s.conj(), jacobian)
    size = np.linalg.norm(s, axis=1, keepdims=True) ** 2
    np.testing.assert_allclose(
        crb_from_jacobian(jacobian - s * weight / size), expected, rtol=1e-10
    )


def test_real_signals_have_no_nuisance():
    crb = cramer_rao_bound(Line(), [[0.2, 0.5]], noise_std=0.1)
    # Ordinary least squares: sigma^2 / n (1 + mean(x)^2 / var(x)), sigma^2 / n / var(x).
    x = Line.x
    slope = 0.01 / 4 / x.var()
    expected = [[0.01 / 4 + x.mean() ** 2 * slope, slope]]
    # Its derivatives are differences over 2e-5, good to 1e-11.
    np.testing.assert_allclose(crb, expected, rtol=1e-9)


def test_complex_signals_have_m0_as_nuisance():
    theta = np.array([[20.0, 5.0]])
    s, jacobian = Decay().signal(theta, jacobian=True)
    crb = cramer_rao_bound(Decay(), theta, noise_std=0.1)
    np.testing.assert_array_equal(crb, crb_from_jacobian(jacobian, s, noise_std=0.1))
    known = crb_from_jacobian(jacobian, noise_std=0.1)
    # A rate changes the signal's size and a frequency its phase, as M0 does.
    assert (crb > 1.5 * known).all()


def test_an_estimator_attains_the_bound():
    # Least squares is efficient for a linear model: 20,000 draws give 1 % of a variance.
    rng = np.random.default_rng(2)
    theta, sigma = np.array([0.2, 0.5]), 0.1
    design = np.stack([np.ones(4), Line.x], axis=1)
    noise = sigma * rng.standard_normal((20_000, 4))
    estimates = (Line().signal(theta[None]) + noise) @ np.linalg.pinv(design).T
    crb = cramer_rao_bound(Line(), theta, noise_std=sigma)[0]
    np.testing.assert_allclose(estimates.var(axis=0), crb, rtol=0.05)


# Scaling laws


def test_noise_and_m0_scale_the_bound(mt, tissue):
    crb = cramer_rao_bound(mt, tissue, noise_std=0.01)
    for options, factor in (
        (dict(noise_std=0.02), 4.0),
        (dict(noise_std=0.01, m0=2.0), 0.25),
        (dict(noise_std=0.01, m0=2j), 0.25),
        (dict(noise_std=0.01, m0=-1), 1.0),
        (dict(noise_std=0.02, m0=2 * np.exp(1j)), 1.0),
    ):
        np.testing.assert_allclose(
            cramer_rao_bound(mt, tissue, **options), factor * crb, rtol=1e-14
        )


def test_noise_and_m0_may_differ_between_samples(mt, tissue):
    sigma, m0 = np.array([0.01, 0.02, 0.05, 0.1, 1.0]), np.array([1, 2j, -3, 1 + 1j, 0.5])
    together = cramer_rao_bound(mt, tissue, noise_std=sigma, m0=m0)
    for i in range(5):
        alone = cramer_rao_bound(mt, tissue[i], noise_std=sigma[i], m0=m0[i])
        np.testing.assert_allclose(together[i], alone[0], rtol=1e-14)


def test_a_further_nuisance_parameter_never_lowers_the_bound():
    rng = np.random.default_rng(3)
    for seed in range(50):
        p = int(rng.integers(1, 6))
        jacobian = random_jacobian(20, 12, p + 1, seed)
        # Nearly parallel columns, too.
        jacobian[:, :, -1] += rng.choice([0, 10, 1000]) * jacobian[:, :, 0]
        fewer = crb_from_jacobian(jacobian[:, :, :-1])
        more = crb_from_jacobian(jacobian)[:, :-1]
        assert (more >= fewer * (1 - 1e-8)).all()


def test_m0_and_compression_never_lower_the_bound(mt, tissue):
    s, jacobian = mt.signal(tissue, jacobian=True)
    crb = cramer_rao_bound(mt, tissue)
    assert (crb >= crb_from_jacobian(jacobian) * (1 - 1e-10)).all()
    basis = np.linalg.qr(np.random.default_rng(4).standard_normal((61, 20)))[0]
    assert (cramer_rao_bound(mt.compress(basis), tissue) >= crb * (1 - 1e-10)).all()
    complete = np.linalg.qr(np.random.default_rng(5).standard_normal((61, 61)))[0]
    np.testing.assert_allclose(
        cramer_rao_bound(mt.compress(complete), tissue), crb, rtol=1e-8
    )


def test_units_scale_the_bound_and_nothing_else():
    # Columns of the real model differ by 1e7.
    jacobian, units = random_jacobian(4, 9, 3), np.array([1e-9, 1.0, 1e9])
    np.testing.assert_allclose(
        crb_from_jacobian(jacobian * units), crb_from_jacobian(jacobian) / units**2,
        rtol=1e-12,
    )  # fmt: skip


# Singular information


def test_columns_that_vanish_are_open_and_the_others_are_not():
    jacobian = random_jacobian(3, 8, 4)
    jacobian[1, :, 2] = 0
    crb = crb_from_jacobian(jacobian)
    assert np.isinf(crb).nonzero()[0].tolist() == [1]
    assert np.isinf(crb[1, 2])
    expected = crb_from_jacobian(np.delete(jacobian, 2, axis=2))
    np.testing.assert_allclose(crb[1, [0, 1, 3]], expected[1], rtol=1e-12)


def test_parallel_columns_are_open_together():
    jacobian = random_jacobian(1, 8, 4)
    jacobian[..., 3] = 1e6 * jacobian[..., 1]
    crb = crb_from_jacobian(jacobian)
    assert np.isinf(crb[0]).tolist() == [False, True, False, True]
    expected = crb_from_jacobian(jacobian[..., :3])
    np.testing.assert_allclose(crb[0, [0, 2]], expected[0, [0, 2]], rtol=1e-9)


@pytest.mark.parametrize("angle", [1e-3, 1e-4, 1e-5])
def test_nearly_parallel_columns_have_a_large_bound(angle):
    jacobian = random_jacobian(1, 2000, 2)
    jacobian[..., 1] = jacobian[..., 0] + angle * jacobian[..., 1]
    crb, alone = crb_from_jacobian(jacobian), crb_from_jacobian(jacobian[..., :1])
    # 1 / sin(angle)**2 for columns of equal length; these differ by a few percent.
    assert crb[0, 0] / alone[0, 0] == pytest.approx(1 / angle**2, rel=0.1)


def test_columns_that_differ_by_rounding_are_open():
    jacobian = random_jacobian(1, 2000, 2)
    jacobian[..., 1] = jacobian[..., 0] * (1 + 1e-15 * jacobian[..., 1])
    assert np.isinf(crb_from_jacobian(jacobian)).all()


def test_a_derivative_like_the_signal_itself_is_open():
    s = random_jacobian(2, 8, 1)
    jacobian = np.concatenate([random_jacobian(2, 8, 1, seed=1), 3j * s], axis=2)
    crb = crb_from_jacobian(jacobian, s[:, :, 0])
    assert np.isinf(crb).tolist() == [[False, True]] * 2
    assert np.isfinite(crb_from_jacobian(jacobian)).all()


def test_fewer_samples_than_parameters():
    assert np.isinf(crb_from_jacobian(random_jacobian(2, 1, 3))).all()
    assert np.isinf(crb_from_jacobian(np.zeros((2, 5, 3)))).all()


@pytest.mark.parametrize("joint_r1", [True, False])
@pytest.mark.parametrize("n_repeats", [1, 5])
def test_without_semi_solid_pool_only_its_own_parameters_are_open(
    sequence, joint_r1, n_repeats
):
    # More repeats, with drifting flip angles, have their maps interpolated.
    alpha = np.tile(sequence.alpha, n_repeats) * np.linspace(1, 0.8, 61 * n_repeats)
    longer = HybridStateSequence(alpha, np.tile(sequence.trf, n_repeats), 3.5e-3)
    model = MagnetizationTransfer(longer, joint_r1=joint_r1)
    theta = model.bounds.mean(axis=1)
    theta[0] = 0.0
    open_ = {"Rx", "T2s"} if joint_r1 else {"Rx", "R1s", "T2s"}
    names = ".*".join(f"{name} .1 of 2" for name in model.parameter_names if name in open_)
    filled = theta.copy()
    filled[0] = 0.1
    with pytest.warns(SingularInformationWarning, match=names) as record:
        crb = cramer_rao_bound(model, [theta, filled])
    assert record[0].filename == __file__
    assert {
        name for name, c in zip(model.parameter_names, crb[0], strict=True) if np.isinf(c)
    } == open_
    assert np.isfinite(crb[1]).all()
    # The bound of the others is that of the model without these parameters.
    s, jacobian = model.signal(theta, jacobian=True)
    kept = np.isfinite(crb[0])
    expected = crb_from_jacobian(jacobian[:, :, kept], s)
    np.testing.assert_allclose(crb[0, kept], expected[0], rtol=1e-9)


def test_a_train_without_pulses_determines_nothing():
    model = MagnetizationTransfer(HybridStateSequence(np.zeros(9), [3e-4] * 9, 3.5e-3))
    message = ", ".join(rf"{name} \(1 of 1 samples\)" for name in model.parameter_names)
    with pytest.warns(SingularInformationWarning, match=message):
        crb = cramer_rao_bound(model, model.bounds.mean(axis=1))
    assert np.isinf(crb).all()


def test_warning_counts_samples_and_names_parameters():
    crb = np.array([[1.0, np.inf, 1.0], [1.0, np.inf, np.inf]])
    message = r"does not determine b \(2 of 2 samples\), c \(1 of 2 samples\): the bound"
    with pytest.warns(SingularInformationWarning, match=message):
        warn_infinite(crb, ("a", "b", "c"))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warn_infinite(np.ones((2, 3)), ("a", "b", "c"))
        warn_infinite(np.ones((0, 3)), ("a", "b", "c"))
        assert np.isinf(crb_from_jacobian(np.zeros((1, 2, 1)))).all()


# The rest of the interface


def test_blocks_do_not_matter(monkeypatch, mt, tissue):
    whole = cramer_rao_bound(mt, tissue, noise_std=np.arange(1.0, 6.0))
    monkeypatch.setattr(bounds, "_BLOCK", 2)
    blocks = cramer_rao_bound(mt, tissue, noise_std=np.arange(1.0, 6.0))
    np.testing.assert_allclose(blocks, whole, rtol=1e-10)


def test_signal_comes_with_the_bound(mt, tissue):
    s, crb = signal_and_bound(mt, tissue, 0.1, m0=2.0)
    np.testing.assert_array_equal(s, mt.signal(tissue))
    np.testing.assert_array_equal(crb, cramer_rao_bound(mt, tissue, 0.1, m0=2.0))


def test_no_samples():
    assert cramer_rao_bound(Decay(), np.empty((0, 2))).shape == (0, 2)
    assert crb_from_jacobian(np.empty((0, 5, 2))).shape == (0, 2)


@pytest.mark.parametrize("value", [0.0, -1.0, np.nan, np.inf, [0.1, 0.0], [0.1, np.nan]])
@pytest.mark.parametrize("name", ["noise_std", "m0"])
def test_values_that_are_not_positive(name, value):
    if name == "m0" and value == -1.0:
        value = 0j  # a negative M0 has a phase
    theta = [[20.0, 0.0], [30.0, 0.0]]
    message = rf"{name}.* = .*; it must be positive and finite"
    jacobian = random_jacobian(2, 5, 2)
    with pytest.raises(ValueError, match=message):
        cramer_rao_bound(Decay(), theta, **{name: value})
    with pytest.raises(ValueError, match=message):
        crb_from_jacobian(jacobian, **{name: value})
    if name == "noise_std":
        with pytest.raises(ValueError, match=message):
            fisher_information(jacobian, value)


@pytest.mark.parametrize("value", [[1.0, 2.0, 3.0], np.ones((2, 1))])
@pytest.mark.parametrize("name", ["noise_std", "m0"])
def test_values_of_another_shape(name, value):
    theta = [[20.0, 0.0], [30.0, 0.0]]
    message = rf"{name}.* has shape .*; give a number or one per sample, \(2,\)"
    with pytest.raises(ValueError, match=message):
        cramer_rao_bound(Decay(), theta, **{name: value})


def test_theta_is_checked(mt):
    with pytest.raises(ValueError, match="m0s = -0.1 in row 0 of theta"):
        cramer_rao_bound(mt, [[-0.1, 0.7, 13, 30, 1e-5, 0, 1]])
    with pytest.raises(ValueError, match=r"theta has shape \(1, 2\)"):
        cramer_rao_bound(mt, [[0.1, 0.7]])
