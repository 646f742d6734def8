"""Reference values of phantoms.

NIST/ISMRM system phantom: T1 and T2 of the 14 spheres of each array at 20 degrees Celsius
(Stupic et al., MRM 2021, doi 10.1002/mrm.28779), in s, from the shortest to the longest.
"""

import csv
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from .._arrays import as_reals

REFERENCES = {
    "nist-nicl2-1.5T": {
        "T1": (0.022859, 0.03245, 0.04632, 0.0654, 0.0927, 0.1327, 0.1846, 0.2601, 0.3679,
               0.5141, 0.7308, 1.012, 1.489, 2.033),
        "T2": (0.0202, 0.0287, 0.041, 0.0577, 0.0819, 0.1171, 0.1619, 0.2277, 0.3212,
               0.4463, 0.6285, 0.8593, 1.244, 1.669),
    },
    "nist-mncl2-1.5T": {
        "T1": (0.08333, 0.1064, 0.1602, 0.1949, 0.2929, 0.4134, 0.5502, 0.7522, 1.03,
               1.237, 1.539, 1.87, 2.183, 2.736),
        "T2": (0.00815, 0.01047, 0.01599, 0.01976, 0.03062, 0.04528, 0.06484, 0.09176,
               0.1406, 0.1849, 0.267, 0.4165, 0.5943, 0.9394),
    },
    "nist-nicl2-3T": {
        "T1": (0.021719, 0.03084, 0.04453, 0.0627, 0.089, 0.1259, 0.1753, 0.24713, 0.3515,
               0.4967, 0.706, 0.9841, 1.454, 1.989),
        "T2": (0.01583, 0.02238, 0.03186, 0.0457, 0.0643, 0.0903, 0.1273, 0.1808, 0.2555,
               0.3596, 0.5101, 0.7179, 1.077, 1.465),
    },
    "nist-mncl2-3T": {
        "T1": (0.0909, 0.1269, 0.1769, 0.2442, 0.3365, 0.4584, 0.6086, 0.8017, 1.044,
               1.332, 1.604, 1.907, 2.173, 2.48),
        "T2": (0.00559, 0.00791, 0.01124, 0.01581, 0.02256, 0.03197, 0.04642, 0.06407,
               0.09689, 0.13327, 0.19094, 0.2781, 0.4035, 0.5813),
    },
}  # fmt: skip
_ALLOWED = (
    f"one of {', '.join(REFERENCES)}, a CSV file, or a dict of values above 0, in s, as "
    "many for each parameter"
)


def reference_values(reference):
    """Return values by parameter, in the order of spheres, of a name, a table or a file."""
    if isinstance(reference, str) and reference in REFERENCES:
        found = REFERENCES[reference]
    elif isinstance(reference, str | Path):
        found = _from_csv(Path(reference))
    elif isinstance(reference, Mapping):
        found = {k: as_reals(v, f"{k} of reference") for k, v in reference.items()}
    else:
        raise TypeError(f"reference is {reference!r}; give {_ALLOWED}.")
    found = {name: np.array(values) for name, values in found.items()}
    lengths = {values.shape for values in found.values()}
    good = len(lengths) == 1 and all((v > 0).all() and v.ndim == 1 for v in found.values())
    if not good:
        raise ValueError(f"reference is {reference!r}; give {_ALLOWED}.")
    return found


def _from_csv(path):
    """Return the columns of a CSV file whose first line has names, such as T1 and T2."""
    if not path.is_file():
        raise ValueError(
            f"reference is {str(path)!r}, which is no file; give one of "
            f"{', '.join(REFERENCES)}, or a CSV file with columns such as T1 and T2."
        )
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    try:
        names = [name for name in rows[0] if name != "sphere"]
        return {name: [float(row[name]) for row in rows] for name in names}
    except (IndexError, TypeError, ValueError) as error:
        raise ValueError(f"{path} is no table of numbers with names in line 1.") from error
