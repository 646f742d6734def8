"""What becomes of damaged sequence files: bytes changed, cut off, moved or repeated.

    PYTHONPATH=. python benchmarks/damaged_files.py --mutants 1500

reads mutants of one valid file of each format and prints how many ended as

    same     the sequence of the valid file
    other    another sequence, without a word: no format protects every byte
    refused  a SequenceFileError
    bare     any other exception
    dead     a dead interpreter
    hang     no answer within 20 s
    memory   more than 500 MiB more than before
    leak     a file left open

Mutants are read in a second process, which starts anew when it dies. MATLAB 7.3 files
take half a second each. POSIX only.
"""

import argparse
import gc
import os
import signal
import subprocess
import sys
import tempfile
import warnings
from collections import Counter
from pathlib import Path

import h5py
import numpy as np
from scipy.io import savemat

from crbestim.exceptions import SequenceFileError
from crbestim.sequences import HybridStateSequence

OUTCOMES = ["same", "other", "refused", "bare", "dead", "hang", "memory", "leak"]
N = 40
RNG = np.random.default_rng(1)
ARRAYS = {
    "alpha": RNG.uniform(0.1, 1.5, N),
    "TRF": RNG.uniform(1e-4, 5e-4, N),
    "TR": 3.5e-3,
}
# Two trains: an object array of two vectors becomes a cell array.
CELLS = ARRAYS | {
    name: np.array([ARRAYS[name][:25], ARRAYS[name][25:]], object)
    for name in ("alpha", "TRF")
}


def write_hdf5(path, chunks=None, **options):
    with h5py.File(path, "w", userblock_size=512) as file:
        for name, cells in CELLS.items():
            if name == "TR":
                file[name] = [[cells]]
                continue
            refs = np.empty((2, 1), h5py.ref_dtype)
            for i, cell in enumerate(cells):
                data = file.create_dataset(
                    f"#refs#/{name}{i}", data=cell[None], chunks=chunks, **options
                )
                refs[i] = data.ref
            file.create_dataset(name, data=refs)
            file[name].attrs["MATLAB_class"] = np.bytes_("cell")
    with path.open("r+b") as file:
        file.write(b"MATLAB 7.3 MAT-file, Platform: GLNXA64".ljust(116))


WRITERS = {
    "npz": lambda path: np.savez(path, train_lengths=[25, 15], **ARRAYS),
    "npz-deflated": lambda path: np.savez_compressed(
        path, train_lengths=[25, 15], **ARRAYS
    ),
    "mat4": lambda path: savemat(path, ARRAYS, format="4"),
    "mat5": lambda path: savemat(path, CELLS),
    "mat5-compressed": lambda path: savemat(path, CELLS, do_compression=True),
    "mat73": write_hdf5,
    "mat73-compressed": lambda path: write_hdf5(path, (1, 8), compression="gzip"),
}


def mutant(content, number):
    """Return the bytes of a valid file with one damage."""
    rng = np.random.default_rng(number)
    size, kind = len(content), number % 5
    a, b = sorted(rng.integers(0, size, 2))
    if kind in (0, 1):
        changed = bytearray(content)
        for i in rng.integers(0, size, 1 if kind == 0 else rng.integers(2, 9)):
            changed[i] ^= int(rng.integers(1, 256))
        return bytes(changed)
    if kind == 2:
        return content[:a]
    if kind == 3:
        return content[:a] + content[min(b, a + 64) :]
    piece = content[b : b + int(rng.integers(1, 64))]
    end = a + len(piece) if number % 2 else a
    return content[:a] + piece + content[end:]


def peak():
    """Return the largest memory so far, in MiB, of this process and of its children."""
    # Not everywhere, and tests import this file.
    import resource

    kinds = resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN
    return [resource.getrusage(kind).ru_maxrss / 1024 for kind in kinds]


def outcome(path, valid):
    """Return what became of one file."""
    before, n_open = peak(), len(os.listdir("/dev/fd"))
    try:
        result = "same" if HybridStateSequence.from_file(path) == valid else "other"
    except SequenceFileError:
        result = "refused"
    except Exception as error:
        result = f"bare {type(error).__name__}: {error}".splitlines()[0]
    if len(os.listdir("/dev/fd")) > n_open:
        result = "leak"
    grown = [now - old for now, old in zip(peak(), before, strict=True)]
    return "memory" if grown[0] > 500 or (before[1] and grown[1] > 500) else result


def work(kind, folder, first, last):
    """Print the outcome of each mutant; a timer ends the process if one hangs."""
    warnings.simplefilter("ignore")
    gc.disable()
    suffix = ".npz" if kind.startswith("npz") else ".mat"
    path, changed = Path(folder, f"valid{suffix}"), Path(folder, f"mutant{suffix}")
    WRITERS[kind](path)
    content, valid = path.read_bytes(), HybridStateSequence.from_file(path)
    for number in range(first, last):
        changed.write_bytes(mutant(content, number))
        signal.alarm(20)
        print(outcome(changed, valid), flush=True)
        signal.alarm(0)


def outcomes(kind, n):
    """Return the outcomes of n mutants of a format."""
    found = []
    with tempfile.TemporaryDirectory() as folder:
        while len(found) < n:
            command = [sys.executable, __file__, "--work", kind, folder]
            result = subprocess.run(
                [*command, str(len(found)), str(n)],
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
                check=False,
            )
            found += result.stdout.splitlines()
            if len(found) < n:
                found.append("hang" if result.returncode == -signal.SIGALRM else "dead")
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--mutants", type=int, default=1500)
    parser.add_argument("--formats", nargs="+", choices=WRITERS, default=list(WRITERS))
    parser.add_argument("--show", action="store_true", help="print bare exceptions")
    arguments = parser.parse_args()
    print(f"{'':16}" + "".join(f"{name:>8}" for name in OUTCOMES))
    for kind in arguments.formats:
        found = outcomes(kind, arguments.mutants)
        counts = Counter(text.partition(" ")[0] for text in found)
        print(f"{kind:16}" + "".join(f"{counts[name]:8}" for name in OUTCOMES), flush=True)
        if arguments.show:
            texts = Counter(text[5:] for text in found if text.startswith("bare"))
            for text, times in texts.most_common(8):
                print(f"{times:8} {text[:100]}")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--work"]:
        work(*sys.argv[2:4], *map(int, sys.argv[4:]))
    else:
        main()
