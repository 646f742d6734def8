"""The losses, against numbers worked out by hand."""

import math

import pytest
import torch

from crbestim.network.losses import BiasReduced, SquaredErrors, huber, wrapped_errors

NO_PERIODS = torch.tensor([torch.inf, torch.inf])
ONES = torch.ones(2)


def mean(objective, prediction, target, precision):
    loss = objective(prediction, target, precision)
    return loss / objective.count(precision)


def test_loss_by_hand():
    prediction = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
    precision = torch.tensor([[1.0, 0.5], [2.0, 0.0]])
    # (1 + 2 + 18) over the three entries that count.
    loss = mean(SquaredErrors(NO_PERIODS, ONES), prediction, torch.zeros(2, 2), precision)
    assert float(loss) == pytest.approx(7.0)


def test_weights_by_hand():
    prediction = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
    precision = torch.tensor([[1.0, 0.5], [2.0, 0.0]])
    objective = SquaredErrors(NO_PERIODS, torch.tensor([1.0, 3.0]))
    # 1 + 3 * 2 + 18 over weights of 1 + 3 + 1.
    loss = mean(objective, prediction, torch.zeros(2, 2), precision)
    assert float(loss) == pytest.approx(5.0)


def test_errors_beyond_the_threshold_count_linearly():
    # Deviations 1, 4 and 6 with threshold 4: squares up to it, then 2 * 4 * d - 16.
    deviations = torch.tensor([1.0, -4.0, 6.0], requires_grad=True)
    losses = huber(deviations, 4.0)
    assert losses.tolist() == pytest.approx([1, 16, 32])
    losses.sum().backward()
    assert deviations.grad.tolist() == pytest.approx([2, -8, 8])


def test_the_loss_has_the_threshold():
    objective = SquaredErrors(torch.tensor([torch.inf]), torch.ones(1), threshold=4.0)
    args = torch.tensor([[3.0]]), torch.zeros(1, 1), torch.tensor([[4.0]])
    assert float(objective(*args)) == pytest.approx(32)


def test_entries_without_precision_have_no_gradient():
    prediction = torch.tensor([[1.0, 2.0]], requires_grad=True)
    objective = SquaredErrors(NO_PERIODS, ONES)
    objective(prediction, torch.zeros(1, 2), torch.tensor([[1.0, 0.0]])).backward()
    assert prediction.grad.tolist() == [[2.0, 0.0]]


def test_errors_wrap():
    periods = torch.tensor([1.0, torch.inf])
    error = wrapped_errors(
        torch.tensor([[0.45, 5.0]]), torch.tensor([[-0.45, 0.0]]), periods
    )
    assert error.tolist() == [pytest.approx([-0.1, 5.0])]


def bias_reduced(**changes):
    options = dict(n_realizations=2, variance_weight=0.5, variance_limit=3.0)
    periods = torch.tensor([torch.inf])
    return BiasReduced(periods, torch.ones(1), **{**options, **changes})


def test_bias_reduced_loss_by_hand():
    # Two realizations each of two fingerprints: errors 1, 5 and -2, -2, precision 4 and 1.
    prediction = torch.tensor([[1.0], [5.0], [-2.0], [-2.0]])
    precision = torch.tensor([[4.0], [4.0], [1.0], [1.0]])
    # First: mean 6, variance 32, so 36 - 16 + 0.5 * 29. Second: mean -2, variance 0.
    expected = (36 - 16 + 0.5 * 29 + 4) / 2
    loss = mean(bias_reduced(), prediction, torch.zeros(4, 1), precision)
    assert float(loss) == pytest.approx(expected)


def test_bias_reduced_loss_does_not_count_noise_as_bias():
    errors = torch.randn(200_000, 1, generator=torch.Generator().manual_seed(0))
    objective = bias_reduced(n_realizations=4, variance_weight=0.0)
    args = errors + 0.5, torch.zeros_like(errors), torch.ones_like(errors)
    assert float(mean(objective, *args)) == pytest.approx(0.25, abs=0.01)


def test_bias_reduced_loss_has_a_gradient_without_variance():
    prediction = torch.ones(2, 1, requires_grad=True)
    bias_reduced()(prediction, torch.zeros(2, 1), torch.ones(2, 1)).backward()
    assert prediction.grad.ravel().tolist() == pytest.approx([2.0, 2.0])


def test_spread_of_errors_counts_linearly_beyond_the_threshold():
    # Errors -10 and 10: standard deviation sqrt(200), no bias.
    objective = bias_reduced(threshold=2.0, variance_limit=0.0, variance_weight=1.0)
    variance = 2 * (2 * math.sqrt(200) - 2)
    prediction = torch.tensor([[-10.0], [10.0]])
    loss = mean(objective, prediction, torch.zeros(2, 1), torch.ones(2, 1))
    assert float(loss) == pytest.approx(variance / 2)


def test_nothing_known_is_zero():
    zeros = torch.zeros(2, 2)
    assert float(SquaredErrors(NO_PERIODS, ONES)(zeros + 1, zeros, zeros)) == 0.0


@pytest.mark.parametrize("n_realizations", [2, 8])
def test_spread_is_never_rewarded_where_bias_counts_linearly(n_realizations):
    objective = bias_reduced(
        n_realizations=n_realizations, threshold=2.0, variance_weight=0.0
    )
    signs = torch.ones(n_realizations, 1)
    signs[::2] = -1
    losses = [
        float(objective(10 + size * signs, torch.zeros_like(signs), torch.ones_like(signs)))
        for size in (0.1, 2.0)
    ]
    assert losses[0] == pytest.approx(losses[1])


def test_limit_of_the_variance_beyond_the_threshold():
    # Variance 12.25 (deviations of 3.5 / sqrt 2) is 2.25 above the limit of 10.
    objective = bias_reduced(threshold=2.0, variance_limit=10.0, variance_weight=1.0)
    size = 3.5 / math.sqrt(2)
    prediction = torch.tensor([[-size], [size]])
    loss = mean(objective, prediction, torch.zeros(2, 1), torch.ones(2, 1))
    spread = 2 * (2 * 3.5 - 2)
    assert float(loss) == pytest.approx(spread - 2 * (2 * math.sqrt(10) - 2) - spread / 2)
