"""The default network compared with that of Zhang et al., and with plain torch.

    python benchmarks/reference_network.py --sequence FILE --basis FILE --minutes 10

Both networks learn from the same fingerprints for the same wall time, simulation included,
once for signal-to-noise ratios of 20 to 100 and once for 50 to 400. Printed are, for each
parameter, the CRB loss, the median of error^2/CRB over that of a chi-square variable, the
share of errors beyond five standard deviations, and bias^2/CRB; the coverage of intervals
of one and two standard deviations, and the share of sound voxels that are flagged; then the
voxels per second that each network estimates on one thread, and how the training loop
compares with a bare one. ``--limit N`` first prints the least loss that any estimator can
have, over N of the fingerprints at a signal-to-noise ratio of 100.

The reference network (Zhang et al., MRM 2022, doi 10.1002/mrm.29206) has fully connected
layers of 128 to 1024 features, batch normalization and skip connections. It has the inputs,
outputs, noise and loss of ours, and Adam with the same schedule.
"""

import argparse
import time
import warnings
from pathlib import Path
from statistics import median

import numpy as np
import torch
from torch import nn

from crbestim import CRBRegressor
from crbestim.datasets import make_fingerprints
from crbestim.estimators._scores import assumed_noise
from crbestim.estimators._training_data import TrainingData, batches_of
from crbestim.exceptions import SingularInformationWarning
from crbestim.metrics import bayes_risk, bias_variance, wrapped_error
from crbestim.models import MagnetizationTransfer
from crbestim.network.arrays import unit_amplitude
from crbestim.network.losses import CRBLoss, wrapped_errors
from crbestim.network.modules import FingerprintNetwork, align, whitening_of
from crbestim.network.optimizers import Soap
from crbestim.network.training import learning_rate_factor
from crbestim.noise import add_noise
from crbestim.sequences import HybridStateSequence

RANGES = [(20.0, 100.0), (50.0, 400.0)]
WIDTHS = (128, 256, 512, 1024, 768, 640, 512, 384, 256, 192, 128)
N_TEST, N_CALIBRATION, N_REALIZATIONS = 20_000, 4000, 8
REPEATS = 5


class ReferenceNetwork(FingerprintNetwork):
    """The paper's trunk between our whitening and our outputs."""

    def __init__(self, n_inputs, periods):
        super().__init__(n_inputs, WIDTHS, periods, "relu")
        self.normalizations = nn.ModuleList(nn.BatchNorm1d(width) for width in WIDTHS)

    def trunk(self, x):
        """Add earlier features of the same number after layers 7, 9 and 11."""
        earlier = {}
        for layer, normalize in zip(self.hidden, self.normalizations, strict=True):
            x = self.activation(normalize(layer(x)))
            x = x + earlier.get(x.shape[1], 0)
            earlier[x.shape[1]] = x
        return x


def bare_loop(network, data, *, seconds, batch_size, optimizer):
    """Train in plain torch; return the number of fingerprints seen."""
    loss, parameters = CRBLoss(2.0), list(network.parameters())
    weights = torch.ones(len(network.periods))
    adam = torch.optim.AdamW(parameters, lr=1e-3, weight_decay=1e-4, fused=True)
    soap = Soap(parameters, 1e-4)
    generator, seen, start = torch.Generator().manual_seed(0), 0, time.perf_counter()
    while (fraction := (time.perf_counter() - start) / seconds) < 1:
        factor = learning_rate_factor(fraction, "cosine")
        for rows in torch.randperm(len(data), generator=generator).split(batch_size)[:50]:
            features, targets, precision = data.batch(rows, generator)
            errors = wrapped_errors(network(features), targets, network.periods)
            total = loss.total(errors * precision.sqrt(), weights)
            adam.zero_grad(set_to_none=True)
            (total / loss.count(precision, weights)).backward()
            nn.utils.clip_grad_norm_(parameters, 1.0)
            if optimizer == "adam":
                adam.param_groups[0]["lr"] = 1e-3 * factor
                adam.step()
            else:
                soap.step([p.grad for p in parameters], 5e-3 * factor)
            seen += len(rows)
    return seen


def batch_size_of(ours, n_samples):
    """Return how many of so many fingerprints our network sees in a step."""
    # The number of bits that each tells sets the steps of an epoch, not their size.
    return batches_of(ours.batch_size, n_samples, True, np.zeros(1))["batch_size"]


class TrainedReference:
    """The reference network with the interface of an estimator."""

    def __init__(self, ours, X, y, crb):
        """Take scales, phase reference and training data from a fitted estimator."""
        self.ours = ours
        network = ours.network_
        recipe = TrainingData(
            network, CRBLoss(2.0), ours.target_variance_, assumed_noise(ours), ours.snr
        )
        self.data = network._fingerprints(recipe.simulated(ours.model, y, crb, None), "cpu")
        signals = torch.as_tensor(unit_amplitude(X))
        features = align(signals, torch.as_tensor(network.reference))
        periods = network.periods / network.scale
        self.network = ReferenceNetwork(features.shape[1], periods)
        self.network.initialize(torch.Generator().manual_seed(0))
        self.network.set_inputs(*whitening_of(features.double()))

    def fit(self, seconds, n_threads):
        """Train for some time."""
        torch.set_num_threads(n_threads)
        self.network.train()
        options = dict(seconds=seconds, batch_size=1024, optimizer="adam")
        self.seen = bare_loop(self.network, self.data, **options)
        self.network.eval()
        torch.set_num_threads(1)

    @torch.no_grad()
    def predict(self, X):
        """Estimate parameters."""
        reference = torch.as_tensor(self.ours.network_.reference).to(torch.complex64)
        scaled = [
            self.network(align(torch.as_tensor(rows).to(torch.complex64), reference))
            for rows in np.array_split(unit_amplitude(X), max(1, len(X) // 1024))
        ]
        network = self.ours.network_
        y = network.offset + network.scale * torch.cat(scaled).numpy()
        return np.clip(y, *self.ours.model.bounds.T)


def print_quality(name, estimator, model, theta, snr):
    """Print losses, medians, outliers and bias at a signal-to-noise ratio."""
    quality = bias_variance(
        estimator, model, theta, snr, N_REALIZATIONS, random_state=int(snr)
    )
    columns = "".join(f"{n:>9}" for n in model.parameter_names)
    print(f"  {name}, SNR {snr:g}: {columns}   mean of the first three")
    for label, values in (
        ("CRB loss", quality.loss),
        ("median ratio", quality.median_ratio),
        ("beyond 5 sd, %", 100 * quality.outlier_share),
        ("bias^2 / CRB", quality.bias_ratio),
        ("variance / CRB", quality.variance_ratio),
    ):
        numbers = "".join(f"{v:9.3f}" for v in values)
        print(f"    {label:18}{numbers}   {np.mean(values[:3]):.3f}", flush=True)


def prediction_rate(estimator, X):
    """Voxels per second, the median of several runs on one thread."""
    torch.set_num_threads(1)
    if isinstance(estimator, CRBRegressor):
        estimator.set_params(n_jobs=None)
    times = []
    for _ in range(REPEATS):
        start = time.process_time()
        estimator.predict(X)
        times.append(time.process_time() - start)
    return len(X) / median(times)


def print_limit(model, theta, snr):
    """Print the loss of the best possible estimator at a signal-to-noise ratio."""
    limit = bayes_risk(model, theta, snr, random_state=0)
    print(f"  limit, SNR {snr:g}, {len(theta)} fingerprints, {limit.n_left_out} left out")
    for label in ("risk", "standard_error", "expected"):
        numbers = "".join(f"{v:9.3f}" for v in getattr(limit, label))
        print(f"    {label:18}{numbers}", flush=True)


def print_calibration(estimator, model, theta, snr):
    """Print coverage of intervals, and false alarms in tissue and in fluid."""
    clean, rng = model.signal(theta[:N_CALIBRATION]), np.random.default_rng(int(snr))
    X, y = add_noise(clean, snr, rng), theta[:N_CALIBRATION]
    estimate, std = estimator.predict(X, return_std=True)
    ratio = np.abs(wrapped_error(y, estimate, model.periods)) / std
    print(f"  ours, SNR {snr:g}, {len(y)} fingerprints")
    for width in (1.0, 1.96):
        shares = "".join(f"{v:9.1f}" for v in 100 * (ratio < width).mean(axis=0))
        print(f"    within {width:4} sd, % {shares}")
    r2f = y[:, model.parameter_names.index("R2f")]
    for rate in (1e-2, 1e-3):
        flag = estimator.residual(X, false_alarm_rate=rate).flag
        tissue, fluid = (100 * flag[rows].mean() for rows in (r2f > 2, r2f <= 2))
        print(f"    flagged for {rate:.1%}: tissue {tissue:.2f} %, fluid {fluid:.1f} %")


def compare(model, snr, theta, arguments):
    """Train both networks for one range, and print their performance."""
    budget, start = 60 * arguments.minutes, time.perf_counter()
    X, y, crb = make_fingerprints(
        model, arguments.samples, snr=snr, return_crb=True, random_state=1
    )
    simulation = time.perf_counter() - start
    options = dict(snr=snr, random_state=0, n_jobs=arguments.threads)
    ours = CRBRegressor(model, max_time=budget - simulation, **options)
    ours.set_params(max_iter=10_000, n_iter_no_change=10_000).fit(X, y, crb=crb)
    total = time.perf_counter() - start
    print(
        f"\nSNR {snr[0]:g} to {snr[1]:g}, {len(X)} fingerprints, ours: {total:.0f} s in all"
    )
    seen = batch_size_of(ours, len(X)) * ours.optimizer_["n_steps"]
    print(f"  {simulation:.0f} s to simulate, {ours.n_iter_} epochs, about {seen:.3g} seen")
    reference = TrainedReference(ours, X, y, crb)
    reference.fit(ours.history_[-1]["time"], arguments.threads)
    print(f"  the reference saw {reference.seen:.3g} in {ours.history_[-1]['time']:.0f} s")
    for snr_here in sorted({100.0, snr[1]}):
        for name, estimator in (("ours", ours), ("reference", reference)):
            print_quality(name, estimator, model, theta, snr_here)
    for snr_here in (50.0, 100.0, 400.0):
        if snr[0] <= snr_here <= snr[1]:
            print_calibration(ours, model, theta, snr_here)
    return ours, reference, X


def print_throughput(ours, reference, seconds=8):
    """Print training samples per second: our loop, and bare loops around the network."""
    torch.set_num_threads(1)
    data = reference.data
    rates = {"ours": [], "bare, same optimizer": [], "bare, Adam": []}
    batch_size = batch_size_of(ours, len(data))
    X, y, _ = make_fingerprints(ours.model, 10_240, return_crb=True, random_state=2)
    for _ in range(REPEATS):
        fresh = CRBRegressor(ours.model, snr=ours.snr, batch_size=batch_size)
        fresh.set_params(max_time=seconds, max_iter=1000, early_stopping=False)
        fresh.fit(X, y)
        seen = batch_size * fresh.optimizer_["n_steps"]
        rates["ours"].append(seen / fresh.history_[-1]["time"])
        for name, optimizer in (("same optimizer", "soap"), ("Adam", "adam")):
            network = fresh.network_._load(fresh.weights_)
            options = dict(seconds=seconds, batch_size=batch_size, optimizer=optimizer)
            seen = bare_loop(network, data, **options)
            rates[f"bare, {name}"].append(seen / seconds)
    print(f"\nTraining on one thread, batches of {batch_size}, samples/s")
    for name, values in rates.items():
        ratio = median(rates["ours"]) / median(values)
        print(f"  {name:24}{median(values):9.0f}   ours is {ratio:.2f} times as fast")


def main():
    parser = argparse.ArgumentParser(description="Networks compared with references.")
    parser.add_argument("--sequence", type=Path, required=True, help="alpha, trf, tr")
    parser.add_argument("--basis", type=Path, required=True, help="npz with a basis")
    parser.add_argument("--minutes", type=float, default=10.0, help="for each network")
    parser.add_argument("--samples", type=int, default=200_000, help="fingerprints")
    parser.add_argument("--threads", type=int, default=2, help="of each training")
    parser.add_argument(
        "--snr", nargs=2, type=float, action="append", help="range to train for"
    )
    parser.add_argument("--limit", type=int, default=0, metavar="N")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore", SingularInformationWarning)
    full = MagnetizationTransfer(HybridStateSequence.from_file(arguments.sequence))
    with np.load(arguments.basis) as file:
        model = full.compress(file["basis"])
    _, theta = make_fingerprints(model, N_TEST, random_state=99)
    if arguments.limit:
        print_limit(model, theta[: arguments.limit], 100.0)
    for snr in arguments.snr or RANGES:
        ours, reference, X = compare(model, tuple(snr), theta, arguments)
    print("\nEstimates on one thread, voxels/s of CPU time")
    for name, estimator in (("ours", ours), ("reference", reference)):
        print(f"  {name:12}{prediction_rate(estimator, X[:100_000]):9.0f}", flush=True)
    print_throughput(ours, reference)


if __name__ == "__main__":
    main()
