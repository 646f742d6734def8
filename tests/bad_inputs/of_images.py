"""Rows of voxels of images, and of reports on phantoms."""

import numpy as np

from crbestim.io import Voxels, phantom_report
from crbestim.io._nifti import Space
from tests.bad_inputs.of_measures import NOT_FINITE
from tests.bad_inputs.of_models import NOT_BOOL
from tests.bad_inputs.rows import Row, Subject, constant

SPACE = Space((2, 2, 1), np.eye(4), (0, 2), "mm", "a.nii")
VOXELS = Voxels(np.array([[[True], [False]], [[True], [True]]]), SPACE)
VALUES = np.array([[1.0, 2.0], [3.0, 4.0], [5.0, 7.0]])
ROIS = np.array([1.0, 1.0, 1.0, 2.0, 2.0, 2.0])
T2 = np.array([0.05, 0.06, 0.07, 0.2, 0.21, 0.23])
REFERENCE = {"T2": [0.06, 0.2]}


def reported(lab, T2=T2, rois=ROIS, std=T2 / 10, reference=REFERENCE, **more):
    report = phantom_report({"T2": T2}, rois, reference, std={"T2": std}, **more)
    return np.array([report.table[name] for name in ("mean", "sd", "sd_over_bound")])


SUBJECTS = [
    Subject(
        "Voxels.to_volume",
        lambda lab, values: VOXELS.to_volume(values).astype(complex),
        constant(values=VALUES),
        free={"values": (*NOT_FINITE, "complex", "complex list")},
        more={"values": ("more rows", "no rows")},
    ),
    Subject(
        "phantom_report",
        reported,
        constant(T2=T2, std=T2 / 10),
        # No estimate, and no bound.
        free={"T2": NOT_FINITE, "std": NOT_FINITE},
        bad={
            "reference": ["nist", 3, None, {}, {"T2": ["a"]}, {"T2": [0.0, 1.0]}],
            "rois": {"half": ROIS + 0.5, "negative": -ROIS, "none": 0 * ROIS, "text": "a"},
            "descending": NOT_BOOL,
        },
    ),
]
ROWS: list[Row] = []
