"""The training loop: noise, schedule, stopping, divergence and interruption."""

import math

import numpy as np
import pytest
import torch

from crbestim.network import training
from crbestim.network.modules import FingerprintNetwork

PERIODS = torch.tensor([math.inf])


def settings(**changes):
    defaults = dict(
        max_iter=5,
        max_time=math.inf,
        batch_size=16,
        learning_rate=1e-2,
        alpha=0.0,
        n_iter_no_change=math.inf,
        tol=0.0,
        threshold=math.inf,
        verbose=False,
    )
    return training.Settings(**{**defaults, **changes})


def line(n=64, **changes):
    x = torch.linspace(-1, 1, n)[:, None]
    parts = dict(
        signals=x, targets=2 * x, precision=torch.ones(n, 1), reference=torch.zeros(1)
    )
    return training.Fingerprints(**{**parts, **changes})


def run(train=None, validation=None, **changes):
    net = FingerprintNetwork(1, (8,), [math.inf], "tanh")
    net.initialize(torch.Generator().manual_seed(0))
    generator = torch.Generator().manual_seed(1)
    data = line() if train is None else train
    return net, training.fit(net, data, validation, PERIODS, settings(**changes), generator)


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
    data = line(1000, snr=torch.tensor([10.0, 20.0]), scale_precision=True)
    _, _, precision = data.batch(torch.arange(1000), torch.Generator().manual_seed(0))
    ratios = precision.sqrt()
    assert 10 <= ratios.min() < 10.1 and 19.9 < ratios.max() <= 20


def test_snr_from_a_set():
    data = line(1000, snr=torch.tensor([1.0, 2.0, 3.0]), scale_precision=True)
    _, _, precision = data.batch(torch.arange(1000), torch.Generator().manual_seed(0))
    assert set(precision.sqrt().ravel().round().tolist()) == {1.0, 2.0, 3.0}


def test_learning_rate_rises_then_falls_to_zero():
    factors = [training.learning_rate_factor(f) for f in np.linspace(0, 1, 201)]
    assert factors[0] == pytest.approx(0.01) and factors[-1] == pytest.approx(0)
    assert max(factors) == pytest.approx(1.0, abs=1e-3)
    assert np.argmax(factors) < 10


def test_best_weights_are_kept():
    # Validation wants the opposite slope: the best epoch is the first.
    validation = line(targets=-line().targets)
    net, progress = run(validation=validation, max_iter=30)
    losses = [record["validation_loss"] for record in progress.history]
    assert progress.best_loss == min(losses) < losses[-1]
    assert training.evaluate(net, validation, PERIODS) == pytest.approx(progress.best_loss)


def test_stops_without_improvement():
    validation = line(targets=-line().targets)
    _, progress = run(validation=validation, max_iter=50, n_iter_no_change=3)
    assert len(progress.history) == progress.best_iter + 3 < 50


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


def test_interrupt_keeps_the_best_weights(monkeypatch):
    calls = iter(range(100))
    real = training.run_epoch

    def interrupt(*args):
        if next(calls) == 3:
            raise KeyboardInterrupt
        return real(*args)

    monkeypatch.setattr(training, "run_epoch", interrupt)
    net, progress = run(validation=line(), max_iter=50)
    assert progress.interrupted and len(progress.history) == 3
    assert training.evaluate(net, line(), PERIODS) == pytest.approx(progress.best_loss)


def test_progress_bar(capsys):
    run(verbose=True)
    assert "validation=nan" in capsys.readouterr().err
