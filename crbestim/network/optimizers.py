"""The optimizer: Adam in the eigenbasis of the gradient's own second moments."""

import math

import torch

_MOMENTUM = 0.95
_EPSILON = 1e-8
# Steps between updates of the second moments, and of their eigenvectors.
_LEARN_EVERY, _TURN_EVERY = 2, 20
# Longer sides of a matrix are not rotated: a decomposition would cost too much.
_LONGEST = 1024


class Soap:
    """Adam in a slowly turning eigenbasis (SOAP; Vyas et al., arXiv 2409.11321).

    The gradient G of a matrix has second moments mean(G G') and mean(G' G), whose
    eigenvectors are the axes along which the loss is steep or flat. Adam runs on the
    gradient rotated to these axes, where its components hardly mix.

    1. Running means of the moments, every second step.
    2. Rotate the gradient, take Adam's step in the rotated frame, rotate it back.
    3. Every twentieth step, one power iteration and a QR decomposition refresh the axes,
       and Adam's moments move to the new ones.

    Matrices of one shape are stacked and updated together. Vectors get plain Adam.

    Parameters
    ----------
    parameters : iterable of Tensor
        Parameters that :meth:`step` changes in place.
    weight_decay : float
        Share of a parameter, per unit of the learning rate, that a step subtracts.

    Attributes
    ----------
    state : dict of dict of Tensor
        Moments and axes by the shape of the parameters, as text.
    n_steps : int
        Number of steps taken.
    """

    def __init__(self, parameters, weight_decay):
        self.parameters = list(parameters)
        self.weight_decay = weight_decay
        self.n_steps = 0
        self.state = {}
        self._groups = {}
        for i, parameter in enumerate(self.parameters):
            self._groups.setdefault(str(tuple(parameter.shape)), []).append(i)

    @torch.no_grad()
    def step(self, gradients, learning_rate):
        """Change the parameters along gradients, given in the order of `parameters`."""
        self.n_steps += 1
        for shape, members in self._groups.items():
            gradient = torch.stack([gradients[i] for i in members])
            update = self._update(gradient, self.state.setdefault(shape, {}))
            for i, one in zip(members, update, strict=True):
                self.parameters[i].mul_(1 - learning_rate * self.weight_decay)
                self.parameters[i].sub_(one, alpha=learning_rate)

    def state_dict(self):
        """Return the state as a flat dict of tensors, with the number of steps."""
        named = {"n_steps": torch.tensor(self.n_steps)}
        for shape, state in self.state.items():
            named |= {f"{shape} {name}": tensor for name, tensor in state.items()}
        return named

    def load_state_dict(self, named):
        """Restore a state that `state_dict` returned."""
        self.n_steps = int(named["n_steps"])
        for shape, members in self._groups.items():
            parameter, prefix = self.parameters[members[0]], f"{shape} "
            self.state[shape] = {
                name.removeprefix(prefix): tensor.to(parameter, copy=True)
                for name, tensor in named.items()
                if name.startswith(prefix)
            }

    def _update(self, gradient, state):
        sides = [] if gradient.ndim < 3 else _SIDES
        sides = [side for side in sides if gradient.shape[side.axis] <= _LONGEST]
        for side in sides:
            side.learn(gradient, state, self.n_steps)
            gradient = side.rotate(gradient, state)
        update = _adam(gradient, state, self.n_steps)
        for side in sides:
            update = side.rotate_back(update, state)
            if self.n_steps % _TURN_EVERY == 0:
                side.turn(state)
        return update


class _Side:
    """Rows (axis -2) or columns (axis -1) of a matrix: their moments and axes."""

    def __init__(self, axis):
        self.axis = axis
        self.moment, self.vectors = f"moment {axis}", f"axes {axis}"

    def _facing(self, matrix):
        return matrix if self.axis == -2 else matrix.mT

    def learn(self, gradient, state, n_steps):
        """Update the running second moment."""
        facing = self._facing(gradient)
        if self.moment not in state:
            state[self.moment] = facing @ facing.mT
            state[self.vectors] = torch.linalg.eigh(state[self.moment])[1]
        elif n_steps % _LEARN_EVERY == 0:
            state[self.moment].lerp_(facing @ facing.mT, 1 - _MOMENTUM**_LEARN_EVERY)

    def rotate(self, matrix, state):
        """Rotate a matrix to the axes."""
        return self._facing(state[self.vectors].mT @ self._facing(matrix))

    def rotate_back(self, matrix, state):
        """Undo `rotate`."""
        return self._facing(state[self.vectors] @ self._facing(matrix))

    def turn(self, state):
        """Refresh the axes by one power iteration; move Adam's moments to them."""
        old, image = state[self.vectors], state[self.moment] @ state[self.vectors]
        order = (old * image).sum(dim=-2).argsort(dim=-1, descending=True)
        image = torch.take_along_dim(image, order[..., None, :], dim=-1)
        state[self.vectors] = new = torch.linalg.qr(image)[0]
        mean, square = self._facing(state["mean"]), self._facing(state["square"])
        state["mean"] = self._facing(new.mT @ (old @ mean)).contiguous()
        # Squares cannot be rotated; they follow the order of the axes.
        square = torch.take_along_dim(square, order[..., :, None], dim=-2)
        state["square"] = self._facing(square).contiguous()


_SIDES = [_Side(-2), _Side(-1)]


def _adam(gradient, state, n_steps):
    """Adam's step (Kingma and Ba, arXiv 1412.6980), with one decay for both moments."""
    if "mean" not in state:
        state["mean"] = torch.zeros_like(gradient)
        state["square"] = torch.zeros_like(gradient)
    state["mean"].lerp_(gradient, 1 - _MOMENTUM)
    state["square"].lerp_(gradient.square(), 1 - _MOMENTUM)
    # Both moments start at zero and need the same correction.
    correction = math.sqrt(1 - _MOMENTUM**n_steps)
    return state["mean"] / (correction * (state["square"].sqrt() + correction * _EPSILON))
