"""MP2RAGE: the branch of its UNI image, what is beyond it, and its noise."""

import numpy as np
import pytest

from crbestim import CRBRegressor, DictionaryRegressor, NLLSRegressor, OneStepRegressor
from crbestim.bounds import cramer_rao_bound
from crbestim.datasets import make_fingerprints
from crbestim.estimators import VoxelStatus
from crbestim.models import MP2RAGE
from tests.models.conftest import PAIR

MODEL, WITH_B1 = MP2RAGE(*PAIR), MP2RAGE(*PAIR, b1=True)
ANGLES = np.deg2rad([7.0, 5.0])
SIGMA = 1e-3


def uni_of(pair):
    """Return the UNI image of measured pairs, as columns."""
    product = (pair[:, 0] * pair[:, 1].conj()).real
    return (product / (np.abs(pair) ** 2).sum(axis=1))[:, None]


def measured(theta, model=MODEL, n=4000, sigma=SIGMA):
    """Return UNI values of pairs in Gaussian noise of each image."""
    rng = np.random.default_rng(0)
    noise = sigma * rng.standard_normal((n, 2, 2)) @ [1, 1j]
    return uni_of(model.pair.signal([theta]) * np.exp(0.4j) + noise)


@pytest.mark.parametrize(
    ("protocol", "low", "high"),
    [
        (PAIR, 0.129, 4.15),
        (([1.0, 3.3], 7e-3, 8.25, ANGLES, 160), 0.465, 4.72),
        (([0.7, 2.5], 7.1e-3, 5.0, np.deg2rad([4.0, 5.0]), (76, 76)), 0.110, 4.68),
    ],
)
def test_bounds_are_the_branch_between_two_turns(protocol, low, high):
    model = MP2RAGE(*protocol)
    np.testing.assert_allclose(model.bounds, [[low, high]], rtol=0.01)
    t1 = np.geomspace(0.02, 11.0, 4000)
    s = model.signal(t1[:, None])[:, 0]
    inside = (t1 > model.bounds[0, 0]) & (t1 < model.bounds[0, 1])
    assert (np.diff(s[inside]) < 0).all() and s[inside][0] > 0.42 and s[inside][-1] < -0.49
    # Beyond, the same values come again.
    assert s[t1 < model.bounds[0, 0]].max() < s[inside][0] + 1e-4
    assert s[t1 > model.bounds[0, 1]].min() > -0.5
    np.testing.assert_allclose(
        model.signal([[1.0]]), uni_of(model.pair.signal([[1.0]])), rtol=1e-13
    )


def test_with_b1_the_branch_begins_where_all_have_begun_and_ends_as_at_1():
    low, high = WITH_B1.bounds[0]
    assert MODEL.bounds[0, 0] < low and high == MODEL.bounds[0, 1]
    t1 = np.linspace(low, high, 200)
    for b1, n in ((0.6, 168), (1.0, 200), (1.4, 200)):
        s = WITH_B1.signal(np.column_stack([t1, np.full(200, b1)]))
        # A low B1 has its turn earlier.
        assert np.count_nonzero(np.diff(s[:, 0]) < 0) + 1 == n
    for model in (MODEL, WITH_B1, WITH_B1.pair):
        assert all(p.bounds[0] < p.bounds[1] for p in model.parameters)
    assert MP2RAGE(*PAIR, bounds={"T1": (0.3, 3.0)}).bounds.tolist() == [[0.3, 3.0]]


def test_pulses_on_either_side_of_the_centre():
    ti, tr, end, angles, n = PAIR
    same, other = (MP2RAGE(ti, tr, end, angles, k) for k in ((80, 80), (40, 80)))
    np.testing.assert_array_equal(same.signal([[1.0]]), MODEL.signal([[1.0]]))
    assert abs(other.signal([[1.0]]) - MODEL.signal([[1.0]]))[0, 0] > 1e-3
    assert MP2RAGE(ti, tr, end, angles, 161).signal([[1.0]]) != MODEL.signal([[1.0]])


def test_values_beyond_the_branch_have_no_estimate():
    X = np.array([[0.497], [-0.2], [np.nan], [-0.6], [-0.5]])
    reached = [False, True, False, False, True]
    nlls = NLLSRegressor(MODEL).fit(X)
    fits = nlls.fit_voxels(X, sigma=SIGMA)
    expected = np.where(reached, VoxelStatus.CONVERGED, VoxelStatus.INVALID)
    np.testing.assert_array_equal(fits.status, expected)
    for estimator in (nlls, DictionaryRegressor(MODEL).fit(X)):
        found = np.isfinite(estimator.predict(X))[:, 0]
        np.testing.assert_array_equal(found, reached)
    # Bounds of the user end the search, and not what is measured.
    narrow = MP2RAGE(*PAIR, bounds={"T1": (0.8, 2.0)})
    inside = NLLSRegressor(narrow).fit(X[1:2])
    assert inside.predict(MODEL.signal([[1.0]]))[0, 0] == pytest.approx(1.0)
    assert inside.fit_voxels(MODEL.signal([[3.0]]), sigma=SIGMA).at_bound.all()
    # Between wider ones, values that come twice are left out.
    wide = NLLSRegressor(MP2RAGE(*PAIR, bounds={"T1": (0.1, 8.0)})).fit(X[1:2])
    ambiguous = MODEL.signal([[0.13], [1.0], [4.0]])
    with pytest.warns(UserWarning, match="in 1 of 3 .*two, of the T1 from 0.1 to 8 s"):
        found = np.isfinite(wide.predict(ambiguous))[:, 0]
    np.testing.assert_array_equal(found, [False, True, False])


def test_a_map_of_b1_moves_the_ends_of_the_branch():
    given, b1 = WITH_B1.given("B1"), np.array([[0.6], [1.0], [1.4], [0.3]])
    low, high = WITH_B1.bounds[0]
    ends = WITH_B1.signal(np.column_stack([np.full(4, high), b1]))
    nlls = NLLSRegressor(given).fit(ends, known=b1)
    found = nlls.predict(ends + 1e-4, known=b1)
    assert np.isfinite(found).all()
    np.testing.assert_allclose(found[1:3, 0], high, rtol=0.1)
    with pytest.warns(UserWarning, match="in 3 of 4 voxels X belongs to none, or to two"):
        assert np.isnan(nlls.predict(ends - 1e-4, known=b1)).all()


@pytest.mark.parametrize("kind", [NLLSRegressor, DictionaryRegressor])
def test_a_map_of_b1_leaves_fluid_its_estimate(kind):
    """Also where B1 has another branch: a T1 of 4 s is beyond 3.5 s, its end at 0.6."""
    model, t1 = WITH_B1.given("B1"), np.tile([0.9, 3.5, 4.0], 50)
    known = np.repeat([1.0, 1.04, 1.08, 1.2, 1.3], 30)[:, None]
    X = WITH_B1.signal(np.column_stack([t1, known]))
    found = kind(model).fit(X, known=known).predict(X, known=known)[:, 0]
    np.testing.assert_allclose(found, t1, rtol=0.02)


@pytest.mark.parametrize("X", [[[0], [1800], [4095]], [[0.0], [37.5]]])
def test_scanner_integers_are_refused(X):
    message = r"of scanner integers, 0 to 4095, give X / 4095 - 0\.5"
    with pytest.raises(ValueError, match=message):
        NLLSRegressor(MODEL).fit(X)
    with pytest.raises(ValueError, match=message):
        NLLSRegressor(WITH_B1.given("B1")).fit(X, known=np.ones(len(X)))
    with pytest.raises(ValueError, match=message):
        NLLSRegressor(MODEL).fit([[0.1]]).predict(X)


@pytest.mark.parametrize("t1", [0.5, 1.3, 3.0])
def test_the_noise_is_that_of_the_pair(t1):
    X = measured([t1])
    first, second = MODEL.pair.signal([[t1]])[0].real
    energy = first**2 + second**2
    sigma = SIGMA * abs(first**2 - second**2) / energy**1.5
    assert X.std() == pytest.approx(sigma, rel=0.05)
    slope = MODEL.signal([[t1]], jacobian=True)[1][0, 0, 0]
    crb = cramer_rao_bound(MODEL, [[t1]], noise_std=SIGMA)
    np.testing.assert_allclose(crb, (sigma / slope) ** 2, rtol=1e-10)
    # The pair itself tells as much.
    whole = cramer_rao_bound(MODEL.pair, [[t1]], noise_std=SIGMA)
    np.testing.assert_allclose(crb, whole, rtol=1e-6)
    y, std = NLLSRegressor(MODEL).fit(X).predict(X, return_std=True, sigma=SIGMA)
    bound = cramer_rao_bound(MODEL, y[:9], noise_std=SIGMA)
    np.testing.assert_allclose(std[:9] ** 2, bound, rtol=1e-9)
    assert y.std() == pytest.approx(np.sqrt(crb[0, 0]), rel=0.06)


def test_views_have_the_noise_of_the_pair():
    theta, known = [[1.2]], WITH_B1.given("B1").at([[0.9]])
    expected = cramer_rao_bound(known.model.pair.fix(B1=0.9), theta)
    for model in (known, WITH_B1.fix(B1=0.9), known.compress([[-1.0]])):
        np.testing.assert_allclose(cramer_rao_bound(model, theta), expected, rtol=1e-6)
    # Whitened by the variance of UNI values, and turned by a phase that they do not have.
    slope = MODEL.signal(theta, jacobian=True)[1][0, 0, 0]
    white = cramer_rao_bound(MODEL.whiten(0.01**2), theta)
    np.testing.assert_allclose(white, (0.01 / slope) ** 2, rtol=1e-12)
    with pytest.raises(ValueError, match="'ratio' depends on the signal and is for real"):
        cramer_rao_bound(MODEL.compress([[1j]]), theta)


def test_one_image_does_not_show_its_noise():
    X = measured([1.0], n=3)
    for estimator in (NLLSRegressor(MODEL), DictionaryRegressor(MODEL)):
        with pytest.warns(UserWarning, match="1 unknown for 1 real number.* give sigma"):
            y, std = estimator.fit(X).predict(X, return_std=True)
        assert np.isfinite(y).all() and np.isnan(std).all()


@pytest.fixture(scope="module")
def brain():
    return make_fingerprints(MODEL, 3000, snr=1000, return_crb=True, random_state=0)


def test_fingerprints_have_the_noise_of_the_pair(brain):
    X, y, crb = brain
    np.testing.assert_allclose(crb, cramer_rao_bound(MODEL, y, SIGMA), rtol=1e-12)
    nlls = NLLSRegressor(MODEL).fit(X, y)
    assert np.abs(X).max() <= 0.5
    assert nlls.score(X, y, crb=crb) == pytest.approx(1.0, abs=0.06)
    assert nlls.score(X, y, sigma=SIGMA) == pytest.approx(nlls.score(X, y, crb=crb))
    step = OneStepRegressor(DictionaryRegressor(MODEL), MODEL, prior=None).fit(X, y)
    assert step.score(X, y, crb=crb) == pytest.approx(1.0, abs=0.08)


def test_a_network_learns_with_the_noise_of_the_pair(brain):
    X, y, crb = brain
    options = dict(hidden_layer_sizes=(16, 16), max_iter=8, random_state=0)
    network = CRBRegressor(MODEL, **options).fit(X, y, crb=crb)
    # Fresh noise of training is that of the data: of either the loss is as large.
    last = network.history_[-1]
    assert last["loss"] > 0.7 and 0.7 < last["loss"] / last["validation_loss"] < 1.5
    assert np.abs(network.predict(X) / y - 1).mean() < 0.4


def test_both_images_and_a_map_of_b1():
    model = WITH_B1.pair.given("B1")
    X, y, known = make_fingerprints(model, 500, snr=1e6, random_state=0)
    found = NLLSRegressor(model).fit(X, known=known).predict(X, known=known)
    np.testing.assert_allclose(found, y, rtol=1e-3)
    with pytest.raises(ValueError, match="does not determine T1, B1"):
        NLLSRegressor(WITH_B1.pair).fit(X)
    with pytest.raises(ValueError, match="2 unknowns for 1 real number"):
        NLLSRegressor(WITH_B1).fit(uni_of(X))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"ti": [0.3, 2.7]}, r"-0\.26 s left before the first block"),
        ({"ti": [0.8, 1.7]}, r"-0\.22 s left between the blocks"),
        ({"tr_mp2rage": 3.0}, r"-0\.26 s left behind the second block"),
        ({"n_excitations": [80]}, "whole number, or two"),
        ({"n_excitations": (80, 0)}, r"n_excitations\[1\] = 0"),
        ({"flip_angles": [4.0, 5.0]}, "radians"),
        ({"flip_angles": 0.1}, "give a vector"),
        ({"efficiency": 1.1}, "share above 0, up to 1"),
        ({"signal": "magnitude"}, "uni"),
        ({"noise": "rician"}, "MP2RAGE measures complex images"),
    ],
)
def test_protocols_that_are_none(change, message):
    names = "ti", "tr", "tr_mp2rage", "flip_angles", "n_excitations"
    with pytest.raises(ValueError, match=message):
        MP2RAGE(**dict(zip(names, PAIR, strict=True)) | change)


def test_what_is_explained_up_to_rounding_has_converged():
    X = measured([1.3], n=20_000)
    fits = NLLSRegressor(MODEL).fit(X[:1]).fit_voxels(X, sigma=SIGMA)
    assert (fits.status == VoxelStatus.CONVERGED).all()


@pytest.mark.parametrize("kind", [NLLSRegressor, DictionaryRegressor, OneStepRegressor])
def test_voxels_that_a_mask_has_emptied_are_told(kind):
    reg = OneStepRegressor(model=MODEL) if kind is OneStepRegressor else kind(MODEL)
    reg.fit(np.zeros((3, 1)))
    assert np.isfinite(reg.predict([[0.0], [0.2]], sigma=SIGMA)).all()
    message = "exactly 0 in 2 voxels, as masks leave"
    with pytest.warns(UserWarning, match=message) as told:
        reg.predict([[0.0], [0.2], [0.0]], sigma=SIGMA)
    assert len(told) == 1
