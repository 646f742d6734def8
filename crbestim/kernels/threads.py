"""Pieces of work for several threads, for kernels that release the GIL."""

from concurrent.futures import ThreadPoolExecutor

import numba


def in_threads(kernel, n_blocks, *arguments, per_piece=8):
    """Call ``kernel(first, last, *arguments)`` for pieces of all blocks, in threads.

    Threads are as many as ``numba.get_num_threads()``. A piece has at most `per_piece`
    blocks, so that threads end together and an interrupt does not wait for long.
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
