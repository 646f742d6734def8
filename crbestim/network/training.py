"""The training loop, a ladder of small steps: fit, epoch, batch, step."""

import math
import time
from copy import deepcopy
from dataclasses import dataclass, field

import torch
from tqdm.auto import tqdm

from .losses import weighted_loss
from .modules import align

_WARM_UP = 0.03
_BLOCK = 4096


@dataclass(frozen=True)
class Settings:
    """What the loop needs to know; times in s."""

    max_iter: int
    max_time: float
    batch_size: int
    learning_rate: float
    alpha: float
    n_iter_no_change: float
    tol: float
    threshold: float
    verbose: bool


@dataclass(frozen=True)
class Fingerprints:
    """Signals with targets, and how much noise they get.

    Parameters
    ----------
    signals : Tensor of shape (n_samples, n_features)
        Signals, complex or real: measured ones, or clean ones for M0 = 1.
    targets, precision : Tensor of shape (n_samples, n_outputs)
        Scaled parameters and inverse variances of their errors: for measured signals as
        they are, for clean ones at unit noise, if `scale_precision`.
    reference : Tensor of shape (n_features,)
        Phase reference of complex signals.
    snr : Tensor of shape (n_snr,), default=None
        Signal-to-noise ratios from which clean signals draw; None for measured ones. Two
        numbers are the ends of a range, more are a set.
    scale_precision : bool, default=False
        Whether the precision grows with the squared signal-to-noise ratio.
    """

    signals: torch.Tensor
    targets: torch.Tensor
    precision: torch.Tensor
    reference: torch.Tensor
    snr: torch.Tensor | None = None
    scale_precision: bool = False

    def __len__(self):
        return len(self.signals)

    def batch(self, rows, generator):
        """Features, targets and precision of some rows, with fresh noise if clean.

        A fresh phase would have no effect: alignment takes it out again.
        """
        x, precision = self.signals[rows], self.precision[rows]
        if self.snr is not None:
            snr = self._draw_snr(len(rows), generator)
            x = (
                x + torch.view_as_complex(_normal(x, generator, 2)) / snr[:, None]
                if (x.is_complex())
                else x + _normal(x, generator, 1)[..., 0] / snr[:, None]
            )
            if self.scale_precision:
                precision = precision * snr[:, None] ** 2
        return align(x, self.reference), self.targets[rows], precision

    def _draw_snr(self, n, generator):
        options = dict(generator=generator, device=self.snr.device)
        if len(self.snr) == 2:
            low, high = self.snr
            return low + (high - low) * torch.rand(n, **options)
        return self.snr[torch.randint(len(self.snr), (n,), **options)]


def _normal(x, generator, n_channels):
    shape = (*x.shape, n_channels)
    return torch.randn(shape, generator=generator, device=x.device, dtype=x.real.dtype)


@dataclass
class Progress:
    """Where the loop stands: the best weights, and a list of records as history."""

    start: float = field(default_factory=time.perf_counter)
    history: list = field(default_factory=list)
    best_loss: float = math.inf
    best_iter: int = 0
    best_state: dict = None
    interrupted: bool = False

    @property
    def elapsed(self):
        """Seconds since the start."""
        return time.perf_counter() - self.start


class DivergedError(RuntimeError):
    """The loss is not finite any more."""


def fit(network, train, validation, periods, settings, generator):
    """Train a network in place and return the progress, with its history.

    With validation data the network ends with the weights of the best epoch, without
    with those of the last.
    """
    optimizer = torch.optim.AdamW(
        network.parameters(), lr=settings.learning_rate, weight_decay=settings.alpha
    )
    progress = Progress()
    bar = tqdm(total=settings.max_iter, desc="training", disable=not settings.verbose)
    with bar:
        try:
            for epoch in range(settings.max_iter):
                record = run_epoch(
                    network,
                    optimizer,
                    train,
                    periods,
                    settings,
                    generator,
                    epoch,
                    progress,
                )
                record["validation_loss"] = evaluate(
                    network, validation, periods, settings.threshold
                )
                progress.history.append(record)
                _keep_best(network, progress, record, settings)
                bar.update()
                bar.set_postfix(
                    loss=f"{record['loss']:.4g}",
                    validation=f"{record['validation_loss']:.4g}",
                )
                if _is_done(progress, settings):
                    break
        except KeyboardInterrupt:
            progress.interrupted = True
    if progress.best_state is not None:
        network.load_state_dict(progress.best_state)
    return progress


def run_epoch(network, optimizer, train, periods, settings, generator, epoch, progress):
    """Go once through the training data in random order; return a record."""
    network.train()
    order = torch.randperm(len(train), generator=generator, device=train.signals.device)
    batches = order.split(settings.batch_size)
    total = 0.0
    for i, rows in enumerate(batches):
        fraction = (epoch + i / len(batches)) / settings.max_iter
        fraction = max(fraction, progress.elapsed / settings.max_time)
        rate = settings.learning_rate * learning_rate_factor(min(fraction, 1.0))
        for group in optimizer.param_groups:
            group["lr"] = rate
        batch = train.batch(rows, generator)
        loss = step(network, optimizer, batch, periods, settings.threshold)
        total += loss * len(rows)
    loss = total / len(train)
    if not math.isfinite(loss):
        raise DivergedError(
            f"the training loss is {loss} in epoch {epoch + 1}; lower learning_rate_init "
            f"({settings.learning_rate:g}), or look for outliers in X and crb."
        )
    return {
        "epoch": epoch + 1,
        "loss": loss,
        "learning_rate": rate,
        "time": progress.elapsed,
    }


def learning_rate_factor(fraction):
    """Learning rate over the run: a short linear rise, then half a cosine to zero."""
    if fraction < _WARM_UP:
        return 0.01 + 0.99 * fraction / _WARM_UP
    return 0.5 * (1 + math.cos(math.pi * (fraction - _WARM_UP) / (1 - _WARM_UP)))


def step(network, optimizer, batch, periods, threshold):
    """Take one step of the optimizer; return the loss before it."""
    features, targets, precision = batch
    loss = weighted_loss(network(features), targets, precision, periods, threshold)
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    # Hard samples have errors of hundreds of standard deviations early on.
    torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
    optimizer.step()
    return float(loss.detach())


@torch.no_grad()
def evaluate(network, data, periods, threshold=math.inf):
    """Return the loss on data as they are, NaN if there are none."""
    if data is None:
        return math.nan
    network.eval()
    total, count = 0.0, 0
    for first in range(0, len(data), _BLOCK):
        rows = torch.arange(first, min(first + _BLOCK, len(data)))
        features, targets, precision = data.batch(rows.to(data.signals.device), None)
        n_known = int((precision > 0).sum())
        loss = weighted_loss(network(features), targets, precision, periods, threshold)
        total, count = total + float(loss) * n_known, count + n_known
    return total / max(count, 1)


def _keep_best(network, progress, record, settings):
    loss = record["validation_loss"]
    if math.isnan(loss):
        return
    if loss < progress.best_loss - settings.tol or progress.best_state is None:
        progress.best_iter = record["epoch"]
    if loss < progress.best_loss:
        progress.best_loss = loss
        progress.best_state = deepcopy(network.state_dict())


def _is_done(progress, settings):
    if progress.elapsed > settings.max_time:
        return True
    if progress.best_state is None:
        return False
    return len(progress.history) - progress.best_iter >= settings.n_iter_no_change
