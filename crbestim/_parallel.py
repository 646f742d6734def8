"""Tasks for the workers of joblib, whatever its backend.

A worker may be lost, to a lack of memory or with its machine. Its tasks are then done by
others; results that had arrived are kept. Tasks for dask carry no arrays: see
`_references.py`.
"""

import os
import signal
import sys
import threading
from collections import deque
from concurrent.futures import BrokenExecutor
from itertools import chain
from numbers import Integral

from joblib import Parallel, delayed, effective_n_jobs
from joblib.parallel import get_active_backend

from ._references import on_cluster

_MOST_LOSSES = 3  # without a result in between


def in_parallel(tasks, n_jobs, **options):
    """Yield the results of tasks in their order, as soon as the backend can tell them.

    Parameters
    ----------
    tasks : iterable
        What ``joblib.delayed`` returns.
    n_jobs : int or None
        Number of workers, as joblib takes it.
    **options
        Other options of ``joblib.Parallel``.

    Yields
    ------
    object
        The result of each task.

    Raises
    ------
    concurrent.futures.BrokenExecutor
        If processes are lost again and again before the next result arrives. Where dask
        lost them, the error is its own. An error in a task comes as it is. Notes tell how
        many results had arrived.

    Examples
    --------
    >>> from joblib import delayed
    >>> from crbestim._parallel import in_parallel
    >>> list(in_parallel((delayed(abs)(k) for k in (-1, 2)), n_jobs=None))
    [1, 2]
    """
    if n_jobs is not None and (not isinstance(n_jobs, Integral) or n_jobs == 0):
        raise ValueError(
            f"n_jobs = {n_jobs!r}; give a number of workers, -1 for one each core, or None."
        )
    if options.get("require") == "sharedmem":
        n_jobs = n_threads(n_jobs)
    options |= dict(n_jobs=n_jobs)
    waiting, rest = deque(), iter(tasks)
    n_done = n_losses = 0
    while True:
        rest = chain(list(waiting), rest)
        waiting.clear()
        try:
            for result in _results(_noted(rest, waiting), options):
                waiting.popleft()
                n_done, n_losses = n_done + 1, 0
                yield result
            return
        except GeneratorExit:
            raise
        except BaseException as error:
            n_losses += 1
            if not isinstance(error, BrokenExecutor) or n_losses == _MOST_LOSSES:
                _tell(error, n_done)
                raise


def n_threads(n_jobs):
    """Return how many threads of this process are asked for, however many a cluster has.

    Where dask is the backend, here or in the caller of this task, it is one without a
    number: other cores may have other tasks.

    Examples
    --------
    >>> from crbestim._parallel import n_threads
    >>> n_threads(None), n_threads(3)
    (1, 3)
    """
    if not hasattr(get_active_backend()[0], "client"):
        return effective_n_jobs(n_jobs)
    backend, _ = get_active_backend(require="sharedmem")
    return backend.effective_n_jobs(1 if n_jobs is None else n_jobs)


def _noted(tasks, waiting):
    """Yield tasks, and note that their results are awaited."""
    for task in tasks:
        waiting.append(task)
        yield task


def _results(tasks, options):
    """Yield the results of tasks of a backend that loses none."""
    backend, _ = get_active_backend(
        prefer=options.get("prefer"), require=options.get("require")
    )
    client = getattr(backend, "client", None)
    if client is not None:
        if not _is_in_worker():
            return on_cluster(client, tasks)
        # Tasks of tasks: the cluster is busy with those that wait for them.
        options = options | dict(backend="sequential")
    try:
        parallel = Parallel(return_as="generator", **options)
    except ValueError:
        # A backend may know nothing of generators; other errors come again.
        parallel = Parallel(**options)
    caller = os.getpid()
    return parallel(delayed(_work)(caller, *task) for task in tasks)


def _is_in_worker():
    """Whether this is a task of a worker of dask."""
    if "distributed" not in sys.modules:
        return False
    from distributed import get_worker

    try:
        get_worker()
    except ValueError:
        return False
    return True


def _tell(error, n_done):
    """Note in an error how far the work had come."""
    if n_done:
        error.add_note(f"The results of {n_done} tasks before it had arrived.")


def _work(caller, function, args, kwargs):
    """Do a task, deaf to interrupts if this is a child of the process that asked for it.

    Ctrl-C in a terminal reaches children, too. The caller ends them, in silence.
    """
    is_main = threading.current_thread() is threading.main_thread()
    if is_main and os.getppid() == caller:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    return function(*args, **kwargs)
