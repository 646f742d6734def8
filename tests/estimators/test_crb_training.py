"""How CRBRegressor is trained: losses, going on, stopping, callbacks."""

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning, NotFittedError

from crbestim import CRBRegressor
from crbestim.datasets import make_fingerprints
from crbestim.estimators import _training_data
from crbestim.estimators._added_rows import AddedRows
from crbestim.estimators._reports import warn_of_predictions
from crbestim.estimators._training_data import batches_of, information_of, rate_of
from crbestim.exceptions import AtBoundWarning
from crbestim.metrics import crb_loss
from crbestim.models import BiExponential, FunctionModel, MonoExponential
from crbestim.network import Loss
from crbestim.network.losses import CRBLoss, MSELoss
from crbestim.noise import add_noise

callback = pytest.importorskip(
    "sklearn.callback", reason="scikit-learn has callbacks from version 1.9 on"
)


def small(model=None, **changes):
    options = dict(hidden_layer_sizes=(16, 16), max_iter=3, random_state=0)
    return CRBRegressor(model, **{**options, **changes})


def losses_by_column(reg, fingerprints):
    X, y, crb = fingerprints
    periods = reg.model.periods
    return crb_loss(y, reg.predict(X), crb, multioutput="raw_values", periods=periods)


def test_weights_by_name_shift_the_loss(model, fingerprints):
    options = dict(max_iter=60, batch_size=32, early_stopping=False)
    plain = small(model, **options).fit(*fingerprints)
    only_b1 = {name: 0.0 for name in model.parameter_names} | {"B1": 1.0}
    focused = small(model, output_weights=only_b1, **options).fit(*fingerprints)
    b1 = model.parameter_names.index("B1")
    plain, focused = (losses_by_column(reg, fingerprints) for reg in (plain, focused))
    assert focused[b1] < plain[b1]
    assert focused[:b1].mean() > 2 * plain[:b1].mean()


def test_what_is_not_trained_is_left_out_of_score_and_reports(model, fingerprints):
    X, y, crb = fingerprints
    reg = small(model, output_weights={"m0s": 0.0, "T2s": 0.0}).fit(X, y, crb=crb)
    weights = [0.0 if name in ("m0s", "T2s") else 1.0 for name in model.parameter_names]
    counted = np.where(weights, crb, np.inf)
    assert reg.score(X, y, crb=crb) == reg.score(X, y, crb=counted)
    each = losses_by_column(reg, fingerprints)
    assert reg.score(X, y, crb=crb) == pytest.approx(1 / np.average(each, weights=weights))
    assert np.isfinite(reg.predict(X)).all()


def test_an_output_that_is_not_trained_is_not_reported_at_a_bound():
    model = MonoExponential([0.01, 0.03, 0.06, 0.1], bounds={"T2": (0.02, 0.2)})
    X, y = make_fingerprints(model, 300, snr=1000, random_state=0)
    reg = small(model, output_weights=[1.0]).fit(X, y)
    # The noise of the signals is not the question here.
    reg.apparent_snr_range_ = (np.nan, np.nan)
    at_bound = np.full((8, 1), 0.2)
    signals = model.signal(at_bound)
    with pytest.warns(AtBoundWarning, match="T2 at its upper bound"):
        warn_of_predictions(reg, model, signals, at_bound)
    reg._output_weights = np.zeros(1)
    warn_of_predictions(reg, model, signals, at_bound)


def test_weights_by_name_and_by_column_agree(model, fingerprints):
    names = small(model, output_weights={"R1": 3.0}).fit(*fingerprints)
    columns = small(model, output_weights=[1, 3, 1, 1, 1, 1, 1]).fit(*fingerprints)
    assert names.loss_curve_ == columns.loss_curve_
    assert names.loss_curve_ != small(model).fit(*fingerprints).loss_curve_


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ({"T1": 1.0}, "output_weights has 'T1'; the parameters are m0s, R1"),
        ([1.0, 2.0], "give 7 finite weights"),
        ([0.0] * 7, "not all zero"),
        ([-1.0] + [1.0] * 6, "none negative"),
        ([np.nan] * 7, "finite"),
    ],
)
def test_bad_weights(model, fingerprints, weights, message):
    with pytest.raises(ValueError, match=message):
        small(model, output_weights=weights).fit(*fingerprints)


def test_names_need_a_model(fingerprints):
    with pytest.raises(ValueError, match="unnamed without a model: give a number a column"):
        small(output_weights={"m0s": 1.0}).fit(*fingerprints)


def bias_of(reg, model, theta, n=200):
    """Mean over the parameters of bias^2/CRB and of variance/CRB at SNR 100."""
    from crbestim.metrics import bias_variance

    quality = bias_variance(reg, model, theta, 100, n, random_state=3)
    return np.mean(quality.bias_ratio), np.mean(quality.variance_ratio)


def test_bias_reduced_loss_trades_variance_for_bias(model, fingerprints):
    options = dict(max_iter=150, batch_size=128, snr=100.0, n_iter_no_change=150)
    plain = small(model, **options).fit(*fingerprints)
    reduced = small(model, loss="bias-reduced", variance_weight=0.1, **options).fit(
        *fingerprints
    )
    theta = fingerprints[1][:20]
    (bias, variance), (less, more) = (bias_of(r, model, theta) for r in (plain, reduced))
    assert less < 0.9 * bias
    assert more > variance


@pytest.mark.parametrize(
    ("name", "value"),
    [("n_realizations", 4), ("variance_weight", 2.0), ("variance_limit", 5.0)],
)
def test_parameters_of_the_bias_reduced_loss(model, fingerprints, name, value):
    options = dict(loss="bias-reduced", batch_size=64)
    plain = small(model, **options).fit(*fingerprints)
    changed = small(model, **{name: value}, **options).fit(*fingerprints)
    assert plain.loss_curve_ != changed.loss_curve_


def test_bias_reduced_loss_needs_fresh_noise(model, fingerprints):
    with pytest.raises(ValueError, match="several noise realizations.*it is None"):
        small(loss="bias-reduced").fit(*fingerprints)
    with pytest.raises(ValueError, match="resample_noise=True"):
        small(model, loss="bias-reduced", resample_noise=False).fit(*fingerprints)
    X, *targets = fingerprints
    few, all_of_them = X.shape[1] - 3, model.n_features
    message = f"X has {few} features, the model {all_of_them}: compress the model with the"
    with pytest.raises(ValueError, match=message):
        small(model, loss="bias-reduced").fit(X[:, :-3], *targets)


def test_learning_rate_schedule(model, fingerprints):
    falling = small(model, max_iter=10).fit(*fingerprints)
    constant = small(model, max_iter=10, learning_rate="constant").fit(*fingerprints)
    assert {record["learning_rate"] for record in constant.history_} == {0.01}
    assert falling.history_[-1]["learning_rate"] < 2e-3


def test_wider_layers_take_smaller_steps():
    rates = [rate_of("auto", sizes) for sizes in ((), (16,), (64, 128), (256,) * 3)]
    assert rates == [0.01, 0.01, 0.005, 0.0025]
    assert rate_of(0.1, (64,)) == 0.1


def test_automatic_batches(model, fingerprints):
    for draws_noise, sizes in ((True, (512, 750, 1024)), (False, (32, 300, 1024))):
        for n, size in zip((10, 30_000, 10**6), sizes, strict=True):
            steps = (27, 48.0) if draws_noise else (1, np.inf)
            expected = dict(batch_size=size, least_steps=steps[0], most_steps=steps[1])
            bits = np.array([0.0, 4.0, 4.0, 10.0, 6.0])
            assert batches_of("auto", n, draws_noise, bits) == expected
    for bits, steps in ((3.0, 12), (10.0, 75), (0.0, 12)):
        expected = dict(batch_size=512, least_steps=steps, most_steps=steps)
        assert batches_of("auto", 10, True, np.array([bits])) == expected
    measured = small(model, resample_noise=False, random_state=0)
    automatic = measured.fit(*fingerprints).loss_curve_
    assert automatic == measured.set_params(batch_size=32).fit(*fingerprints).loss_curve_


def test_automatic_layers(fingerprints):
    X, y = fingerprints[0][:40], fingerprints[1][:40]
    crb = fingerprints[2][:40]
    for n_outputs, expected in ((4, (64,) * 6), (5, (128,) * 10)):
        reg = CRBRegressor(max_iter=1, warm_start=True, random_state=0)
        reg.fit(X, y[:, :n_outputs], crb=crb[:, :n_outputs])
        assert reg.network_.hidden_layer_sizes == expected
        assert reg.fit(X, y[:, :n_outputs], crb=crb[:, :n_outputs]).n_iter_ == 2


def test_layers_are_wider_where_fingerprints_tell_more():
    decay = MonoExponential(0.01 * np.arange(1, 9))
    options = dict(max_iter=1, min_fingerprints=0, random_state=0)
    widths = []
    for snr, others in (
        (300.0, {}),
        (10_000.0, {}),
        (10_000.0, dict(loss="mse")),
        (10_000.0, dict(resample_noise=False)),
    ):
        X, y, crb = make_fingerprints(decay, 60, snr=snr, return_crb=True, random_state=0)
        reg = CRBRegressor(decay, snr=snr, **options, **others).fit(X, y, crb=crb)
        widths.append(reg.network_.hidden_layer_sizes)
    assert widths == [(64,) * 6, (128,) * 6, (64,) * 6, (64,) * 6]


def test_further_training_keeps_automatic_layers():
    decay = MonoExponential(0.01 * np.arange(1, 9))
    options = dict(max_iter=1, min_fingerprints=0, warm_start=True, random_state=0)
    X, y = make_fingerprints(decay, 60, snr=10_000.0, random_state=0)
    reg = CRBRegressor(decay, snr=300.0, **options).fit(X, y)
    reg.set_params(snr=10_000.0)
    assert reg.fit(X, y).n_iter_ == 2
    assert reg.partial_fit(X, y).n_iter_ == 3
    assert reg.network_.hidden_layer_sizes == (64,) * 6
    with pytest.raises(ValueError, match="hidden_layer_sizes = .32.* but .* has .64"):
        reg.set_params(hidden_layer_sizes=[32] * 6).fit(X, y)


def test_few_fingerprints_of_many_samples():
    """Most directions of 400 features hold nothing but noise."""
    decay = MonoExponential(0.002 * np.arange(1, 201))
    X, y, crb = make_fingerprints(decay, 300, snr=50, return_crb=True, random_state=0)
    options = dict(hidden_layer_sizes=(32, 32), max_iter=60)
    reg = CRBRegressor(decay, snr=50, random_state=0, **options).fit(X, y, crb=crb)
    assert reg.network_.axes.shape[0] == 200
    assert len(reg.weights_["whitening"]) < 20
    X, y, crb = make_fingerprints(decay, 500, snr=50, return_crb=True, random_state=1)
    assert crb_loss(y, reg.predict(X), crb) < 5


def test_a_network_that_has_not_learned_says_so(model, fingerprints, recwarn):
    X, y, crb = fingerprints
    message = r"not learned: after 10 epochs its .* of a linear regression.*max_iter"
    with pytest.warns(ConvergenceWarning, match=message) as told:
        small(model, max_iter=10, learning_rate_init=1e-6).fit(X, y, crb=crb)
    assert told[0].filename == __file__
    with pytest.warns(ConvergenceWarning, match="not learned: .* ideal estimator"):
        small(model, max_iter=10).fit(X, y, crb=crb / 1e4)
    recwarn.clear()
    small(model, max_iter=60, n_iter_no_change=60).fit(X, y, crb=crb)
    small(model, max_iter=10, learning_rate_init=1e-6, early_stopping=False).fit(X, y)
    small(model, max_iter=9, learning_rate_init=1e-6).fit(X, y)
    # An outlier or two make a loss without a threshold as large as they please.
    pure = dict(huber_threshold=None, max_iter=10)
    assert small(model, **pure).fit(X, y, crb=crb / 1e4).best_loss_ > 100
    assert not [w for w in recwarn if "not learned" in str(w.message)]


def test_precision_of_the_network(model, fingerprints):
    X = fingerprints[0]
    single, double = (
        small(model, dtype=dtype).fit(*fingerprints) for dtype in ("float32", "float64")
    )
    assert {w.dtype for w in single.weights_.values()} == {np.dtype("float32")}
    assert {w.dtype for w in double.weights_.values()} == {np.dtype("float64")}
    error = double.predict((2 - 7j) * X) - double.predict(X)
    np.testing.assert_allclose(error / double.network_.scale, 0, atol=1e-12)
    assert (double.predict(X) != double.predict(X).astype(np.float32)).any()


def test_warm_start_goes_on(model, fingerprints):
    X, y, crb = fingerprints
    reg = small(model, warm_start=True, max_iter=20).fit(X, y, crb=crb)
    first = reg.loss_curve_[0]
    reg.fit(X, y, crb=crb)
    assert reg.n_iter_ == len(reg.history_) == 40
    assert [record["epoch"] for record in reg.history_] == list(range(1, 41))
    assert reg.loss_curve_[20] < first / 2
    cold = small(model, max_iter=20).fit(X, y, crb=crb).fit(X, y, crb=crb)
    assert cold.n_iter_ == 20


def test_warm_start_with_other_layers(model, fingerprints):
    reg = small(model, warm_start=True).fit(*fingerprints)
    with pytest.raises(ValueError, match=r"the fitted network has \(16, 16\)"):
        reg.set_params(hidden_layer_sizes=(16,)).fit(*fingerprints)


def test_partial_fit_is_an_epoch_of_fit(model, fingerprints):
    X, y, crb = fingerprints
    options = dict(learning_rate="constant", early_stopping=False, batch_size=64)
    options["min_fingerprints"] = 0
    whole = small(model, max_iter=1, **options).fit(X, y, crb=crb)
    part = small(model, **options).partial_fit(X, y, crb=crb)
    np.testing.assert_array_equal(whole.predict(X), part.predict(X))
    assert part.n_iter_ == 1


def test_partial_fit_learns_from_chunks(model, fingerprints):
    reg = small(model)
    for _ in range(30):
        for rows in (slice(0, 150), slice(150, 300)):
            reg.partial_fit(*(array[rows] for array in fingerprints))
    assert reg.n_iter_ == 60
    assert int(reg.optimizer_["n_steps"]) == 60 * 5
    assert reg.loss_curve_[-1] < reg.loss_curve_[0] / 3
    # Noise and order are new in every call.
    assert len(set(reg.loss_curve_)) == 60


def test_partial_fit_checks_what_comes_later(model, fingerprints):
    X, y, crb = fingerprints
    reg = small(model).partial_fit(X, y, crb=crb)
    with pytest.raises(ValueError, match="X has 5 features"):
        reg.partial_fit(X[:, :5], y, crb=crb)
    no_model = small().partial_fit(X, y, crb=crb)
    with pytest.raises(ValueError, match="y has 3 columns, but .* was fitted to 7"):
        no_model.partial_fit(X, y[:, :3], crb=crb[:, :3])
    with pytest.raises(ValueError, match="X is real, but"):
        no_model.partial_fit(X.real, y, crb=crb)


@pytest.mark.filterwarnings("ignore:overflow:RuntimeWarning")
def test_divergence_is_an_error(model, fingerprints):
    reg = small(model, learning_rate_init=1e30, max_iter=50)
    with pytest.raises(RuntimeError, match="lower learning_rate_init"):
        reg.fit(*fingerprints)
    assert not hasattr(reg, "weights_")


@pytest.mark.parametrize("n_jobs", [2, 4])
def test_large_batches_do_not_depend_on_n_jobs(model, fingerprints, n_jobs):
    X, y, crb = (np.tile(array, (6, 1)) for array in fingerprints)
    options = dict(hidden_layer_sizes=(64, 64, 64), batch_size=1500)
    one = small(model, **options).fit(X, y, crb=crb)
    several = small(model, n_jobs=n_jobs, **options).fit(X, y, crb=crb)
    assert one.loss_curve_ == several.loss_curve_
    np.testing.assert_array_equal(one.predict(X), several.predict(X))


def test_a_failed_fit_changes_nothing(model, fingerprints, monkeypatch):
    X, y, crb = fingerprints
    reg = small(model).fit(X, y, crb=crb)
    before, expected = dict(vars(reg)), reg.predict(X)
    with pytest.raises(ValueError, match="leaves none to train on"):
        reg.fit(X[:1], y[:1], crb=crb[:1])
    reg.set_params(learning_rate_init=1e30, max_iter=50)
    with pytest.raises(RuntimeError, match="lower learning_rate_init"):
        reg.fit(X[:100], y[:100], crb=crb[:100])
    np.testing.assert_array_equal(reg.predict(X), expected)
    assert reg.history_ == before["history_"]
    fresh = small(model)
    with pytest.raises(ValueError, match="leaves none to train on"):
        fresh.fit(X[:1], y[:1], crb=crb[:1])
    with pytest.raises(NotFittedError):
        fresh.predict(X)


def test_parameters_set_after_fit_wait_for_the_next(model, fingerprints):
    X, y, crb = fingerprints
    reg = small(model).fit(X, y, crb=crb)
    expected = reg.predict(X)
    reg.set_params(activation="relu", hidden_layer_sizes=(8,), dtype="float64")
    np.testing.assert_array_equal(reg.predict(X), expected)
    with pytest.raises(ValueError, match="hidden_layer_sizes = .8,., but"):
        reg.partial_fit(X, y, crb=crb)
    with pytest.raises(ValueError, match="activation = 'relu', but .* has 'gelu'"):
        reg.set_params(hidden_layer_sizes=(16, 16)).partial_fit(X, y, crb=crb)


def test_first_part_must_show_how_inputs_vary(model, fingerprints):
    with pytest.raises(ValueError, match="16 real inputs, too few to show how they vary"):
        small(model).partial_fit(*(array[:16] for array in fingerprints))


def test_nothing_to_learn_is_an_error(model, fingerprints):
    X, y, crb = fingerprints
    with pytest.raises(ValueError, match="no row to train on has a parameter"):
        small(model).fit(X, y, crb=np.full_like(crb, np.inf))
    weights = {name: 0.0 for name in model.parameter_names if name != "Rx"}
    column = crb.copy()
    column[:, model.parameter_names.index("Rx")] = np.inf
    with pytest.raises(ValueError, match="finite bound and a weight"):
        small(model, output_weights=weights, resample_noise=False).fit(X, y, crb=column)


def test_real_features_with_large_offsets():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((2000, 2)) * [1e7, 0.1] + [0.0, 1e6]
    y = X[:, 1:]
    reg = small(max_iter=40).fit(X, y, crb=np.full_like(y, 1e-4))
    assert np.corrcoef(reg.predict(X).ravel(), y.ravel())[0, 1] > 0.99


def test_weights_do_not_depend_on_threads_of_the_libraries(model, fingerprints):
    import torch
    from threadpoolctl import threadpool_limits

    X, y, crb = (np.tile(array, (10, 1)) for array in fingerprints)
    weights = []
    before = torch.get_num_threads()
    for n in (1, 2):
        torch.set_num_threads(n)
        with threadpool_limits(n):
            weights.append(small(model, max_iter=1).fit(X, y, crb=crb).weights_)
    torch.set_num_threads(before)
    for name, one in weights[0].items():
        np.testing.assert_array_equal(one, weights[1][name])


class Recorder:
    """Callback that counts epochs, scores them and may stop."""

    def __init__(self, stop_at=None):
        self.stop_at = stop_at
        self.tasks, self.scores = [], []

    def setup(self, estimator, context):
        self.tasks.append("setup")

    def teardown(self, estimator, context):
        self.tasks.append("teardown")

    def on_fit_task_begin(self, estimator, context):
        pass

    def on_fit_task_end(
        self, estimator, context, *, X=None, y=None, metadata=None, fitted_estimator=None
    ):
        self.tasks.append(context.task_name)
        self.scores.append(fitted_estimator.score(X, y, **(metadata or {})))
        return context.task_name == self.stop_at


def test_callbacks_see_every_epoch(model, fingerprints):
    X, y, crb = fingerprints
    recorder = Recorder()
    reg = small(model).set_callbacks(recorder).fit(X, y, crb=crb)
    epochs = [f"epoch {i}" for i in (1, 2, 3)]
    assert recorder.tasks == ["setup", *epochs, "fit", "teardown"]
    assert len(set(recorder.scores[:3])) == 3
    assert reg.predict(X).shape == y.shape


def test_callbacks_stop_training(model, fingerprints):
    recorder = Recorder(stop_at="epoch 2")
    assert small(model).set_callbacks(recorder).fit(*fingerprints).n_iter_ == 2


def test_progress_bar_of_scikit_learn(model, fingerprints, capsys):
    pytest.importorskip("rich", reason="scikit-learn draws its progress bar with rich")
    small(model).set_callbacks(callback.ProgressBar()).fit(*fingerprints)
    assert "CRBRegressor" in capsys.readouterr().out


class Absolute(Loss):
    """Errors count linearly."""

    def total(self, deviations, weights):
        return (weights * deviations.abs()).sum()


class OfPairs(Loss):
    """The mean error over two noise realizations."""

    n_realizations = 2

    def total(self, deviations, weights):
        return 2 * (weights * deviations.unflatten(0, (-1, 2)).mean(dim=1).square()).sum()


@pytest.mark.parametrize("loss", [Absolute(), OfPairs()])
def test_a_users_loss(model, fingerprints, loss):
    X, y, crb = fingerprints
    reg = small(model, loss=loss, max_iter=5).fit(X, y, crb=crb)
    assert reg.loss_curve_[-1] < reg.loss_curve_[0]
    again = clone(reg).fit(X, y, crb=crb)
    np.testing.assert_array_equal(again.predict(X), reg.predict(X))
    other = small(model, max_iter=5).fit(X, y, crb=crb)
    assert not np.array_equal(other.predict(X), reg.predict(X))


def test_what_is_not_a_loss_is_refused(model, fingerprints):
    for loss in (Absolute, len, "mae"):
        with pytest.raises(ValueError, match="'loss' parameter of CRBRegressor must be"):
            small(model, loss=loss).fit(*fingerprints)


def test_a_failed_part_does_not_change_the_next(model, fingerprints):
    X, y, crb = fingerprints
    one, two = (small(model).partial_fit(X, y, crb=crb) for _ in range(2))
    one.set_params(learning_rate_init=1e30)
    with pytest.raises(RuntimeError, match="lower learning_rate_init"):
        for _ in range(5):
            one.partial_fit(X, y, crb=crb)
    one.set_params(learning_rate_init=two.learning_rate_init)
    expected = two.partial_fit(X, y, crb=crb).predict(X)
    np.testing.assert_array_equal(one.partial_fit(X, y, crb=crb).predict(X), expected)


def test_information_counts_bits_of_typical_rows():
    targets = np.random.default_rng(0).normal(size=(101, 3)) * [1.0, 2.0, 4.0]
    spread = targets.std(axis=0)
    # Standard deviations of 1/15 of the spread: four bits; the second has no bound.
    precision = np.tile(255 / spread**2 * [1.0, 0.0, 0.25], (101, 1))
    precision[0] = 1e30
    rows = dict(targets=targets, precision=precision, snr=np.array([1.0, 2.0]))
    bits = 0.5 * np.log2([256, 1, 1 + 255 / 4])
    assert information_of((rows, {}), CRBLoss()) == pytest.approx(bits)
    rows["precision"] = np.stack([np.zeros_like(precision), precision / 4], axis=1)
    scaled = rows, {"scale_precision": True}
    assert information_of(scaled, CRBLoss()) == pytest.approx(bits)
    np.testing.assert_array_equal(information_of((rows, {}), MSELoss()), [np.inf] * 3)


def test_rows_almost_without_signal_do_not_set_the_noise_of_inputs():
    t2 = np.r_[np.linspace(0.04, 0.2, 90), np.full(10, 0.0012)][:, None]
    decay = MonoExponential(0.01 * np.arange(1, 13), bounds={"T2": (0.001, 1.0)})
    n_directions = []
    for y in (t2[:90], t2):
        X = add_noise(decay.signal(y), 100.0, np.random.default_rng(0))
        reg = small(decay, snr=100.0, max_iter=1, early_stopping=False).fit(X, y)
        n_directions.append(reg.weights_["whitening"].shape[1])
    # They add a direction, which their noise would hide if it were taken for that of all.
    assert n_directions[1] > n_directions[0] > 1


def test_a_small_set_is_filled_with_fingerprints(model, fingerprints):
    X, y, crb = (part[:40] for part in fingerprints)

    def estimates(**options):
        return small(model, **options).fit(X, y, crb=crb).predict(X)

    # At most 15 for each of the 36 rows that are not held out.
    np.testing.assert_array_equal(estimates(), estimates(min_fingerprints=576))
    for n in (0, 50):
        assert not np.array_equal(estimates(), estimates(min_fingerprints=n))
    given = estimates(resample_noise=False, min_fingerprints=0)
    np.testing.assert_array_equal(estimates(resample_noise=False), given)


@pytest.fixture
def rows():
    """Two ordered targets and a known value, and limits of which the last is at hand."""
    rng = np.random.default_rng(0)
    y, known = np.sort(rng.uniform(size=(50, 2)), axis=1), rng.uniform(size=(50, 1))
    limits = np.array([[-1.0, -1.0, -1.0], [2.0, 2.0, known.max() + 0.02]])
    return y, known, limits


def test_fingerprints_are_added_on_lines_through_neighbours(rows):
    y, known, limits = rows
    added = AddedRows(*rows, 180, seed=0)
    assert len(added) == 130 and len(AddedRows(*rows, 2000, seed=0)) == 750
    new, new_known = added.joined(y), added.joined(known)
    np.testing.assert_array_equal(new[:50], y)
    ends = np.hstack([y, known])
    step = np.hstack([new, new_known])[50:] - ends[added.first]
    line = ends[added.second] - ends[added.first]
    np.testing.assert_allclose(step, added.share[:, None] * line, atol=1e-15)
    spread = ends.std(axis=0)
    distance = np.linalg.norm((ends[:, None] - ends) / spread, axis=2)
    rank = distance.argsort(axis=1).argsort(axis=1)[added.first, added.second]
    assert rank.min() == 1 and rank.max() == 4
    assert -1 <= added.share.min() < -0.9 and 0.9 < added.share.max() <= 1
    weight = np.random.default_rng(1).uniform(size=50)
    new_weight = added.joined_inside(weight)[50:]
    assert (added.least(weight) <= new_weight + 1e-15).all()
    behind = added.share < 0
    np.testing.assert_array_equal(new_weight[behind], weight[added.first][behind])
    assert added.joined(None) is None
    # Rows that share their values, with other noise, are no neighbours.
    copies = np.repeat(y, 6, axis=0), np.repeat(known, 6, axis=0)
    added = AddedRows(*copies, limits, 1000, seed=0)
    assert (copies[0][added.first] != copies[0][added.second]).all()
    # A single row has no neighbour, and rows that are all the same no line.
    for same in (np.s_[:1], np.zeros(9, int)):
        assert len(AddedRows(y[same], known[same], limits, 180, seed=0)) == 0


def test_added_fingerprints_go_a_little_beyond_the_ends(rows):
    y, known, limits = rows
    added = AddedRows(*rows, 1000, seed=0)
    new = np.hstack([added.joined(y), added.joined(known)])
    ends = np.sort(np.hstack([y, known]), axis=0)
    assert (new[:, 0] <= new[:, 1]).all()
    low, high = 2 * ends[0] - ends[3], 2 * ends[-1] - ends[-4]
    high[2] = limits[1, 2]
    assert (low - 1e-15 <= new).all() and (new <= high + 1e-15).all()
    assert (new.min(axis=0) < ends[0]).all() and (new.max(axis=0) > ends[-1]).all()
    # Where four rows and more share an end, nothing lies beyond.
    y[:, 0] = y[:, 0].clip(0.1, 0.7)
    new = AddedRows(*rows, 1000, seed=0).joined(y)
    assert new[:, 0].min() == y[:, 0].min() and new[:, 0].max() == y[:, 0].max()


def test_an_error_of_the_model_tells_of_added_fingerprints():
    def signal(theta):
        a, b = theta.T
        if np.any(a + b > 1):
            raise ValueError("a + b exceeds 1.")
        return np.stack([1 + a, 1 + b, 1 + a * b], axis=-1)

    model = FunctionModel(signal, ["a", "b"], [(0.0, 1.0)] * 2, vectorized=True)
    y = 0.999 * np.random.default_rng(0).dirichlet([1, 1, 0.05], 60)[:, :2]
    with pytest.raises(ValueError, match="a . b exceeds 1") as error:
        small(model).fit(model.signal(y), y)
    assert "54 rows to train on are 810 that fit adds" in "".join(error.value.__notes__)


@pytest.mark.parametrize("signal", ["complex", "magnitude"])
def test_a_given_bound_holds_between_the_rows_too(signal):
    """A bound of the model is that of rows between; what it leaves out, they leave out."""
    noise = "rician" if signal == "magnitude" else "gaussian"
    model = BiExponential(0.01 * np.arange(1, 9), signal=signal, noise=noise)
    X, y, crb = make_fingerprints(model, 60, snr=50, return_crb=True, random_state=0)
    options = dict(max_iter=4, snr=50.0, early_stopping=False)
    own = small(model, **options).fit(X, y).loss_curve_
    given = small(model, **options).fit(X, y, crb=crb).loss_curve_
    np.testing.assert_allclose(given, own, rtol=1e-3)
    crb[:, 1] = np.inf
    half = small(model, **options).fit(X, y, crb=crb)
    weights = dict(output_weights={"T2short": 0.0})
    without = small(model, **weights, **options).fit(X, y).loss_curve_
    np.testing.assert_allclose(half.loss_curve_, without, rtol=1e-3)


def test_a_network_of_many_samples_sees_few_axes(monkeypatch):
    """It learns like one that sees all of them; callbacks can predict with both."""
    decay = MonoExponential(np.linspace(0.005, 0.3, 120))
    X, y, crb = make_fingerprints(decay, 300, snr=50, return_crb=True, random_state=0)
    test = make_fingerprints(decay, 1000, snr=50, return_crb=True, random_state=1)

    def loss(n_seen):
        reg = small(decay, snr=50.0, hidden_layer_sizes=(32, 32), max_iter=25)
        recorder = Recorder()
        reg.set_callbacks(recorder).fit(X, y, crb=crb)
        assert recorder.scores[-1] > 0.3 > recorder.scores[0]
        assert len(reg.weights_["whitening"]) == 2 * n_seen
        return crb_loss(test[1], reg.predict(test[0]), test[2])

    few = loss(5)
    monkeypatch.setattr(_training_data, "_LONG", 121)
    assert few < min(1.5 * loss(120), 3.0)


def test_axes_need_derivatives_of_the_features():
    decay = MonoExponential(np.linspace(0.005, 0.3, 120))
    X, y, _ = make_fingerprints(decay, 200, snr=50, return_crb=True, random_state=0)

    def axes_of(model, X, **fit):
        options = dict(loss="mse", max_iter=1, random_state=0)
        return CRBRegressor(model, **options).fit(X, y, **fit).network_.axes

    assert axes_of(decay, X).shape[0] == 120
    assert axes_of(None, X) is None
    # Compressed with an unknown basis.
    assert axes_of(decay, X[:, :100]) is None
    own = FunctionModel(decay.signal, decay.parameters)
    assert axes_of(own, X).shape[0] == 120
    own = FunctionModel(decay.signal, decay.parameters, difference="none")
    assert axes_of(own, X) is None
