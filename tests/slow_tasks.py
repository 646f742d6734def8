"""Tasks that take a while, fail, or end their process; quick to import in workers."""

import os
import signal
import time


def block(k, shared, own, seconds, fails=None, kills=None):
    time.sleep(seconds)
    if k == fails:
        raise ValueError(f"no luck with {k}")
    if k == kills:
        os.kill(os.getpid(), signal.SIGKILL)
    return k, os.getpid(), shared.sum() + own.sum()
