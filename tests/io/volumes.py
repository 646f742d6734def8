"""Images that the tests write."""

import numpy as np
import pytest

nib = pytest.importorskip("nibabel")

AFFINE = np.array(
    [[-2.0, 0, 0, 90], [0, 2.0, 0.1, -126], [0, -0.1, 2.5, -72], [0, 0, 0, 1]]
)
TE = np.array([0.01, 0.03, 0.06, 0.1])
SHAPE = (5, 4, 3)


def write(path, data, affine=AFFINE, **header):
    """Write an image, whose header's fields may be given; return its path."""
    image = nib.Nifti1Image(data, affine)
    for name, value in header.items():
        image.header[name] = value
    image.header.set_xyzt_units("mm", "sec")
    image.to_filename(path)
    return path


def echoes(shape=SHAPE, te=TE):
    """Return T2, M0 and magnitudes (with echoes last) of a volume."""
    rng = np.random.default_rng(0)
    t2, m0 = rng.uniform(0.03, 0.12, shape), rng.uniform(500, 1500, shape)
    return t2, m0, m0[..., None] * np.exp(-te / t2[..., None])
