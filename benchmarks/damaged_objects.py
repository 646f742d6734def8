"""What becomes of damaged and forged files of `crbestim.io.save`.

    PYTHONPATH=. python benchmarks/damaged_objects.py --mutants 10000

reads mutants of a saved network, of a fit with its dictionary, and of a pipeline, and
prints how many ended as

    same     the object of the valid file
    other    another object, without a word
    refused  a SavedFileError
    bare     any other exception
    dead     a dead interpreter
    hang     no answer within 20 s
    memory   more than 500 MiB more than before
    leak     a file left open
    ran      code that the file names ran

Of the damaged ones bytes are changed, cut off, moved or repeated. The forged ones have a
right checksum: what they hold is changed in the entries, as someone would who means harm,
and may well be another object. POSIX only.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import warnings
from collections import Counter
from pathlib import Path

import numpy as np
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from benchmarks.damaged_files import mutant, peak
from crbestim import CRBRegressor, NLLSRegressor
from crbestim.exceptions import SavedFileError
from crbestim.io import _container, load, save
from crbestim.models import MonoExponential
from crbestim.subspace import ComplexToReal, SubspaceProjection

OUTCOMES = ["same", "other", "refused", "bare", "dead", "hang", "memory", "leak", "ran"]
MODEL = MonoExponential(0.01 * np.arange(1, 9))
# Left by code that runs, which `FORGERIES` name.
SENTINEL = "ran.txt"


def network(X, y):
    sizes = dict(hidden_layer_sizes=(8, 8), max_iter=1, random_state=0)
    return CRBRegressor(MODEL, **sizes).fit(X, y, crb=np.ones_like(y))


def pipeline(X, y):
    steps = ComplexToReal(), StandardScaler(), FunctionTransformer(np.tanh)
    return make_pipeline(SubspaceProjection(4), *steps).fit(X)


KINDS = {
    "network": network,
    "fit": lambda X, y: NLLSRegressor(MODEL).fit(X, y),
    "pipeline": pipeline,
}
PLACES = (
    "os.system subprocess.Popen builtins.eval builtins.exec numpy.load numpy.save crbestim"
)
PLACES += " crbestim.__main__.main crbestim.io.load sklearn.datasets.load_files joblib.load"
PLACES += " crbestim.exceptions.SavedFileError crbestim.models.np.load sklearn.base.clone"
FORGERIES = [
    lambda rng, value: rng.choice(PLACES.split()).item(),
    lambda rng, value: f"touch {SENTINEL}",
    lambda rng, value: [int(rng.integers(-3, 400))],
    lambda rng, value: int(rng.integers(-9, 9)) * 10 ** int(rng.integers(0, 20)),
    lambda rng, value: float(rng.choice([-1.5, 1e300, 0.1])),
    lambda rng, value: rng.choice(
        ["<f8", "|O", "1000000x1000000", "C", "MT19937", "nan"]
    ).item(),
    lambda rng, value: None,
    lambda rng, value: {"entries": value},
    lambda rng, value: [value],
]


def training():
    """Return signals and parameters to learn from."""
    y = np.random.default_rng(0).uniform(0.02, 0.2, (60, 1))
    return MODEL.signal(y), y


def forged(path, number):
    """Return the bytes of a valid file with one to three parts changed, signed anew."""
    rng = np.random.default_rng(number)
    summary, entries, content = _container.read(path)
    entries = entries()
    for _ in range(int(rng.integers(1, 4))):
        entry = entries[int(rng.integers(len(entries)))]
        place = int(rng.integers(len(entry)))
        if number % 4 == 0 and place:
            kinds = [other[0] for other in entries]
            entry[0] = kinds[int(rng.integers(len(kinds)))]
        entry[place] = FORGERIES[int(rng.integers(len(FORGERIES)))](rng, entry[place])
    changed = path.with_suffix(".forged")
    _container.write(changed, summary, json.loads(json.dumps(entries)), [content])
    return changed.read_bytes()


def outcome(path, valid):
    """Return what became of one file, of an object that `predict` or `transform` tells."""
    before, n_open = peak(), len(os.listdir("/dev/fd"))
    try:
        found = load(path)
        result = "same" if text(found) == valid else "other"
    except SavedFileError:
        result = "refused"
    except Exception as error:
        result = f"bare {type(error).__name__}: {error}".splitlines()[0]
    if len(os.listdir("/dev/fd")) > n_open:
        result = "leak"
    if Path(SENTINEL).exists():
        result = "ran"
    grown = [now - old for now, old in zip(peak(), before, strict=True)]
    return "memory" if grown[0] > 500 else result


def text(value):
    """Return an object as the entries and bytes that would be stored of it."""
    from crbestim.io._objects import Packer

    packer = Packer(training_state=False)
    try:
        packer.whole(value)
    except Exception:
        return None
    return packer.entries, packer.blobs


def work(kind, how, folder, first, last):
    """Print the outcome of each mutant; a timer ends the process if one hangs."""
    warnings.simplefilter("ignore")
    os.chdir(folder)
    path, changed = Path("valid"), Path("mutant")
    save(KINDS[kind](*training()), path)
    content, valid = path.read_bytes(), text(load(path))
    for number in range(first, last):
        is_forged = how == "forged"
        changed.write_bytes(forged(path, number) if is_forged else mutant(content, number))
        signal.alarm(20)
        print(outcome(changed, valid), flush=True)
        signal.alarm(0)


def outcomes(kind, how, n):
    """Return the outcomes of n mutants of an object."""
    found = []
    with tempfile.TemporaryDirectory() as folder:
        while len(found) < n:
            result = subprocess.run(
                [sys.executable, __file__, "--work", kind, how, folder]
                + [str(len(found)), str(n)],
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
    parser.add_argument("--mutants", type=int, default=10_000, help="of all kinds together")
    parser.add_argument("--show", action="store_true", help="print bare exceptions")
    arguments = parser.parse_args()
    print(f"{'':18}" + "".join(f"{name:>8}" for name in OUTCOMES))
    for kind in KINDS:
        for how in ("damaged", "forged"):
            found = outcomes(kind, how, arguments.mutants // 6 + 1)
            counts = Counter(text.partition(" ")[0] for text in found)
            numbers = "".join(f"{counts[name]:8}" for name in OUTCOMES)
            print(f"{kind:10}{how:8}{numbers}", flush=True)
            if arguments.show:
                texts = Counter(text[5:] for text in found if text.startswith("bare"))
                for text_, times in texts.most_common(8):
                    print(f"{times:8} {text_[:100]}")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--work"]:
        work(*sys.argv[2:5], *map(int, sys.argv[5:]))
    else:
        main()
