"""The digital brain: values of each tissue, anatomy, order of voxels, errors."""

import numpy as np
import pytest

from crbestim.datasets.anatomy import TISSUES, axial_slice
from crbestim.datasets.phantom import make_brain_phantom
from crbestim.models import MagnetizationTransfer, SignalModel
from crbestim.sequences import HybridStateSequence

SEQUENCE = HybridStateSequence([3.14, 0.5, 0.7, 0.5], [5e-4] * 4, 3.5e-3)
JOINT = MagnetizationTransfer(SEQUENCE, joint_r1=True)
SEPARATE = MagnetizationTransfer(SEQUENCE, joint_r1=False)


@pytest.fixture(scope="module")
def phantom():
    return make_brain_phantom(JOINT, random_state=0)


def column(phantom, name):
    return phantom.theta[:, phantom.parameter_names.index(name)]


@pytest.mark.parametrize("model", [JOINT, SEPARATE, JOINT.compress(np.eye(4)[:, :2])])
def test_values_lie_inside_the_bounds_and_can_be_simulated(model):
    phantom = make_brain_phantom(model, (32, 40), random_state=1)
    assert phantom.parameter_names == model.parameter_names
    assert phantom.theta.shape == (phantom.mask.sum(), model.n_parameters)
    low, high = model.bounds.T
    assert (phantom.theta >= low).all() and (phantom.theta <= high).all()
    assert np.isfinite(model.signal(phantom.theta[::50])).all()


# What PHYSICS and the literature give for 3 T; times in s.
@pytest.mark.parametrize(
    ("tissue", "m0s", "t1", "t2f", "rx"),
    [
        ("white matter", (0.12, 0.18), (1.29, 1.6), (0.06, 0.075), (15, 30)),
        ("cortex", (0.06, 0.09), (1.78, 2.01), (0.08, 0.095), (15, 30)),
        ("cerebrospinal fluid", (0, 0.005), (3.5, 4.5), (1, 2), (15, 30)),
    ],
)
def test_tissues_have_realistic_values(phantom, tissue, m0s, t1, t2f, rx):
    voxels = phantom.select(tissue)
    found = {
        "m0s": (column(phantom, "m0s"), m0s),
        "T1": (1 / column(phantom, "R1"), t1),
        "T2f": (1 / column(phantom, "R2f"), t2f),
        "Rx": (column(phantom, "Rx"), rx),
        "T2s": (column(phantom, "T2s"), (10e-6, 14e-6)),
    }
    for name, (values, (low, high)) in found.items():
        values = values[voxels]
        assert low <= values.min() and values.max() <= high, name
        # They vary over a good part of the range.
        assert np.ptp(values) > 0.2 * (high - low), name


def test_variation_within_a_tissue_is_smooth(phantom):
    m0s = phantom.to_map(np.where(phantom.select("white matter"), phantom.theta[:, 0], 0))
    m0s[m0s == 0] = np.nan
    steps = np.abs(np.diff(m0s, axis=1))
    assert np.nanmax(steps) < 0.2 * (np.nanmax(m0s) - np.nanmin(m0s))


def test_fields_are_smooth_and_off_resonance_is_strongest_at_the_front(phantom):
    b1, omega0 = column(phantom, "B1"), phantom.to_map(column(phantom, "omega0"))
    assert 0.75 <= b1.min() < 0.85 and 1.15 < b1.max() <= 1.2
    row, col = np.unravel_index(np.nanargmax(np.abs(omega0)), omega0.shape)
    assert row < 16 and abs(col - 63.5) < 12
    for field in (
        omega0,
        phantom.to_map(b1),
        phantom.to_map(np.unwrap(phase(phantom))),
    ):
        for axis in (0, 1):
            assert np.nanmax(np.abs(np.diff(field, axis=axis))) < 0.1 * np.ptp(
                field[phantom.mask]
            )


def phase(phantom):
    return np.angle(phantom.m0)


def test_proton_density_is_complex_and_greatest_in_fluid(phantom):
    assert phantom.m0.dtype.kind == "c" and phantom.m0.shape == (len(phantom.theta),)
    density = [
        np.abs(phantom.m0[phantom.select(name)]).mean()
        for name in ("white matter", "cortex", "cerebrospinal fluid")
    ]
    assert density == sorted(density) and 0.6 < density[0] and density[2] <= 1


def test_every_tissue_is_there_in_likely_shares(phantom):
    counts = np.bincount(phantom.tissue[phantom.mask], minlength=len(TISSUES))
    assert counts[0] == 0 and (counts[1:] >= 20).all()
    share = dict(zip(TISSUES, counts / counts.sum(), strict=True))
    assert 0.3 < share["white matter"] < 0.5
    assert 0.25 < share["cortex"] < 0.45
    assert 0.1 < share["cerebrospinal fluid"] < 0.25


def test_cortex_lies_between_fluid_and_white_matter():
    x, y = np.meshgrid(np.linspace(-1, 1, 400), np.linspace(1.05, -1.05, 420))
    labels = axial_slice(x, y)
    white, outside = TISSUES.index("white matter"), TISSUES.index("background")
    touching = (labels == white)[:, 1:] & (labels == outside)[:, :-1]
    assert not touching.any()
    # The ventricles alone touch white matter, and they lie in the middle.
    fluid = TISSUES.index("cerebrospinal fluid")
    wet = (labels == fluid)[:, 1:] & (labels == white)[:, :-1]
    assert wet.any() and np.hypot(x[:, 1:][wet] / 0.45, y[:, 1:][wet] / 0.75).max() < 1


def test_the_brain_fits_into_the_image_and_is_not_symmetric():
    for shape in [(128, 128), (60, 200), (200, 60), (40, 40)]:
        mask = make_brain_phantom(JOINT, shape, random_state=0).mask
        assert mask.shape == shape
        assert not (mask[0] | mask[-1]).any() and not (mask[:, 0] | mask[:, -1]).any()
    labels = make_brain_phantom(JOINT, random_state=0).tissue
    assert (labels != labels[:, ::-1])[labels > 0].mean() > 0.1


def test_resolution_leaves_anatomy_and_values_alone():
    coarse = make_brain_phantom(JOINT, (43, 43), random_state=3)
    fine = make_brain_phantom(JOINT, (129, 129), random_state=3)
    # Every third pixel of the fine image is at the centre of a coarse one.
    np.testing.assert_array_equal(coarse.tissue, fine.tissue[1::3, 1::3])
    np.testing.assert_allclose(
        coarse.to_map(coarse.theta), fine.to_map(fine.theta)[1::3, 1::3], rtol=1e-9
    )


def test_random_state_alone_decides_on_the_variation(phantom):
    again = make_brain_phantom(JOINT, random_state=0)
    np.testing.assert_array_equal(again.theta, phantom.theta)
    np.testing.assert_array_equal(again.m0, phantom.m0)
    other = make_brain_phantom(JOINT, random_state=1)
    np.testing.assert_array_equal(other.tissue, phantom.tissue)
    differs = (other.theta != phantom.theta).any(axis=0)
    assert [n for n, d in zip(other.parameter_names, differs, strict=True) if not d] == [
        "omega0",
        "B1",
    ]


def test_a_map_does_not_depend_on_the_other_parameters(phantom):
    separate = make_brain_phantom(SEPARATE, random_state=0)
    for name in set(JOINT.parameter_names) & set(SEPARATE.parameter_names):
        np.testing.assert_array_equal(column(separate, name), column(phantom, name))


def test_to_map_puts_every_voxel_where_it_was(phantom):
    image = phantom.to_map(phantom.theta)
    assert image.shape == (128, 128, 7)
    np.testing.assert_array_equal(image[phantom.mask], phantom.theta)
    assert np.isnan(image[~phantom.mask]).all()
    np.testing.assert_array_equal(phantom.to_map(phantom.m0)[phantom.mask], phantom.m0)
    assert np.isnan(phantom.to_map(np.ones(len(phantom.m0), int))[~phantom.mask]).all()
    single = phantom.to_map(phantom.m0.astype(np.complex64))
    assert single.dtype == np.complex64


def test_select_joins_tissues(phantom):
    both = phantom.select("caudate", "putamen")
    assert both.sum() == sum(phantom.select(n).sum() for n in ("caudate", "putamen"))
    labels = {TISSUES[i] for i in phantom.tissue[phantom.mask][both]}
    assert labels == {"caudate", "putamen"}


def test_repr_is_short(phantom):
    n = phantom.mask.sum()
    assert repr(phantom) == f"BrainPhantom(shape=(128, 128), n_voxels={n})"


def test_unknown_parameters_are_named():
    class Diffusion(SignalModel):
        parameter_names = ("m0s", "D", "kurtosis")
        bounds = np.array([[0, 1], [0, 3e-9], [0, 2]])

    with pytest.raises(ValueError, match="no values for D, kurtosis; it has values for"):
        make_brain_phantom(Diffusion())


def test_values_beyond_narrow_bounds_are_cut_with_a_warning():
    model = MagnetizationTransfer(SEQUENCE, bounds={"m0s": (0.01, 0.1)})
    with pytest.warns(UserWarning, match="m0s of the brain phantom .* 0.01 to 0.1"):
        phantom = make_brain_phantom(model, (32, 32), random_state=0)
    assert column(phantom, "m0s").min() == 0.01 and column(phantom, "m0s").max() == 0.1


def test_off_resonance_is_wrapped_into_its_period():
    slow = HybridStateSequence(SEQUENCE.alpha, SEQUENCE.trf, tr=12e-3)
    wrapped = make_brain_phantom(MagnetizationTransfer(slow), random_state=0)
    direct = make_brain_phantom(JOINT, random_state=0)
    a, b = column(wrapped, "omega0"), column(direct, "omega0")
    assert np.abs(b).max() > np.pi / 12e-3
    np.testing.assert_allclose(np.exp(12e-3j * a), np.exp(12e-3j * b), atol=1e-12)


@pytest.mark.parametrize("shape", [128, (128,), (8, 128), (64.0, 64), (2, 64, 64), "ab"])
def test_a_shape_that_is_no_image_is_refused(shape):
    with pytest.raises(ValueError, match="two integers of at least 16"):
        make_brain_phantom(JOINT, shape)


def test_values_that_do_not_fit_are_refused(phantom):
    for wrong in (phantom.theta.T, phantom.m0[1:], 1.0):
        with pytest.raises(ValueError, match="give one value or one row for each"):
            phantom.to_map(wrong)
    with pytest.raises(ValueError, match="no tissue is called gray matter; the names"):
        phantom.select("gray matter")
