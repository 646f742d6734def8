"""Checks of what simulations ask for: random states, and results that fit in memory."""

import os
from numbers import Integral
from types import ModuleType

import numpy as np
from sklearn.utils import check_random_state

# Bytes that no process can address, where the size of the memory is not known.
_ADDRESSES = 2**47


def check_memory(count, n_numbers, name):
    """Refuse a count of results, of so many numbers each, that no memory holds."""
    try:
        most = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, OSError, ValueError):  # Windows
        most = 0
    most = most if most > 0 else _ADDRESSES
    if 8 * count * n_numbers > most:
        size = 8 * min(count, _ADDRESSES) * n_numbers / 2**30
        raise ValueError(
            f"{name} is too large: the results take at least {size:.3g} GiB, and the "
            f"memory has {most / 2**30:.3g} GiB; ask for fewer at a time."
        )


def random_state_of(seed):
    """Return a RandomState: the one given, or a new one of a seed, 0 or more, or None."""
    is_number = isinstance(seed, Integral) and not isinstance(seed, bool)
    kinds = np.random.RandomState | type(None) | ModuleType
    if not (isinstance(seed, kinds) or (is_number and 0 <= seed < 2**32)):
        raise ValueError(
            f"random_state = {seed!r}; give a whole number from 0 to 2**32 - 1, a "
            "np.random.RandomState, or None."
        )
    return check_random_state(seed)
