import numpy as np
import pytest

from crbestim.exceptions import ImageFileError
from crbestim.io._transmit_field import nominal_of


@pytest.mark.parametrize(
    ("median", "flip_angle", "nominal"),
    [
        (0.9, None, 1),
        (1.2, 60, 1),
        (95, None, 100),
        (55, 60, 60),
        (61, 60, 60),
        (90, 8, 100),
    ],
)
def test_units_that_values_tell(median, flip_angle, nominal):
    values = median * np.array([0.9, 1.0, 1.1, 0.0, np.nan])
    if nominal == 1:
        assert nominal_of(values, "b1.nii", flip_angle=flip_angle) == 1
    else:
        with pytest.warns(
            UserWarning, match=f"b1.nii has a median of {median:g}: it is taken"
        ):
            assert nominal_of(values, "b1.nii", flip_angle=flip_angle) == nominal


@pytest.mark.parametrize(
    ("median", "flip_angle"), [(55, None), (85, 80), (10, None), (800, 80), (0.2, None)]
)
def test_units_that_values_do_not_tell(median, flip_angle):
    with pytest.raises(ImageFileError, match="from which the unit of B1 cannot be told"):
        nominal_of(median * np.array([0.9, 1.0, 1.1]), "b1.nii", flip_angle=flip_angle)


def test_a_map_without_values_is_refused():
    with pytest.raises(ImageFileError, match="b1.nii has no value above 0"):
        nominal_of(np.array([0.0, np.nan]), "b1.nii")
