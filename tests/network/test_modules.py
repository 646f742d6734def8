"""Alignment, and the periodic outputs of the network."""

import math

import pytest
import torch

from crbestim.network.modules import ACTIVATIONS, FingerprintNetwork, align, whitening_of


def test_alignment_by_hand():
    x = torch.tensor([[3j, 4j]], dtype=torch.complex128)
    reference = torch.tensor([1.0, 0.0], dtype=torch.complex128)
    expected = torch.tensor([[0.6, 0.0, 0.8, 0.0]], dtype=torch.float64)
    torch.testing.assert_close(align(x, reference), expected)


def test_alignment_takes_out_any_complex_factor():
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(20, 6, dtype=torch.complex128, generator=generator)
    reference = torch.randn(6, dtype=torch.complex128, generator=generator)
    torch.testing.assert_close(
        align(x * (-2 + 300j), reference), align(x, reference), rtol=1e-14, atol=1e-14
    )


def test_real_features_stay():
    x = torch.ones(2, 3)
    assert align(x, torch.zeros(3)) is x


def network(periods, activation="gelu"):
    net = FingerprintNetwork(4, (8, 8), periods, activation)
    net.initialize(torch.Generator().manual_seed(0))
    return net


def test_periodic_output_stays_in_its_interval():
    net = network([math.inf, 2.0])
    out = net(100 * torch.randn(500, 4, generator=torch.Generator().manual_seed(1)))
    assert out.shape == (500, 2)
    assert out[:, 1].abs().max() <= 1.0
    assert out[:, 1].abs().max() > 0.5


def test_angle_is_read_from_cosine_and_sine():
    net = network([2 * math.pi])
    with torch.no_grad():
        net.head.weight.zero_()
        net.head.bias.copy_(torch.tensor([-1.0, 1.0]))
        assert float(net(torch.zeros(1, 4))) == pytest.approx(3 * math.pi / 4)


def test_weights_come_from_the_generator_alone():
    torch.manual_seed(1)
    first = network([math.inf])
    torch.manual_seed(2)
    second = network([math.inf])
    for one, two in zip(first.parameters(), second.parameters(), strict=True):
        assert torch.equal(one, two)


def test_whitened_inputs():
    net = network([math.inf]).double()
    generator = torch.Generator().manual_seed(0)
    mixing = torch.randn(4, 4, dtype=torch.float64, generator=generator)
    features = torch.randn(500, 4, dtype=torch.float64, generator=generator) @ mixing + 3
    net.set_inputs(*whitening_of(features.double()))
    white = (features - net.mean) @ net.whitening
    torch.testing.assert_close(white.mean(dim=0), torch.zeros_like(white[0]))
    torch.testing.assert_close(white.T @ white / 500, torch.eye(4, dtype=torch.float64))


@pytest.mark.parametrize("offset", [0.0, 1e5])
def test_features_of_any_size_are_whitened(offset):
    net = FingerprintNetwork(2, (8,), [math.inf], "gelu").double()
    features = torch.randn(
        500, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0)
    )
    features = features * torch.tensor([1e7, 1e-3]) + offset * torch.tensor([1e7, 1e-3])
    net.set_inputs(*whitening_of(features.double()))
    white = (features - net.mean) @ net.whitening
    expected = torch.eye(2, dtype=torch.float64)
    torch.testing.assert_close(white.T @ white / 500, expected, rtol=1e-6, atol=1e-6)


def test_constant_directions_are_left_out():
    net = network([math.inf])
    features = torch.tensor([[0.0, 1, 2, 1], [2.0, 1, 4, 1], [0.0, 1, 2, 1]])
    net.set_inputs(*whitening_of(features.double()))
    # All that varies is one direction, (1, 0, 1, 0).
    assert torch.linalg.matrix_rank(net.whitening) == 1
    moved = features + torch.tensor([0.0, 5.0, 0.0, 0.0])
    torch.testing.assert_close(net(moved), net(features))


def test_known_noise_stays_white_and_what_is_silent_is_left_out():
    generator = torch.Generator().manual_seed(0)
    unit = torch.randn(4000, 4, dtype=torch.float64, generator=generator)
    unit = torch.linalg.qr(unit - unit.mean(dim=0))[0] * math.sqrt(4000)
    axes, known = torch.linalg.qr(unit[:4])[0], 3 * unit[:, :1] + 1
    signal = torch.tensor([1e-4, 0.01, 1.0, 100.0], dtype=torch.float64)
    features = torch.hstack([unit * signal.sqrt() @ axes.T, known])
    mean, whitening = whitening_of(features, 0.04, n_exact=1)
    assert whitening.shape == (5, 4)
    white = (features - mean) @ whitening
    # With their noise, the three directions have unit variance in the mean.
    scale = (signal[1:] + 0.04).mean()
    expected = torch.tensor([*signal[1:] / scale, 1.0], dtype=torch.float64)
    torch.testing.assert_close(white.square().mean(dim=0), expected)
    noise = whitening[:4, :3].T @ whitening[:4, :3]
    torch.testing.assert_close(noise, torch.eye(3, dtype=torch.float64) / scale)
    # With nothing but noise, one direction is left.
    assert whitening_of(1e-9 * features[:, :4], 0.04)[1].shape == (4, 1)


@pytest.mark.parametrize("activation", sorted(ACTIVATIONS))
def test_every_activation_runs(activation):
    assert torch.isfinite(network([math.inf], activation)(torch.ones(1, 4))).all()
