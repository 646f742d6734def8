"""Threads for parts of a batch, with one torch thread in each."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import torch


@contextmanager
def pool(n_threads):
    """Yield a map over threads that keeps the order.

    torch itself uses one thread as long, also outside of the map, because its sums depend
    on how many share them.

    Parameters
    ----------
    n_threads : int
        Number of threads; with one, the map is that of Python.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    options = dict(initializer=torch.set_num_threads, initargs=(1,))
    try:
        with ThreadPoolExecutor(n_threads, **options) as executor:
            yield map if n_threads == 1 else executor.map
    finally:
        torch.set_num_threads(before)
