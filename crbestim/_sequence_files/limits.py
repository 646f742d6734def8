"""How much is read from a file."""

from ..exceptions import SequenceFileError

LARGEST = 2**26  # bytes of an array
MOST_TRAINS = 2**16


def check_size(name, n_bytes):
    """Raise an error if an array is larger than any sequence."""
    if n_bytes > LARGEST:
        raise SequenceFileError(
            f"{name} takes {n_bytes} bytes; at most {LARGEST} are read, "
            f"{LARGEST // 8} pulses"
        )


def check_trains(name, n):
    """Raise an error if there are more trains than in any sequence."""
    if n > MOST_TRAINS:
        raise SequenceFileError(f"{name} has {n} trains; at most {MOST_TRAINS} are read")


def check_once(name, names):
    """Raise an error if an array of a file comes a second time."""
    if name in names:
        raise SequenceFileError(f"{name} is there twice")
