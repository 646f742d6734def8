"""The loss, against numbers worked out by hand."""

import pytest
import torch

from crbestim.network.losses import scaled_errors, weighted_loss

NO_PERIODS = torch.tensor([torch.inf, torch.inf])


def test_loss_by_hand():
    prediction = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
    target = torch.tensor([[0.0, 0.0], [0.0, 0.0]])
    precision = torch.tensor([[1.0, 0.5], [2.0, 0.0]])
    # (1 + 2 + 18) over the three entries that count.
    loss = weighted_loss(prediction, target, precision, NO_PERIODS)
    assert float(loss) == pytest.approx(7.0)


def test_errors_beyond_the_threshold_count_linearly():
    # Deviations 1, 4 and 6 with threshold 4: squares up to it, then 2 * 4 * d - 16.
    prediction = torch.tensor([[1.0], [2.0], [3.0]], requires_grad=True)
    precision = torch.tensor([[1.0], [4.0], [4.0]])
    args = prediction, torch.zeros(3, 1), precision, torch.tensor([torch.inf])
    loss = weighted_loss(*args, threshold=4.0)
    assert float(loss.detach()) == pytest.approx((1 + 16 + 32) / 3)
    loss.backward()
    assert prediction.grad.ravel().tolist() == pytest.approx([2 / 3, 16 / 3, 16 / 3])


def test_entries_without_precision_have_no_gradient():
    prediction = torch.tensor([[1.0, 2.0]], requires_grad=True)
    loss = weighted_loss(
        prediction, torch.zeros(1, 2), torch.tensor([[1.0, 0.0]]), NO_PERIODS
    )
    loss.backward()
    assert prediction.grad.tolist() == [[2.0, 0.0]]


def test_errors_wrap():
    periods = torch.tensor([1.0, torch.inf])
    error = scaled_errors(
        torch.tensor([[0.45, 5.0]]), torch.tensor([[-0.45, 0.0]]), periods
    )
    assert error.tolist() == [pytest.approx([-0.1, 5.0])]


def test_nothing_known_is_zero():
    zeros = torch.zeros(2, 2)
    assert float(weighted_loss(zeros + 1, zeros, zeros, NO_PERIODS)) == 0.0
