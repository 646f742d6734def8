"""Names in a BIDS data set: entities and suffixes of files, and the sidecars that apply."""

import json
from pathlib import Path
from typing import NamedTuple

from ..exceptions import ImageFileError

IMAGES = (".nii.gz", ".nii")


class Name(NamedTuple):
    """A file, with what its name says."""

    path: Path
    entities: dict
    suffix: str

    @classmethod
    def of(cls, path):
        """Return the name of a file, whatever its extension."""
        *pairs, suffix = path.name.partition(".")[0].split("_")
        entities = dict(pair.partition("-")[::2] for pair in pairs)
        return cls(path, entities, suffix)


def check_root(root):
    """Return the folder of a data set."""
    root = Path(root)
    if not root.is_dir():
        raise FileNotFoundError(f"there is no folder {root}.")
    return root


def labels(folder, key):
    """Return the labels of the folders of one key, `sub` or `ses`, in order."""
    found = (p.name.removeprefix(f"{key}-") for p in folder.glob(f"{key}-*") if p.is_dir())
    return sorted(found)


def folder_of(root, subject, session):
    """Return the folder of a subject, or of a session; say which there are."""
    folder = root / f"sub-{subject}"
    if not folder.is_dir():
        there = ", ".join(labels(root, "sub")) or "none"
        raise FileNotFoundError(f"{root} has no subject {subject}; there are: {there}.")
    sessions = labels(folder, "ses")
    if session is None:
        if len(sessions) > 1:
            raise ImageFileError(
                f"subject {subject} has the sessions {', '.join(sessions)}; give session."
            )
        return folder / f"ses-{sessions[0]}" if sessions else folder
    if session not in sessions:
        there = ", ".join(sessions) or "none"
        raise FileNotFoundError(
            f"subject {subject} has no session {session}; there are: {there}."
        )
    return folder / f"ses-{session}"


def images_of(folder, suffix):
    """Return the names of images with a suffix, in any folder of a kind of data."""
    found = (Name.of(p) for e in IMAGES for p in folder.glob(f"*/*_{suffix}{e}"))
    return sorted(
        (name for name in found if name.suffix == suffix), key=lambda n: n.path.name
    )


def sidecar(root, image):
    """Return what the sidecars of an image say: the nearest counts (inheritance)."""
    content = {}
    folders = [image.path.parent, *image.path.parent.parents]
    for folder in reversed(folders[: folders.index(root) + 1]):
        names = (Name.of(path) for path in folder.glob(f"*{image.suffix}.json"))
        applies = [
            name
            for name in names
            if name.suffix == image.suffix
            and name.entities.items() <= image.entities.items()
        ]
        applies.sort(key=lambda name: len(name.entities))
        for name in applies:
            content |= read_json(name.path)
    return content


def read_json(path):
    """Return the object that a JSON file holds."""
    try:
        content = json.loads(path.read_text("utf-8"))
    except ValueError as error:
        raise ImageFileError(f"{path} is no JSON file: {error}.") from error
    if not isinstance(content, dict):
        raise ImageFileError(f"{path} holds no object, which a sidecar is.")
    return content


def write_json(path, content):
    """Write a JSON file."""
    text = json.dumps(content, indent=2, ensure_ascii=False)
    path.write_text(text + "\n", encoding="utf-8")
