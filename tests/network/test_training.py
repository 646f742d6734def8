"""The training loop: noise, schedule, stopping, divergence and interruption."""

import math

import numpy as np
import pytest
import torch

from crbestim.network import training
from crbestim.network.arrays import pool
from crbestim.network.data import Fingerprints
from crbestim.network.losses import BiasReducedLoss, CRBLoss
from crbestim.network.modules import FingerprintNetwork

ONE = torch.ones(1)


def settings(**changes):
    defaults = dict(
        max_iter=5,
        max_time=math.inf,
        batch_size=16,
        least_steps=1,
        most_steps=math.inf,
        learning_rate=1e-2,
        schedule="cosine",
        alpha=0.0,
        n_iter_no_change=math.inf,
        tol=0.0,
        verbose=False,
    )
    return training.Settings(**{**defaults, **changes})


def line(n=64, **changes):
    x = torch.linspace(-1, 1, n)[:, None]
    parts = dict(
        signals=x,
        targets=2 * x,
        precision=torch.ones(n, 1),
        reference=torch.zeros(1),
        known=torch.zeros(n, 0),
    )
    return Fingerprints(**{**parts, **changes})


def trainer(train=None, validation=None, loss=None, parallel_map=map, **changes):
    net = FingerprintNetwork(1, (8,), [math.inf], "tanh")
    net.initialize(torch.Generator().manual_seed(0))
    return training.Trainer(
        net,
        line() if train is None else train,
        validation,
        loss or CRBLoss(),
        ONE,
        settings(**changes),
        torch.Generator().manual_seed(1),
        parallel_map,
    )


def run(*args, on_epoch=None, **changes):
    loop = trainer(*args, **changes)
    return loop, loop.fit(on_epoch)


def test_loss_falls_and_history_is_complete():
    _, progress = run(max_iter=60)
    losses = [record["loss"] for record in progress.history]
    assert losses[-1] < 0.01 < losses[0]
    assert [record["epoch"] for record in progress.history] == list(range(1, 61))


def test_measured_signals_get_no_noise():
    data = line()
    features, _, _ = data.batch(torch.arange(64), None)
    assert torch.equal(features, data.signals)


def test_clean_signals_get_noise_of_the_drawn_level():
    n = 40_000
    data = line(n, signals=torch.zeros(n, 1), snr=torch.tensor([10.0, 10.0]))
    features, _, precision = data.batch(torch.arange(n), torch.Generator().manual_seed(0))
    assert float(features.std()) == pytest.approx(0.1, rel=0.02)
    assert float(precision.max()) == 1.0


def test_complex_noise_has_the_level_in_both_channels():
    n = 40_000
    # Alignment divides by the norm, here nearly 100, so look at small noise on it.
    signals = torch.tensor([[100.0, 0.0]]).repeat(n, 1).to(torch.complex64)
    data = line(
        n, signals=signals, snr=torch.tensor([1.0, 1.0]), reference=signals[0] / 100
    )
    features, _, _ = data.batch(torch.arange(n), torch.Generator().manual_seed(0))
    spread = 100 * features.std(dim=0)
    assert spread[2:].tolist() == pytest.approx([1.0, 1.0], rel=0.02)


def test_precision_scales_with_the_drawn_snr():
    data = line(
        1000, snr=torch.tensor([10.0, 20.0]), snr_is_range=True, scale_precision=True
    )
    _, _, precision = data.batch(torch.arange(1000), torch.Generator().manual_seed(0))
    ratios = precision.sqrt()
    assert 10 <= ratios.min() < 10.1 and 19.9 < ratios.max() <= 20


def test_snr_from_a_set():
    for levels in ([1.0, 2.0, 3.0], [1.0, 3.0]):
        data = line(1000, snr=torch.tensor(levels), scale_precision=True)
        _, _, precision = data.batch(torch.arange(1000), torch.Generator().manual_seed(0))
        assert set(precision.sqrt().ravel().round().tolist()) == set(levels)


def test_learning_rate_rises_then_falls_to_zero():
    factors = [training.learning_rate_factor(f, "cosine") for f in np.linspace(0, 1, 201)]
    assert factors[0] == pytest.approx(0.01) and factors[-1] == pytest.approx(0)
    assert max(factors) == pytest.approx(1.0, abs=1e-3)
    assert np.argmax(factors) < 10
    assert {training.learning_rate_factor(f, "constant") for f in (0, 0.5, 1)} == {1.0}


def test_best_weights_are_kept():
    # Validation wants the opposite slope: the best epoch is the first.
    validation = line(targets=-line().targets)
    loop, progress = run(validation=validation, max_iter=30)
    losses = [record["validation_loss"] for record in progress.history]
    assert progress.best_loss == min(losses) < losses[-1]
    assert loop.evaluate() == pytest.approx(progress.best_loss)


def test_stops_without_improvement():
    validation = line(targets=-line().targets)
    options = dict(validation=validation, max_iter=50, n_iter_no_change=3)
    _, progress = run(**options, schedule="constant")
    assert len(progress.history) == progress.best_iter + 3 < 50


def test_a_falling_rate_runs_out_when_nothing_improves():
    validation = line(targets=-line().targets)
    _, progress = run(validation=validation, max_iter=50, n_iter_no_change=5)
    rates = [record["learning_rate"] for record in progress.history]
    assert len(rates) == progress.best_iter + 5 + 5 < 50
    assert min(rates[1:5]) > 0.9 * max(rates) and rates[-1] < 0.05 * max(rates)
    assert rates[5:] == sorted(rates[5:], reverse=True)
    # A run that ends within as many epochs is as it was.
    _, short = run(validation=validation, max_iter=8, n_iter_no_change=5)
    _, patient = run(validation=validation, max_iter=8, n_iter_no_change=99)
    seconds = dict(time=0.0)
    assert [r | seconds for r in short.history] == [r | seconds for r in patient.history]


def test_tolerance_stops_earlier():
    _, patient = run(validation=line(), max_iter=200, n_iter_no_change=3)
    _, strict = run(validation=line(), max_iter=200, n_iter_no_change=3, tol=0.5)
    assert len(strict.history) < len(patient.history)


def test_time_limit():
    _, progress = run(max_iter=10**6, max_time=0.2)
    assert 0 < len(progress.history) < 10**6


def test_divergence_is_an_error():
    with pytest.raises(training.DivergedError, match="lower learning_rate_init"):
        run(train=line(targets=torch.full((64, 1), torch.inf)))


def interrupt_at(monkeypatch, call):
    calls = iter(range(100))
    real = training.Trainer._epoch

    def epoch(*args):
        if next(calls) == call:
            raise KeyboardInterrupt
        return real(*args)

    monkeypatch.setattr(training.Trainer, "_epoch", epoch)


def test_last_weights_are_kept_if_best_ones_did_better_by_chance():
    fresh = line(snr=torch.tensor([5.0]))
    x = fresh.signals[::8]
    noise = 0.2 * torch.randn(8, 1, generator=torch.Generator().manual_seed(0))
    few = line(8, signals=x + noise, targets=2 * x)
    opposite = line(targets=-fresh.targets)

    def losses(train, held_out, **changes):
        loop, progress = run(train, held_out, max_iter=60, **changes)
        last = progress.history[-1]["validation_loss"]
        assert progress.best_loss < last
        return progress.best_loss, last, loop.evaluate()

    # The last weights are for the true slope, as all noise says, and not for eight rows.
    best, last, chosen = losses(fresh, few)
    assert chosen == pytest.approx(last) and last > 1.001 * best
    for data, schedule in (
        ((line(signals=fresh.signals + 0.2), few), "cosine"),
        ((fresh, opposite), "cosine"),
        ((fresh, few), "constant"),
    ):
        best, last, chosen = losses(*data, schedule=schedule)
        assert chosen == pytest.approx(best) and last > 1.001 * best


def test_interrupt_keeps_the_best_weights(monkeypatch):
    interrupt_at(monkeypatch, 3)
    loop, progress = run(validation=line(), max_iter=50)
    assert progress.interrupted and len(progress.history) == 3
    assert loop.evaluate() == pytest.approx(progress.best_loss)


def test_interrupt_before_the_first_epoch_ends(monkeypatch):
    interrupt_at(monkeypatch, 0)
    with pytest.raises(KeyboardInterrupt):
        run(validation=line())


def test_weights_that_are_not_finite_are_never_kept(monkeypatch):
    interrupt_at(monkeypatch, 1)
    loop = trainer(max_iter=3)
    with torch.no_grad():
        loop.parameters[0].fill_(math.nan)
    monkeypatch.setattr(loop, "step", lambda *_: torch.zeros(()))
    with pytest.raises(training.DivergedError, match="sum of weights is nan"):
        loop.fit()


def test_divergence_in_the_middle_of_training():
    with pytest.raises(training.DivergedError, match="lower learning_rate_init"):
        run(learning_rate=1e30, max_iter=50)


def test_epochs_are_reported_and_may_end_training():
    seen = []

    def third(record):
        seen.append(record["epoch"])
        return record["epoch"] == 3

    _, progress = run(max_iter=50, on_epoch=third)
    assert seen == [1, 2, 3] == [record["epoch"] for record in progress.history]


def wide(n_threads, loss=None, n=3000):
    """Train on batches of several parts, with noise."""
    data = line(n, snr=torch.tensor([5.0, 10.0]))
    with pool(n_threads) as parallel_map:
        loop, _ = run(data, data, loss, parallel_map, batch_size=2000, max_iter=3)
        loop.final_loss = loop.evaluate()
    return loop


@pytest.mark.parametrize("n_threads", [2, 3])
def test_weights_do_not_depend_on_the_number_of_threads(n_threads):
    one, several = wide(1), wide(n_threads)
    for a, b in zip(one.parameters, several.parameters, strict=True):
        assert torch.equal(a, b)
    assert one.progress.best_loss == several.progress.best_loss


def test_parts_of_a_batch_add_up_to_its_gradient(monkeypatch):
    data = line(1500)
    gradients = []
    for part in (training._PART, 10**6):
        monkeypatch.setattr(training, "_PART", part)
        loop = trainer(data)
        monkeypatch.setattr(loop.optimizer, "step", lambda g, _: gradients.append(g))
        loop.step(torch.arange(1500), 0.1)
    for a, b in zip(*gradients, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-6)


def test_realizations_of_a_fingerprint_stay_together():
    loss = BiasReducedLoss(None, 3, 1.0, 1.0)
    data = line(1000, snr=torch.tensor([5.0, 10.0]), scale_precision=True)
    features, targets, precision = data.batch(
        torch.arange(1000), torch.Generator().manual_seed(0), 3
    )
    for same in (targets, precision):
        groups = same.reshape(1000, 3)
        assert torch.equal(groups, groups[:, :1].expand(-1, 3))
    assert (features.reshape(1000, 3).std(dim=1) > 0).all()
    loop = trainer(data, loss=loss)
    sizes = [len(part[0]) for part in loop._parts((features, targets, precision))]
    assert sum(sizes) == 3000 and all(size % 3 == 0 for size in sizes) and len(sizes) > 1


def test_validation_with_noise_is_the_same_at_each_call():
    loop = wide(1, BiasReducedLoss(None, 4, 1.0, 1.0))
    assert loop.evaluate() == loop.evaluate() == loop.progress.best_loss


def test_progress_bar(capsys):
    run(verbose=True)
    assert "validation_loss=nan" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("limits", "n_steps"),
    [
        (dict(), 8),
        (dict(least_steps=12), 16),
        (dict(most_steps=5.5), 5),
        (dict(least_steps=12, most_steps=12), 12),
    ],
)
def test_limits_of_the_steps_of_an_epoch(limits, n_steps):
    loop, _ = run(max_iter=2, batch_size=8, **limits)
    assert loop.optimizer.n_steps == 2 * n_steps
