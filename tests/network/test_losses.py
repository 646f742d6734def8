"""The losses, against numbers worked out by hand."""

import math
from dataclasses import dataclass

import pytest
import torch

from crbestim.network.losses import (
    LOSSES,
    BiasReducedLoss,
    CRBLoss,
    Loss,
    MSELoss,
    huber,
    make_loss,
    wrapped_errors,
)

ONE, ONES = torch.ones(1), torch.ones(2)


def mean(loss, errors, precision, weights):
    return loss.total(errors * precision.sqrt(), weights) / loss.count(precision, weights)


def test_loss_by_hand():
    prediction = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
    precision = torch.tensor([[1.0, 0.5], [2.0, 0.0]])
    # (1 + 2 + 18) over the three entries that count.
    for loss in (CRBLoss(), MSELoss()):
        found = mean(loss, prediction, precision, ONES)
        assert float(found) == pytest.approx(7.0)


def test_weights_by_hand():
    prediction = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
    precision = torch.tensor([[1.0, 0.5], [2.0, 0.0]])
    # 1 + 3 * 2 + 18 over weights of 1 + 3 + 1.
    loss = mean(CRBLoss(), prediction, precision, torch.tensor([1.0, 3.0]))
    assert float(loss) == pytest.approx(5.0)


def test_errors_beyond_the_threshold_count_linearly():
    # Deviations 1, 4 and 6 with threshold 4: squares up to it, then 2 * 4 * d - 16.
    deviations = torch.tensor([1.0, -4.0, 6.0], requires_grad=True)
    losses = huber(deviations, 4.0)
    assert losses.tolist() == pytest.approx([1, 16, 32])
    losses.sum().backward()
    assert deviations.grad.tolist() == pytest.approx([2, -8, 8])


def test_the_loss_has_the_threshold():
    loss = CRBLoss(huber_threshold=4.0)
    assert float(loss.total(torch.tensor([[6.0]]), ONE)) == pytest.approx(32)


def test_entries_without_precision_have_no_gradient():
    prediction = torch.tensor([[1.0, 2.0]], requires_grad=True)
    precision = torch.tensor([[1.0, 0.0]])
    CRBLoss().total(prediction * precision.sqrt(), ONES).backward()
    assert prediction.grad.tolist() == [[2.0, 0.0]]


def test_errors_wrap():
    periods = torch.tensor([1.0, torch.inf])
    error = wrapped_errors(
        torch.tensor([[0.45, 5.0]]), torch.tensor([[-0.45, 0.0]]), periods
    )
    assert error.tolist() == [pytest.approx([-0.1, 5.0])]


def bias_reduced(**changes):
    options = dict(
        huber_threshold=None, n_realizations=2, variance_weight=0.5, variance_limit=3.0
    )
    return BiasReducedLoss(**{**options, **changes})


def test_bias_reduced_loss_by_hand():
    # Two realizations each of two fingerprints: errors 1, 5 and -2, -2, precision 4 and 1.
    prediction = torch.tensor([[1.0], [5.0], [-2.0], [-2.0]])
    precision = torch.tensor([[4.0], [4.0], [1.0], [1.0]])
    # First: mean 6, variance 32, so 36 - 16 + 0.5 * 29. Second: mean -2, variance 0.
    expected = (36 - 16 + 0.5 * 29 + 4) / 2
    loss = mean(bias_reduced(), prediction, precision, ONE)
    assert float(loss) == pytest.approx(expected)


def test_bias_reduced_loss_does_not_count_noise_as_bias():
    errors = torch.randn(200_000, 1, generator=torch.Generator().manual_seed(0))
    loss = bias_reduced(n_realizations=4, variance_weight=0.0)
    found = mean(loss, errors + 0.5, torch.ones_like(errors), ONE)
    assert float(found) == pytest.approx(0.25, abs=0.01)


def test_bias_reduced_loss_has_a_gradient_without_variance():
    prediction = torch.ones(2, 1, requires_grad=True)
    bias_reduced().total(prediction, ONE).backward()
    assert prediction.grad.ravel().tolist() == pytest.approx([2.0, 2.0])


def test_spread_of_errors_counts_linearly_beyond_the_threshold():
    # Errors -10 and 10: standard deviation sqrt(200), no bias.
    objective = bias_reduced(huber_threshold=2.0, variance_limit=0.0, variance_weight=1.0)
    variance = 2 * (2 * math.sqrt(200) - 2)
    prediction = torch.tensor([[-10.0], [10.0]])
    loss = mean(objective, prediction, torch.ones(2, 1), ONE)
    assert float(loss) == pytest.approx(variance / 2)


def test_nothing_known_is_zero():
    zeros = torch.zeros(2, 2)
    assert float(CRBLoss().total(zeros, ONES)) == 0.0
    assert float(CRBLoss().count(zeros, ONES)) == 0.0


@pytest.mark.parametrize("n_realizations", [2, 8])
def test_spread_is_never_rewarded_where_bias_counts_linearly(n_realizations):
    objective = bias_reduced(
        n_realizations=n_realizations, huber_threshold=2.0, variance_weight=0.0
    )
    signs = torch.ones(n_realizations, 1)
    signs[::2] = -1
    losses = [float(objective.total(10 + size * signs, ONE)) for size in (0.1, 2.0)]
    assert losses[0] == pytest.approx(losses[1])


def test_limit_of_the_variance_beyond_the_threshold():
    # Variance 12.25 (deviations of 3.5 / sqrt 2) is 2.25 above the limit of 10.
    objective = bias_reduced(huber_threshold=2.0, variance_limit=10.0, variance_weight=1.0)
    size = 3.5 / math.sqrt(2)
    prediction = torch.tensor([[-size], [size]])
    loss = mean(objective, prediction, torch.ones(2, 1), ONE)
    spread = 2 * (2 * 3.5 - 2)
    assert float(loss) == pytest.approx(spread - 2 * (2 * math.sqrt(10) - 2) - spread / 2)


SETTINGS = dict(
    huber_threshold=2.0,
    n_realizations=4,
    variance_weight=0.5,
    variance_limit=1.0,
    alpha=1e-4,
)


@pytest.mark.parametrize(
    ("name", "loss"),
    [
        ("crb", CRBLoss(2.0)),
        ("mse", MSELoss()),
        ("bias-reduced", BiasReducedLoss(2.0, 4, 0.5, 1.0)),
    ],
)
def test_a_loss_is_found_by_its_name_and_takes_its_settings(name, loss):
    assert make_loss(name, SETTINGS) == loss
    assert make_loss(loss, SETTINGS) is loss


def test_a_field_that_is_no_setting_keeps_its_default(monkeypatch):
    @dataclass(frozen=True)
    class Wide(CRBLoss):
        width: float = 3.0

    monkeypatch.setitem(LOSSES, "wide", Wide)
    assert make_loss("wide", SETTINGS) == Wide(2.0, width=3.0)


def test_every_loss_is_in_the_list():
    assert set(LOSSES) == {"crb", "mse", "bias-reduced"}
    assert all(issubclass(kind, Loss) for kind in LOSSES.values())


def test_a_loss_without_a_sum_is_named():
    class Nothing(Loss):
        pass

    with pytest.raises(NotImplementedError, match="Nothing lacks total"):
        Nothing().total(torch.ones(1, 1), ONE)
