"""The time that a fit may take, from the call of `fit` to its return."""

import math
import time

from ._warnings import ignored

# Time to work with that is always left, so that a training has a schedule.
_LEAST = 1e-3
# Rows that are timed first, by what factor more if these are too few to judge by, and the
# share of the time that this may take.
_FEW, _MORE, _SHARE = 16, 4, 0.1


def now():
    """Return the seconds of the clock by which all limits are kept."""
    return time.perf_counter()


class Deadline:
    """A limit in seconds, or None, that starts to run when it is made.

    Examples
    --------
    >>> from crbestim._deadline import Deadline
    >>> Deadline(None).left, 19 < Deadline(20.0).left < 20
    (inf, True)
    """

    def __init__(self, seconds):
        self.seconds = math.inf if seconds is None else seconds
        self.start = now()

    @property
    def left(self):
        """Seconds that are left; a little even after the end."""
        return max(self.start + self.seconds - now(), _LEAST)

    @property
    def is_over(self):
        """Whether no time is left."""
        return now() >= self.start + self.seconds

    def at(self, share):
        """Return a deadline with the same start and a share of the time."""
        earlier = Deadline(self.seconds * share)
        earlier.start = self.start
        return earlier


def affordable(work, n, seconds, least):
    """Return how many of n rows can be worked on in some seconds.

    Parameters
    ----------
    work : callable
        ``work(k)`` works on the first k rows. It is timed on some, after a first call that
        compiles and loads what is needed; without a limit it is not called.
    n : int
        Number of rows.
    seconds : float
        Time there is, that for timing included.
    least : int
        Number of rows that are worked on whatever they take.

    Returns
    -------
    int
        Number of rows.
    """
    if n <= least or math.isinf(seconds):
        return n
    start = now()
    # The work itself warns.
    with ignored(Warning):
        work(_FEW)
        k, took = _FEW, _timed(work, _FEW)
        # Few rows overstate the time of many.
        while n * took > k * (start + seconds - now()) and _MORE * took < _SHARE * seconds:
            k *= _MORE
            if k >= n:
                return n
            took = _timed(work, k)
    left = max(start + seconds - now(), 0.0)
    return n if n * took <= k * left else max(int(left / took * k), least)


def _timed(work, k):
    start = now()
    work(k)
    return now() - start
