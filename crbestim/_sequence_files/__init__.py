"""Readers of sequence files, NumPy archives and MATLAB files of all versions.

Files may be damaged, or made to harm: whatever they hold, the answer is arrays of numbers
or a `SequenceFileError`. Sizes are checked before anything of that size is read.
"""

from .trains import read_sequence_file

__all__ = ["read_sequence_file"]
