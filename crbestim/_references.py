"""Tasks without arrays, for clusters: what is large travels once, and tasks name it.

What a task of joblib is given lies with a single worker of dask, and is lost with it. Here
an array is a task of its own that returns it: the scheduler keeps the array, and has it
delivered again where a worker was lost.
"""

import io
import os
import pickle
import uuid
import weakref
from collections import deque
from contextlib import nullcontext
from functools import cache
from itertools import islice

import numpy as np

from ._threads import one_thread
from .parameters import Parameter

LARGEST = 1000  # bytes of an array in a task
_PATIENCE, _N_VAIN = 10.0, 6  # s without a result, and how often without a worker


class Sender:
    """Replaces large arrays and parameters of tasks by references to what a cluster holds.

    One that several tasks have is sent once, as long as the caller keeps it.

    Parameters
    ----------
    hold : callable
        Takes bytes, and returns what stands for them in the arguments of a task.

    Examples
    --------
    >>> import numpy as np
    >>> from crbestim._references import Sender, run
    >>> held = []
    >>> sender = Sender(lambda content: held.append(content) or held[-1])
    >>> numbers = np.arange(1000.0)
    >>> tasks = [sender.without_arrays(np.add, (numbers, k), {}) for k in range(3)]
    >>> len(held), max(len(task) for task, *references in tasks) < 500
    (1, True)
    >>> run(*tasks[2])[:3]
    array([2., 3., 4.])
    """

    def __init__(self, hold):
        self._hold, self._held = hold, {}

    def without_arrays(self, function, args, kwargs):
        """Return the arguments of `run` that stand for a call."""
        file, references = io.BytesIO(), []
        pickler = _pickler()(file, protocol=pickle.HIGHEST_PROTOCOL)
        pickler.reference = lambda array: self._reference(array, references)
        pickler.dump((function, args, kwargs))
        return file.getvalue(), *references

    def _reference(self, array, references):
        """Return the place of an array among the references of a task."""
        import cloudpickle

        number = id(array)
        held = self._held.get(number)
        if held is None or held[0]() is not array:
            content = cloudpickle.dumps(array, protocol=pickle.HIGHEST_PROTOCOL)
            # Another array may have the same id later.
            alive = weakref.ref(array, lambda _: self._held.pop(number, None))
            held = self._held[number] = alive, self._hold(content)
        references.append(held[1])
        return len(references) - 1


@cache
def _pickler():
    """Return a class that pickles all that functions of a user's script need."""
    import cloudpickle  # which dask brings

    class Pickler(cloudpickle.Pickler):
        def persistent_id(self, thing):
            # SciPy pickles a distribution with its documentation.
            is_large = isinstance(thing, Parameter) or (
                isinstance(thing, np.ndarray)
                and thing.nbytes > LARGEST
                and not thing.dtype.hasobject
            )
            return self.reference(thing) if is_large else None

    return Pickler


class _Unpickler(pickle.Unpickler):
    def __init__(self, content, references):
        super().__init__(io.BytesIO(content))
        self._references = references

    def persistent_load(self, number):
        return pickle.loads(self._references[number])


def run(task, *references):
    """Do a task in a worker, in one thread unless its environment asks for more."""
    function, args, kwargs = _Unpickler(task, references).load()
    is_asked = "NUMBA_NUM_THREADS" in os.environ
    with nullcontext() if is_asked else one_thread():
        return function(*args, **kwargs)


def on_cluster(client, tasks):
    """Yield the results of tasks of joblib in their order, done by a cluster of dask.

    joblib itself waits for ever for a task of which dask says that it loses all workers.
    Two tasks for each core are on their way, also of workers that come later.
    """
    sender = Sender(lambda content: client.submit(_same, content, key=_key("array")))
    waiting, tasks = deque(), iter(tasks)
    try:
        while True:
            n_wanted = max(2 * sum(client.ncores().values()), 1) - len(waiting)
            for task in islice(tasks, max(n_wanted, 0)):
                arguments = sender.without_arrays(*task)
                # The task itself may not die before its arrays have arrived.
                waiting.append((client.submit(run, *arguments, key=_key("task")), task))
            if not waiting:
                return
            result = _result(client, waiting[0][0])
            waiting.popleft()
            yield result
    finally:
        client.cancel([future for future, _ in waiting])


def _result(client, future):
    """Return the result of a task, unless there is no worker for long."""
    n_vain = 0
    while n_vain < _N_VAIN:
        try:
            return future.result(timeout=_PATIENCE)
        except TimeoutError:
            if future.done():
                raise  # by the task
            n_vain = 0 if client.ncores() else n_vain + 1
    raise TimeoutError(
        f"the cluster has had no worker for {_N_VAIN * _PATIENCE:g} s; start some, and see "
        "their logs for why they ended"
    )


def _key(name):
    return f"{name}-{uuid.uuid4().hex}"


def _same(content):
    return content
