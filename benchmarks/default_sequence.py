"""Precision of the library's own sequence compared with others, at SNR 50.

Prints the median of sqrt(CRB)/value per parameter over draws of the brain distribution
(for omega0 sqrt(CRB) in rad/s):

    python benchmarks/default_sequence.py other_sequence.npz
"""

import sys

import numpy as np

from crbestim.bounds import cramer_rao_bound
from crbestim.datasets.distributions import draw_parameters
from crbestim.models import MagnetizationTransfer
from crbestim.sequences import HybridStateSequence

SNR, N_DRAWS, LEAST_M0S = 50, 300, 0.03


def relative_precision(sequence, joint_r1):
    """Return the median of sqrt(CRB)/value by parameter name."""
    model = MagnetizationTransfer(sequence, joint_r1=joint_r1)
    theta = draw_parameters(model, N_DRAWS, np.random.default_rng(0))
    theta = theta[theta[:, 0] > LEAST_M0S]  # errors relative to zero mean nothing
    std = np.sqrt(cramer_rao_bound(model, theta, noise_std=1 / SNR))
    frequency = np.array(model.parameter_names) == "omega0"
    ratio = np.median(std / np.where(frequency, 1.0, theta), axis=0)
    return dict(zip(model.parameter_names, ratio, strict=True))


def main():
    sequences = {"default": HybridStateSequence.default()}
    for path in sys.argv[1:]:
        sequences[path] = HybridStateSequence.from_file(path)
    for joint_r1 in (True, False):
        print(f"\nsqrt(CRB)/value at SNR {SNR}, {'joint' if joint_r1 else 'separate'} R1")
        columns = {k: relative_precision(v, joint_r1) for k, v in sequences.items()}
        for name in columns["default"]:
            values = [column[name] for column in columns.values()]
            ratios = "".join(f"  ratio {values[0] / v:.2f}" for v in values[1:])
            print(f"{name:8}" + "".join(f"{v:10.4f}" for v in values) + ratios)


if __name__ == "__main__":
    main()
