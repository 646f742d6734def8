"""The optimizer, against Adam, rotations and a problem that Adam finds hard."""

import pytest
import torch

from crbestim.network import optimizers
from crbestim.network.optimizers import Soap


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def random(*shape, seed=0):
    return torch.randn(*shape, generator=generator(seed), dtype=torch.float64)


def test_vectors_get_adam():
    ours, theirs = random(5).clone(), random(5).clone().requires_grad_()
    soap = Soap([ours], weight_decay=0.1)
    adam = torch.optim.AdamW([theirs], lr=0.01, betas=(0.95, 0.95), weight_decay=0.1)
    for i in range(30):
        gradient = random(5, seed=i + 1)
        soap.step([gradient], 0.01)
        theirs.grad = gradient.clone()
        adam.step()
    torch.testing.assert_close(ours, theirs.detach())


def run_matrix(gradients, start, learning_rate=0.01):
    parameter = start.clone()
    soap = Soap([parameter], weight_decay=0.0)
    for gradient in gradients:
        soap.step([gradient], learning_rate)
    return parameter


def test_a_rotated_problem_takes_rotated_steps():
    # Adam depends on the axes that parameters are written in; this optimizer does not.
    left = torch.linalg.qr(random(6, 6, seed=1))[0]
    right = torch.linalg.qr(random(6, 6, seed=2))[0]
    spread = torch.logspace(0, -2, 6, dtype=torch.float64)[:, None]
    gradients = [spread * random(6, 6, seed=i) for i in range(50)]
    start = torch.zeros(6, 6, dtype=torch.float64)
    plain = run_matrix(gradients, start)
    rotated = run_matrix([left @ g @ right.T for g in gradients], start)
    torch.testing.assert_close(rotated, left @ plain @ right.T, rtol=1e-6, atol=1e-9)


def test_matrices_of_one_shape_do_not_mix():
    gradients = [random(2, 5, 5, seed=i) for i in range(45)]
    together = [torch.zeros(5, 5, dtype=torch.float64) for _ in range(2)]
    soap = Soap(together, weight_decay=0.0)
    for pair in gradients:
        soap.step(list(pair), 0.01)
    for k, one in enumerate(together):
        alone = run_matrix([pair[k] for pair in gradients], torch.zeros_like(one))
        torch.testing.assert_close(one, alone)


def test_long_sides_keep_their_axes(monkeypatch):
    monkeypatch.setattr(optimizers, "_LONGEST", 4)
    soap = Soap([random(8, 3)], weight_decay=0.0)
    soap.step([random(8, 3, seed=1)], 0.01)
    assert {"axes -1", "mean", "square"} <= set(soap.state["(8, 3)"])
    assert "axes -2" not in soap.state["(8, 3)"]


def test_axes_become_the_eigenvectors_of_the_moment():
    basis = torch.linalg.qr(random(5, 5, seed=3))[0]
    spread = torch.logspace(0, -3, 5, dtype=torch.float64)[:, None]
    soap = Soap([random(5, 5)], weight_decay=0.0)
    for i in range(2000):
        soap.step([basis @ (spread * random(5, 5, seed=i))], 1e-3)
    axes = soap.state["(5, 5)"]["axes -2"][0]
    overlap = (basis.T @ axes).abs()
    assert overlap.diagonal().min() > 0.95


def descend(step, parameter, curvature, n_steps):
    for i in range(n_steps):
        step([curvature @ parameter], 0.02 * (1 - i / n_steps))
    return float((parameter * (curvature @ parameter)).sum())


def test_ill_conditioned_valley():
    basis = torch.linalg.qr(random(20, 20, seed=4))[0]
    curvature = basis * torch.logspace(0, -4, 20, dtype=torch.float64) @ basis.T
    ours, theirs = random(20, 8).clone(), random(20, 8).clone()
    adam = torch.optim.Adam([theirs], betas=(0.95, 0.95))

    def adam_step(gradients, rate):
        adam.param_groups[0]["lr"] = rate
        theirs.grad = gradients[0]
        adam.step()

    by_soap = descend(Soap([ours], 0.0).step, ours, curvature, 400)
    by_adam = descend(adam_step, theirs, curvature, 400)
    assert by_soap < 0.5 * by_adam


@pytest.mark.parametrize("n_before", [1, 20, 33])
def test_state_goes_on_where_it_stopped(n_before):
    gradients = [[random(4, 6, seed=i), random(6, seed=i)] for i in range(60)]
    through = [random(4, 6), random(6)]
    first = [p.clone() for p in through]
    whole, half = Soap(through, 0.1), Soap(first, 0.1)
    for gradient in gradients:
        whole.step(gradient, 0.01)
    for gradient in gradients[:n_before]:
        half.step(gradient, 0.01)
    second = Soap(first, 0.1)
    second.load_state_dict(half.state_dict())
    for gradient in gradients[n_before:]:
        second.step(gradient, 0.01)
    for one, other in zip(through, first, strict=True):
        assert torch.equal(one, other)
