"""Pieces of work for several threads: kernels release the GIL and know no threads."""

from concurrent.futures import ThreadPoolExecutor

import numba


def in_threads(kernel, n_blocks, *arguments, per_piece=8):
    """Call ``kernel(first, last, *arguments)`` until all blocks are done.

    The number of threads is numba's, ``numba.get_num_threads()``. Pieces are small, so
    that threads end together and an interrupt does not wait for long.

    Parameters
    ----------
    kernel : callable
        Compiled with ``nogil=True``; it works on the blocks `first` to `last` - 1, and
        writes its results to arrays among the arguments.
    n_blocks : int
        Number of blocks.
    *arguments
        What the kernel needs besides.
    per_piece : int, default=8
        Most blocks in a call.
    """
    n_threads = min(numba.get_num_threads(), n_blocks)
    if n_threads <= 1:
        for first in range(0, n_blocks, per_piece):
            kernel(first, min(first + per_piece, n_blocks), *arguments)
        return
    per_piece = min(per_piece, -(-n_blocks // n_threads))
    with ThreadPoolExecutor(n_threads) as pool:
        pieces = [
            pool.submit(kernel, first, min(first + per_piece, n_blocks), *arguments)
            for first in range(0, n_blocks, per_piece)
        ]
        try:
            for piece in pieces:
                piece.result()
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
