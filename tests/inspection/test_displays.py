"""What displays compute, what they draw, and what they refuse."""

import numpy as np
import pytest
from scipy import stats

from crbestim import CRBRegressor
from crbestim.bounds import cramer_rao_bound
from crbestim.inspection import (
    BoundDisplay,
    CalibrationDisplay,
    EfficiencyDisplay,
    MapsDisplay,
    TrainingDisplay,
)
from crbestim.inspection._units import range_of, scale_of
from crbestim.metrics import bias_variance, interval_coverage
from crbestim.models import IntravoxelIncoherentMotion, MonoExponential, MultiEchoSpinEcho
from crbestim.parameters import Parameter
from tests.metrics.lines import Line, Scaled
from tests.test_project import PACKAGE, imports

plt = pytest.importorskip("matplotlib.pyplot")
plt.switch_backend("agg")
TE = np.array([0.01, 0.03, 0.06, 0.1])
ECHOES = 0.01 * np.arange(1, 6)
MODEL = MonoExponential(TE, signal="magnitude")
THETA = np.linspace(1.0, 3.0, 12)[:, None]


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


class Certain(Scaled):
    """Least squares with the interval of known noise."""

    def interval(self, X, level, *, sigma=None):
        y = self.predict(X)
        half = stats.norm.ppf((1 + level) / 2) * np.sqrt(np.mean(sigma) ** 2 / 5)
        return y - half, y + half


@pytest.mark.parametrize("path", sorted((PACKAGE / "inspection").glob("*.py")))
def test_nothing_imports_matplotlib_before_it_draws(path):
    assert not [m for m in imports(path) if m.partition(".")[0] == "matplotlib"]


# Units


@pytest.mark.parametrize(
    ("parameter", "factor", "label"),
    [
        (MODEL.parameters[0], 1e3, "$T_2$ (ms)"),
        (Parameter("T2s", (5e-6, 2e-5), unit="s"), 1e6, "T2s (µs)"),
        (Parameter("w", (-9, 9), unit="rad/s", symbol="w"), 0.5 / np.pi, r"$w/2\pi$ (Hz)"),
        (IntravoxelIncoherentMotion(TE * 1e9).parameters[1], 1e9, "$D$ (µm²/ms)"),
        (Parameter("R", (0, 9), unit="1/s"), 1.0, "R (1/s)"),
        (Parameter("f", (0, 1), symbol="f"), 1.0, "$f$"),
        (Parameter("t", (0, np.inf), unit="s"), 1.0, "t (s)"),
    ],
    ids=lambda value: getattr(value, "name", None),
)
def test_units_are_those_that_people_read(parameter, factor, label):
    assert scale_of(parameter) == (factor, label)


def test_ranges_are_those_of_the_parameter():
    t2, m0 = MODEL.parameters
    low, high = range_of(t2, np.array([0.05, 5.0]))
    assert 0.02 < low < 0.05 < 0.1 < high < 0.2
    values = np.append(np.linspace(0, 100, 101), [np.nan, np.inf])
    assert range_of(m0, values) == (0, 99)
    assert range_of(m0, values[-2:]) == (0, 1)
    assert range_of(Parameter("x", (-1.0, 2.0)), values) == (-1, 2)


# Efficiency


def test_efficiency_of_bins_is_that_of_metrics():
    display = EfficiencyDisplay.from_estimator(
        Scaled(1.1), Line(), THETA, 10, n_bins=3, n_realizations=50, random_state=0
    )
    whole = bias_variance(Scaled(1.1), Line(), THETA, 10, 50, random_state=0)
    for i in range(3):
        rows = slice(4 * i, 4 * i + 4)
        assert display.values[0, i] == pytest.approx(np.median(THETA[rows]))
        ratio = (whole.variance / whole.crb)[rows].mean()
        assert display.variance_ratio[0, i] == pytest.approx(ratio)
        ratio = (whole.squared_bias / whole.crb)[rows].mean()
        assert display.bias_ratio[0, i] == pytest.approx(ratio)
    spread, bias, bound = display.axes_[0].get_lines()
    np.testing.assert_allclose(spread.get_ydata(), np.sqrt(display.variance_ratio[0]))
    np.testing.assert_allclose(bias.get_ydata(), np.sqrt(display.bias_ratio[0]))
    assert (display.name, list(bound.get_ydata())) == ("Scaled", [1, 1])
    assert spread.get_color() == bias.get_color()


def test_single_estimates_share_the_bias_of_their_bin():
    theta, crb = np.repeat([[1.0], [2.0]], 1000, axis=0), np.full((2000, 1), 0.04)
    noise = 0.2 * np.random.default_rng(0).standard_normal((2000, 1))
    display = EfficiencyDisplay.from_predictions(theta, theta + 0.4 + noise, crb, Line())
    # Two values are two bins; five standard deviations of each.
    np.testing.assert_allclose(display.bias_ratio[0, :2], 4, atol=5 * 4 / np.sqrt(1000))
    np.testing.assert_allclose(display.variance_ratio[0, :2], 1, atol=5 * np.sqrt(2e-3))
    assert np.isnan(display.values[0, 2:]).all()
    assert display.values[0, :2].tolist() == [1, 2]


def test_lost_samples_and_infinite_bounds_are_left_out():
    predictions = np.stack([THETA + 0.1, THETA - 0.1])
    predictions[1, 0] = np.nan
    crb = np.full(THETA.shape, 0.02)
    crb[1] = np.inf
    display = EfficiencyDisplay.from_predictions(THETA, predictions, crb, Line(), n_bins=1)
    assert display.n_lost == 1
    assert display.variance_ratio[0, 0] == pytest.approx(1)


def test_a_parameter_that_was_not_estimated_is_left_out():
    theta = np.column_stack([np.linspace(0.05, 0.1, 9), np.linspace(1, 2, 9)])
    predictions = np.stack([theta * 1.01, theta * 0.99])
    crb = np.full((9, 2), 1e-4)
    whole = EfficiencyDisplay.from_predictions(theta, predictions, crb, MODEL, n_bins=3)
    predictions[:, :, 1] = np.nan
    partial = EfficiencyDisplay.from_predictions(theta, predictions, crb, MODEL, n_bins=3)
    assert partial.n_lost == 0 and np.isnan(partial.variance_ratio[1]).all()
    np.testing.assert_array_equal(partial.variance_ratio[0], whole.variance_ratio[0])


def test_displays_overlay_and_divide_axes():
    options = dict(n_realizations=4, random_state=0)
    theta = np.column_stack([np.linspace(0.05, 0.1, 9), np.linspace(1, 2, 9)])

    class Half:
        def predict(self, X):
            return theta * 0.9

    figure, (left, right) = plt.subplots(1, 2)
    display = EfficiencyDisplay.from_estimator(Half(), MODEL, theta, 50, ax=left, **options)
    assert display.figure_ is figure and len(figure.axes) == 4
    before = len(display.axes_[0].get_lines())
    again = display.plot(ax=display.axes_, name="again", color="red")
    assert again is display
    assert len(display.axes_[0].get_lines()) == 2 * before
    assert display.axes_[0].get_xlabel() == "$T_2$ (ms)"
    with pytest.raises(ValueError, match="ax holds 1 objects; EfficiencyDisplay draws 2"):
        display.plot(ax=[right])


def test_bands_are_two_standard_errors_wide():
    display = EfficiencyDisplay.from_estimator(
        Scaled(1.1), Line(), THETA, 10, n_bins=1, n_realizations=50, random_state=0
    )
    whole = bias_variance(Scaled(1.1), Line(), THETA, 10, 50, random_state=0)
    errors = whole.standard_errors()
    bands = display.axes_[0].collections
    for kind, band in zip(("variance_ratio", "bias_ratio"), bands, strict=True):
        error = getattr(display, f"{kind}_se")
        np.testing.assert_allclose(error[:, 0], errors[kind])
        ratio = getattr(whole, kind)
        heights = band.get_paths()[0].vertices[:, 1]
        ends = np.sqrt(ratio + 2 * errors[kind] * [-1, 1])
        np.testing.assert_allclose([heights.min(), heights.max()], ends)


def test_the_truth_is_in_the_band_of_an_unbiased_estimator():
    errors = np.random.default_rng(0).standard_normal((16, 400, 1))
    theta = np.linspace(1, 2, 400)[:, None]
    display = EfficiencyDisplay.from_predictions(
        theta, theta + errors, np.ones((400, 1)), Line()
    )
    # The largest of eight; the roots that are drawn are up to 0.3 by chance.
    for ratio, truth in ((display.bias_ratio, 0), (display.variance_ratio, 1)):
        error = display.bias_ratio_se if truth == 0 else display.variance_ratio_se
        assert (abs(ratio - truth) < 3.5 * error).all()


def test_published_moments_are_drawn_as_their_estimates():
    predictions = THETA + np.random.default_rng(0).normal(0.1, 0.2, (30, 12, 1))
    crb = np.full(THETA.shape, 0.04)
    mean, std = predictions.mean(axis=0), predictions.std(axis=0, ddof=1)
    mean[0] = predictions[0, 0] = np.nan
    options = dict(crb=crb, model=Line(), n_bins=3)
    expected = EfficiencyDisplay.from_predictions(THETA, predictions, **options)
    moments = EfficiencyDisplay.from_moments(
        THETA, mean, std, 30, **options, ax=expected.axes_, name="paper"
    )
    assert moments.n_lost == expected.n_lost == 1
    for name in ("values", "bias_ratio", "variance_ratio"):
        np.testing.assert_allclose(getattr(moments, name), getattr(expected, name))
    with pytest.raises(ValueError, match=r"std has shape \(1, 12, 1\); give \(12, 1\)"):
        EfficiencyDisplay.from_moments(THETA, mean, std[None], 30, crb, Line())


def test_a_parameter_that_was_not_estimated_has_an_empty_panel():
    theta = np.column_stack([np.linspace(0.05, 0.1, 9), np.linspace(1, 2, 9)])
    mean, std = 1.1 * theta, np.full(theta.shape, 0.1)
    mean[:, 1] = np.nan
    display = EfficiencyDisplay.from_moments(
        theta, mean, std, 100, np.ones(theta.shape), MODEL, n_bins=3
    )
    assert display.n_lost == 0 and len(display.axes_) == 2
    assert np.isfinite(display.variance_ratio[0]).all()
    assert np.isnan(display.variance_ratio[1]).all()


def test_a_parameter_of_one_value_has_no_panel():
    theta = np.column_stack([np.linspace(0.05, 0.1, 9), np.ones(9)])
    found = theta + [[[0.01, 0.1]], [[-0.01, -0.1]]]
    options = dict(crb=np.ones(theta.shape), model=MODEL, n_bins=3)
    display = EfficiencyDisplay.from_predictions(theta, found, **options)
    assert [p.name for p in display.parameters] == ["T2"]
    assert display.values.shape == (1, 3) and len(display.axes_) == 1
    one = EfficiencyDisplay.from_predictions(
        theta[:1], found[:, :1], crb=[[1, 1]], model=MODEL
    )
    assert [p.name for p in one.parameters] == ["T2", "M0"]


def test_the_legend_has_each_name_and_each_style_once():
    theta = np.column_stack([np.linspace(0.05, 0.1, 9), np.linspace(1, 2, 9)])
    found, axes = theta + np.array([0.1, -0.1])[:, None, None], None
    for name in "abcd":
        display = EfficiencyDisplay.from_predictions(
            theta, found, np.ones(theta.shape), MODEL, name=name, ax=axes
        )
        axes = display.axes_
    (legend,) = display.figure_.legends
    labels = [text.get_text() for text in legend.get_texts()]
    assert labels == ["a", "b", "c", "d", "spread", "bias", "bound"]


def test_ticks_of_errors_far_from_the_bound_can_be_told_apart():
    found = THETA + 1e5 * np.array([1.0, -1.0])[:, None, None]
    display = EfficiencyDisplay.from_predictions(THETA, found, np.ones((12, 1)), Line())
    display.figure_.canvas.draw()
    labels = [t.get_window_extent() for t in display.axes_[0].get_yticklabels()]
    assert len(labels) >= 5
    for lower, upper in zip(labels, labels[1:], strict=False):
        assert lower.y1 < upper.y0


@pytest.mark.parametrize(
    ("y_true", "y_pred", "message"),
    [
        (THETA, THETA[:3], "y_pred has shape"),
        (THETA, np.ones((2, 2, 12, 1)), "y_pred has shape"),
        (np.ones((12, 2)), np.ones((12, 2)), "y_true has 2 columns; the model has slope"),
    ],
)
def test_efficiency_refuses_other_shapes(y_true, y_pred, message):
    with pytest.raises(ValueError, match=message):
        EfficiencyDisplay.from_predictions(y_true, y_pred, np.ones((12, 1)), Line())


# Bound


def test_bound_over_a_parameter():
    model = MultiEchoSpinEcho(ECHOES, signal="magnitude")
    row = [0.08, 0.9, 1.0]
    display = BoundDisplay.from_model(
        model, [row, [0.04, 0.9, 1.0]], "B1", snr=50, values=[0.8, 0.9], labels=["a", "b"]
    )
    expected = np.sqrt(cramer_rao_bound(model, [row], noise_std=1 / 50))
    np.testing.assert_allclose(display.std[0, 1:], expected)
    line = display.axes_[0].get_lines()[0]
    np.testing.assert_allclose(line.get_ydata(), 1e3 * display.std[0, :, 0])
    assert display.axes_[0].get_ylabel() == "least sd of $T_2$ (ms)"
    known = BoundDisplay.from_model(
        model.given("B1"), [0.08, 1.0], "B1", snr=50, values=[0.8, 0.9], ax=None
    )
    assert known.std.shape == (1, 2, 2) and len(known.axes_) == 2
    assert (known.std[0, :, 0] < display.std[0, :, 0]).all()


def test_infinite_bounds_are_gaps_without_a_warning():
    model = MultiEchoSpinEcho(ECHOES, signal="magnitude")
    display = BoundDisplay.from_model(model, [0.08, 0.9, 1.0], "B1", values=[0.9, 1.0])
    assert np.isinf(display.std[0, 1, 1])
    assert np.isnan(display.axes_[1].get_lines()[0].get_ydata()[1])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"over": "T1"}, "over='T1' is unknown; choose one of"),
        ({"over": "M0"}, "M0 has the bounds .*; give values"),
        ({"over": "T2", "snr": (5, 10)}, r"snr = \(5, 10\); give one number"),
        ({"over": "T2", "values": [[0.1]]}, "values have shape"),
        ({"over": "T2", "labels": ["a", "b"]}, "labels has 2 entries; theta has 1"),
    ],
)
def test_bound_says_what_is_wrong(options, message):
    with pytest.raises(ValueError, match=message):
        BoundDisplay.from_model(MODEL, [0.08, 1.0], **options)


# Calibration


def test_coverage_is_that_of_the_intervals():
    theta = np.repeat(THETA, 40, axis=0)
    display = CalibrationDisplay.from_estimator(
        Certain(1.0), Line(), theta, 10, levels=[0.5, 0.9], random_state=0
    )
    # Five standard errors of 1920 intervals.
    np.testing.assert_allclose(display.coverage[:, 0], [0.5, 0.9], atol=0.057)
    assert display.n_intervals.tolist() == [1920]
    biased, n = interval_coverage(Certain(1.2), Line(), theta, 10, [0.5], random_state=0)
    assert biased[0, 0] < 0.05
    np.testing.assert_array_equal(
        display.ax_.get_lines()[0].get_ydata(), display.coverage[:, 0]
    )


def test_coverage_needs_intervals_and_levels():
    with pytest.raises(TypeError, match="which has no interval; give a fitted NLLS"):
        interval_coverage(Scaled(1.0), Line(), THETA, 10)
    with pytest.raises(ValueError, match=r"levels = \[1.5\]; give shares between 0 and 1"):
        interval_coverage(Certain(1.0), Line(), THETA, 10, [1.5])


def test_intervals_that_are_not_finite_do_not_count():
    class Lost(Certain):
        def interval(self, X, level, *, sigma=None):
            low, high = super().interval(X, level, sigma=sigma)
            low[0] = np.nan
            return low, high

    _, n = interval_coverage(Lost(1.0), Line(), THETA, 10, [0.5], 2)
    assert n.tolist() == [22]


# Training


@pytest.mark.parametrize("loss", ["crb", "mse"])
def test_training(loss):
    network = CRBRegressor(loss=loss)
    network.history_ = [
        {"epoch": 1, "loss": 9.0, "validation_loss": 8.0},
        {"epoch": 2, "loss": 2.0, "validation_loss": 3.0},
    ]
    display = TrainingDisplay.from_estimator(network, name="small")
    assert (display.loss.tolist(), display.epochs.tolist()) == ([9, 2], [1, 2])
    assert display.in_bounds == (loss == "crb")
    labels = display.ax_.get_legend_handles_labels()[1]
    assert labels == ["small, training", "small, validation", *["bound"] * (loss == "crb")]


def test_training_needs_a_history():
    with pytest.raises(
        TypeError, match="which has no history_; give a fitted CRBRegressor"
    ):
        TrainingDisplay.from_estimator(Scaled(1.0))


# Maps

MASK = np.array([[True, False, True], [True, True, False]])
VALUES = np.array([[0.06, 1.0], [0.07, 2.0], [9.0, 3.0], [np.nan, np.inf]])


def test_maps_put_voxels_where_they_were():
    display = MapsDisplay.from_predictions(
        VALUES, MASK, MODEL, ranges={"M0": (0, 5)}, title="maps"
    )
    t2, m0 = display.axes_
    assert t2.get_title() == "$T_2$ (ms)"
    image = np.ma.filled(t2.images[0].get_array(), np.nan)
    np.testing.assert_allclose(image, [[60, np.nan, 70], [9000, np.nan, np.nan]])
    assert m0.images[0].get_clim() == (0, 5)
    # The voxel without an estimate has a colour, and the background has none.
    marked = t2.images[1].get_array()
    np.testing.assert_array_equal(marked[..., 3] > 0, [[0, 0, 0], [0, 1, 0]])
    assert t2.get_xlabel() == m0.get_xlabel() == "1 without estimate"
    assert t2.images[0].colorbar.extend == "max"
    assert display.figure_.get_suptitle() == "maps"


def test_maps_of_some_parameters_and_of_a_section():
    volume = np.zeros((2, 3, 3), dtype=bool)
    volume[..., 1], volume[0, 0, 2] = MASK, True
    values = np.arange(10.0).reshape(5, 2) + 1
    display = MapsDisplay.from_predictions(values, volume, MODEL, names=["M0"])
    assert display.section == 1 and [p.name for p in display.parameters] == ["M0"]
    image = np.ma.filled(display.axes_[0].images[0].get_array(), np.nan)
    full = np.full(volume.shape, np.nan)
    full[volume] = values[:, 1]
    np.testing.assert_array_equal(image, full[..., 1])


def test_maps_of_a_volume_are_drawn_upright_on_request():
    display = MapsDisplay.from_predictions(VALUES, MASK, MODEL, upright=True)
    image = np.ma.filled(display.axes_[0].images[0].get_array(), np.nan)
    # The first axis goes to the right, the second upwards.
    np.testing.assert_allclose(image, [[70, np.nan], [np.nan, np.nan], [60, 9000]])


def test_colours_of_maps_follow_the_values_but_for_outliers():
    rng = np.random.default_rng(0)
    mask, noise = np.ones((28, 30), dtype=bool), rng.standard_normal(840)
    values = np.column_stack([0.08 + 0.01 * noise, 1000 + 50 * noise])
    values[::25, 1] = 1e6
    _, (low, high) = MapsDisplay.from_predictions(values, mask, MODEL).ranges
    assert low == 0 and 1100 < high < 1400
    display = MapsDisplay.from_predictions(0.02 * values, mask, MODEL, ranges="values")
    assert display.ranges[0] == (0.0, pytest.approx(0.02 * 0.103, rel=0.05))


def test_titles_of_maps_are_inside_the_figure():
    values = np.column_stack([np.full(840, 0.08), np.linspace(0, 7e6, 840)])
    values[5] = np.nan
    display = MapsDisplay.from_predictions(values, np.ones((28, 30), dtype=bool), MODEL)
    display.figure_.draw_without_rendering()
    for axis in display.axes_:
        extent = axis.title.get_window_extent()
        assert extent.y1 < display.figure_.bbox.height


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"values": VALUES[:2]}, r"values have shape \(2, 2\); give \(4, 2\)"),
        ({"mask": MASK.astype(int)}, "mask has shape .* give an array of True and False"),
        ({"names": ["T1"]}, "names name T1; the parameters are T2, M0"),
        ({"ranges": {"T2": (2, 1)}}, r"ranges\['T2'\] = \(2, 1\); give \(low, high\)"),
        ({"section": 1}, "section = 1, but the mask has only two axes"),
        ({"mask": MASK[..., None], "section": 1}, "section = 1; give .* from 0 to 0"),
    ],
)
def test_maps_say_what_is_wrong(options, message):
    with pytest.raises(ValueError, match=message):
        MapsDisplay.from_predictions(
            **{"values": VALUES, "mask": MASK, "model": MODEL} | options
        )
