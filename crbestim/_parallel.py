"""Tasks for the workers of joblib, whatever its backend."""

import os
import signal
import threading
from numbers import Integral

from joblib import Parallel, delayed


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
    options |= dict(n_jobs=n_jobs)
    try:
        parallel = Parallel(return_as="generator", **options)
    except ValueError:
        # A backend may know nothing of generators; other errors come again.
        parallel = Parallel(**options)
    caller = os.getpid()
    yield from parallel(delayed(_work)(caller, *task) for task in tasks)


def _work(caller, function, args, kwargs):
    """Do a task, deaf to interrupts if this is a child of the process that asked for it.

    Ctrl-C in a terminal reaches children, too. The caller ends them, in silence.
    """
    is_main = threading.current_thread() is threading.main_thread()
    if is_main and os.getppid() == caller:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    return function(*args, **kwargs)
