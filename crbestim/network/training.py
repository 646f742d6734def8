"""The training loop, a ladder of small steps: fit, epoch, step, part of a batch."""

import math
from copy import deepcopy
from dataclasses import dataclass, field

import torch
from tqdm.auto import tqdm

from .._deadline import now
from .losses import wrapped_errors
from .optimizers import Soap

_WARM_UP = 0.03
# Rows that one thread takes of a batch. The parts of a batch and the order of their sum
# do not depend on the number of threads, so neither do the weights.
_PART = 512
_BLOCK = 4096
# Regularization of a linear regression on features of unit variance.
_RIDGE = 1e-3
# Share of the highest rate below which a rate has fallen to zero; groups of held-out rows
# whose losses are compared, and standard errors up to which they differ by chance.
_FALLEN, _N_GROUPS, _BY_CHANCE = 0.01, 100, 3.0
# Time of an estimate, as a share of that of a step of training.
_FORWARD = 0.3


@dataclass(frozen=True)
class Settings:
    """Settings of the loop; times in s."""

    max_iter: int
    max_time: float
    batch_size: int
    least_steps: int
    most_steps: float
    learning_rate: float
    schedule: str
    alpha: float
    n_iter_no_change: float
    tol: float
    verbose: bool


@dataclass
class Progress:
    """Where the loop stands: the best weights, and a list of records as history."""

    start: float = field(default_factory=now)
    history: list = field(default_factory=list)
    best_loss: float = math.inf
    best_iter: int = 0
    best_state: dict | None = None
    reference_loss: float = math.nan
    interrupted: bool = False

    @property
    def elapsed(self):
        """Seconds since the start."""
        return now() - self.start


class Course:
    """How much of a run is over: its epochs, the last of which may come closer.

    Parameters
    ----------
    n_epochs : int
        Epochs of the run.
    """

    def __init__(self, n_epochs):
        self.n_epochs = n_epochs
        self._start, self._share = 0.0, 0.0
        self.is_shortened = False

    def fraction(self, epoch):
        """Return how much of the run is over after so many epochs, 0 to 1."""
        done = (epoch - self._start) / (self.n_epochs - self._start)
        return self._share + (1 - self._share) * done

    def shorten(self, epoch, n_left):
        """Let the run end `n_left` epochs from now at the latest, at the same pace to 1."""
        self.is_shortened = True
        if epoch + n_left < self.n_epochs:
            self._share, self._start = self.fraction(epoch), epoch
            self.n_epochs = epoch + n_left


class DivergedError(RuntimeError):
    """The loss is no longer finite."""


class Trainer:
    """Training of a network, with all that epochs have in common.

    Parameters
    ----------
    network : FingerprintNetwork
        Network, which :meth:`fit` trains in place.
    train : Fingerprints
        What to learn from.
    validation : Fingerprints or None
        Data by which the best epoch is chosen.
    loss : crbestim.network.losses.Loss
        The loss.
    weights : Tensor of shape (n_outputs,)
        Weight of each parameter in the loss.
    settings : Settings
        Limits, sizes and rates.
    generator : torch.Generator
        Source of order and noise, on the device of the data.
    parallel_map : callable, default=map
        Map over the parts of a batch, which keeps their order.
    """

    def __init__(
        self,
        network,
        train,
        validation,
        loss,
        weights,
        settings,
        generator,
        parallel_map=map,
    ):
        self.network, self.loss, self.weights = network, loss, weights
        self.train, self.validation = train, validation
        self.settings, self.generator = settings, generator
        self.parameters = list(network.parameters())
        self.optimizer = Soap(self.parameters, settings.alpha)
        self.progress, self.course = Progress(), Course(settings.max_iter)
        self._map = parallel_map

    def fit(self, on_epoch=None):
        """Train until a limit is reached, and return the progress, with its history.

        Where nothing improves, a falling rate runs out within the epochs of patience, and
        a constant one ends training. With validation data, the network ends with the
        weights of the best epoch if it was better than the last by more than chance.
        `on_epoch` is called with each record; if it returns True, training ends. An
        interrupt ends it, too, unless it comes before the end of the first epoch: then it
        is raised.
        """
        settings, progress = self.settings, self.progress
        progress.reference_loss = self._evaluate_references()
        total, is_quiet = settings.max_iter, not settings.verbose
        # A line a second at most, for logs.
        with tqdm(total=total, desc="training", disable=is_quiet, mininterval=1.0) as bar:
            try:
                for epoch in range(settings.max_iter):
                    record = self._epoch(epoch)
                    progress.history.append(record)
                    self._keep_best(record)
                    shown = {k: record[k] for k in ("loss", "validation_loss")}
                    shown = {k: f"{value:.4g}" for k, value in shown.items()}
                    bar.set_postfix(shown, refresh=False)
                    bar.update()
                    if self._is_done(on_epoch is not None and on_epoch(record)):
                        break
            except KeyboardInterrupt:
                if not progress.history:
                    raise
                progress.interrupted = True
        if progress.best_state is not None and not self._ends_best():
            self.network.load_state_dict(progress.best_state)
        self._check_finite(sum(p.detach().sum() for p in self.parameters), "sum of weights")
        return progress

    def _epoch(self, epoch):
        """Go through the training data in random order; return a record.

        Few data are gone through several times, for the least number of steps, and of many
        a part, for the greatest.
        """
        settings, n = self.settings, len(self.train)
        # The batch size counts all noise realizations of a fingerprint.
        size = max(1, settings.batch_size // self.loss.n_realizations)
        n_passes = math.ceil(settings.least_steps / math.ceil(n / size))
        options = dict(generator=self.generator, device=self.train.signals.device)
        batches = [
            rows
            for _ in range(n_passes)
            for rows in torch.randperm(n, **options).split(size)
        ]
        batches = batches[: int(min(settings.most_steps, len(batches)))]
        total, seen, start = 0.0, 0, self.progress.elapsed
        for i, rows in enumerate(batches):
            fraction = self.course.fraction(epoch + i / len(batches))
            fraction = max(fraction, self.progress.elapsed / settings.max_time)
            rate = settings.learning_rate * learning_rate_factor(
                min(fraction, 1.0), settings.schedule
            )
            total = total + self.step(rows, rate) * len(rows)
            seen += len(rows)
            elapsed = self.progress.elapsed
            n_validated = 0 if self.validation is None else len(self.validation)
            validating = _FORWARD * (elapsed - start) / seen * n_validated
            if elapsed + validating > settings.max_time:
                break
        return {
            "epoch": epoch + 1,
            "loss": self._check_finite(total / seen, "training loss"),
            "validation_loss": self.evaluate(),
            "learning_rate": rate,
            "time": self.progress.elapsed,
        }

    def step(self, rows, learning_rate):
        """Take one step of the optimizer; return the loss before it."""
        batch = self._batch(self.train, rows, self.generator)
        count = self._count(batch).clamp(min=1e-30)
        results = self._map(self._loss_and_gradients, self._parts(batch))
        losses, gradients = zip(*results, strict=True)
        gradients = [sum(terms) / count for terms in zip(*gradients, strict=True)]
        # Clipped: early on, hard samples have errors of hundreds of standard deviations.
        norm = torch.stack([g.square().sum() for g in gradients]).sum().sqrt()
        self._check_finite(norm, "norm of the gradient")
        shrink = 1 / norm.clamp(min=1.0)
        self.optimizer.step([g * shrink for g in gradients], learning_rate)
        return sum(losses) / count

    def _loss_and_gradients(self, part):
        """Return loss and gradients of a part of a batch, as sums over its rows."""
        # Whether torch tracks gradients is a setting of each thread.
        with torch.enable_grad():
            loss = self._loss(part)
            return loss.detach(), torch.autograd.grad(loss, self.parameters)

    def _loss(self, part, estimate=None):
        """Return the loss of a part of a batch, as a sum over its rows."""
        features, targets, precision = part[:3]
        estimate = self.network if estimate is None else estimate
        errors = wrapped_errors(estimate(features), targets, self.network.periods)
        return self.loss.total(errors * precision.sqrt(), self._weights(part))

    def _batch(self, data, rows, generator):
        """Return a batch; if rows have weights, with these times those of parameters."""
        n_realizations = self.loss.n_realizations
        batch = data.batch(rows, generator, n_realizations)
        if data.weights is None:
            return batch
        weights = data.weights[rows].repeat_interleave(n_realizations)
        return *batch, weights[:, None] * self.weights

    def _weights(self, batch):
        return batch[3] if len(batch) == 4 else self.weights

    def _count(self, batch):
        """Return what the sum over a batch is divided by."""
        return self.loss.count(batch[2], self._weights(batch))

    def evaluate(self, estimate=None):
        """Return the loss on validation data, NaN if none of them count.

        Clean data get the same noise at each call. `estimate` maps features to scaled
        parameters; by default the network does.
        """
        total, count = 0.0, 0.0

        def loss_of(part):
            with torch.no_grad():
                return self._loss(part, estimate)

        for batch in self._validation_batches():
            total += sum(self._map(loss_of, self._parts(batch)))
            count += self._count(batch)
        return float(total / count) if count > 0 else math.nan

    def _validation_batches(self):
        """Yield the validation data in blocks, clean ones with the same noise each time."""
        if self.validation is None:
            return
        device = self.validation.signals.device
        generator = torch.Generator(device).manual_seed(0)
        for rows in torch.arange(len(self.validation), device=device).split(_BLOCK):
            yield self._batch(self.validation, rows, generator)

    def _ends_best(self):
        """Return whether the last weights do no worse than the best ones, but for chance.

        The lowest of a hundred losses of few rows is often that of an early epoch, whose
        network does worse on all others. If noise is fresh, which leaves little to learn by
        heart, and the rate has fallen to zero, the best weights must be better by more than
        three times the standard error of the difference.
        """
        rate = self.progress.history[-1]["learning_rate"]
        if self.train.snr is None or rate > _FALLEN * self.settings.learning_rate:
            return False
        best = deepcopy(self.network)
        best.load_state_dict(self.progress.best_state)
        excess = self._losses_of_groups(self.network) - self._losses_of_groups(best)
        error = excess.std(correction=0) / len(excess) ** 0.5
        return bool(excess.mean() <= _BY_CHANCE * error)

    def _losses_of_groups(self, estimate):
        """Return the losses of groups of validation data, as sums over their rows."""
        size = math.ceil(len(self.validation) / _N_GROUPS) * self.loss.n_realizations
        with torch.no_grad():
            losses = [
                self._loss(group, estimate)
                for batch in self._validation_batches()
                for group in zip(*(part.split(size) for part in batch), strict=True)
            ]
        return torch.stack(losses)

    def _evaluate_references(self):
        """Return the loss of the better of two plain estimates, on validation data.

        They are the mean of the targets, and their linear regression on whitened features.
        """
        if self.validation is None:
            return math.nan
        device = self.train.signals.device
        rows = torch.linspace(0, len(self.train) - 1, min(len(self.train), _BLOCK))
        generator = torch.Generator(device).manual_seed(0)
        batch = self.train.batch(rows.round().long().to(device), generator)
        features, targets = batch[0], batch[1].double()

        def columns(features):
            white = (features - self.network.mean) @ self.network.whitening
            return torch.nn.functional.pad(white.double(), (0, 1), value=1.0)

        x, mean = columns(features), targets.mean(dim=0)
        ridge = _RIDGE * len(x) * torch.eye(x.shape[1], dtype=x.dtype, device=device)
        slopes = torch.linalg.solve(x.mT @ x + ridge, x.mT @ targets)
        return min(
            self.evaluate(lambda features: mean.expand(len(features), -1).to(features)),
            self.evaluate(lambda features: (columns(features) @ slopes).to(features)),
        )

    def _parts(self, batch):
        """Parts of a batch: whole groups of noise realizations; one part on a GPU."""
        n = self.loss.n_realizations
        size = len(batch[0]) if batch[0].is_cuda else max(1, _PART // n) * n
        return zip(*(tensor.split(size) for tensor in batch), strict=True)

    def _keep_best(self, record):
        loss, progress = record["validation_loss"], self.progress
        if math.isnan(loss):
            return
        if loss < progress.best_loss - self.settings.tol or progress.best_state is None:
            progress.best_iter = record["epoch"]
        if loss < progress.best_loss or progress.best_state is None:
            progress.best_loss = loss
            progress.best_state = deepcopy(self.network.state_dict())

    def _is_done(self, is_told_to_stop):
        progress, settings, course = self.progress, self.settings, self.course
        n, patience = len(progress.history), settings.n_iter_no_change
        is_stuck = self.validation is not None and n - progress.best_iter >= patience
        # What a high rate no longer improves, a falling one does.
        if is_stuck and settings.schedule == "cosine":
            is_stuck = False
            if not course.is_shortened:
                course.shorten(n, patience)
        is_over = progress.elapsed > settings.max_time or n >= course.n_epochs
        return is_told_to_stop or is_stuck or is_over

    def _check_finite(self, value, name):
        value = float(value)
        if not math.isfinite(value):
            raise DivergedError(
                f"the {name} is {value} after {len(self.progress.history)} whole epochs; "
                f"lower learning_rate_init ({self.settings.learning_rate:g}), or look for "
                "outliers in X and crb."
            )
        return value


def learning_rate_factor(fraction, schedule):
    """Learning rate over the run, in units of its highest value.

    Parameters
    ----------
    fraction : float
        How much of the run is over, 0 to 1.
    schedule : {"cosine", "constant"}
        A short linear rise, then half a cosine to zero; or no change.

    Returns
    -------
    float
        The factor.
    """
    if schedule == "constant":
        return 1.0
    if fraction < _WARM_UP:
        return 0.01 + 0.99 * fraction / _WARM_UP
    return 0.5 * (1 + math.cos(math.pi * (fraction - _WARM_UP) / (1 - _WARM_UP)))
