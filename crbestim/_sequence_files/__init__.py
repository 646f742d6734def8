"""Sequence files: readers of NumPy archives, MATLAB files of all versions and Pulseq.

Files may be damaged, or made to harm: whatever they hold, the answer is arrays of numbers
or a `SequenceFileError`. Sizes are checked before anything of that size is read.
"""

from .pulseq_trains import read_fisp, read_hybrid_state, write_hybrid_state
from .trains import read_sequence_file

__all__ = ["read_fisp", "read_hybrid_state", "read_sequence_file", "write_hybrid_state"]
