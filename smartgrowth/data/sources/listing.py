"""The files under a folder, alike for training and for predicting.

Links are followed and hidden files left out. Only regular files are listed,
since opening a FIFO or a device may wait forever.
"""

import collections
import dataclasses
import hashlib
import os
import pathlib
import stat
from collections.abc import Collection, Mapping

from smartgrowth.names import printable

# What systems and archives leave in folders, in lower case.
LITTER = frozenset(
    ("__macosx", "__pycache__", "@eadir", "lost+found", "$recycle.bin")
    + ("system volume information", "thumbs.db", "desktop.ini")
)


@dataclasses.dataclass(frozen=True)
class Listing:
    """What is under a folder, by paths relative to it, with "/".

    Attributes:
      files: regular files -> (size in bytes, time of change in ns).
      folders: every folder, and links to nothing that have no ending: they
        were folders once.
      skipped: what is there but cannot be read -> why.
    """

    files: dict[str, tuple[int, int]]
    folders: tuple[str, ...]
    skipped: dict[str, str]


def list_folder(root: pathlib.Path, skip: Collection[str] = ()) -> Listing:
    """Returns what is under `root`, without hidden files and `LITTER`.

    Args:
      root: a folder.
      skip: names of folders directly under it to leave out.
    """
    files, folders, skipped = {}, [], {}

    def note_unreadable(error: OSError) -> None:
        name = pathlib.Path(error.filename).relative_to(root).as_posix()
        skipped[name] = error.strerror or str(error)

    for folder, inner, names in os.walk(
        root, followlinks=True, onerror=note_unreadable
    ):
        inside = os.path.relpath(folder, root).replace(os.sep, "/") + "/"
        inside = "" if inside == "./" else inside
        kept = []
        for name in sorted(inner):
            if _is_hidden(name) or (not inside and name in skip):
                continue
            if _leads_back(folder, name):
                skipped[inside + name] = "a link to a folder above it"
                continue
            kept.append(name)
            folders.append(inside + name)
        inner[:] = kept
        for name in sorted(names):
            if _is_hidden(name):
                continue
            try:
                status = pathlib.Path(folder, name).stat()
            except OSError as error:
                skipped[inside + name] = error.strerror or str(error)
                if not pathlib.PurePath(name).suffix:
                    folders.append(inside + name)
                continue
            if stat.S_ISREG(status.st_mode):
                files[inside + name] = (status.st_size, status.st_mtime_ns)
            else:
                skipped[inside + name] = "not a regular file"
    return Listing(files, tuple(folders), skipped)


def _is_hidden(name: str) -> bool:
    return name.startswith(".") or name.lower() in LITTER


def _leads_back(folder: str, name: str) -> bool:
    """Returns whether `name` in `folder` links to it or to a parent."""
    target = pathlib.Path(folder, name)
    return pathlib.Path(folder).resolve().is_relative_to(target.resolve())


def hash_entries(entries: Mapping[str, tuple]) -> str:
    """Returns a hash of names and values, 16 hexadecimal digits."""
    lines = (f"{name}\0{entries[name]}\n" for name in sorted(entries))
    digest = hashlib.sha256("".join(lines).encode("utf-8", "surrogateescape"))
    return digest.hexdigest()[:16]


def name_some(names: Collection[str], most: int = 3) -> str:
    """Returns the first names, and how many more there are."""
    names = list(names)
    more = f" and {len(names) - most:,} more" if len(names) > most else ""
    return printable(", ".join(names[:most]) + more)


def describe_unread(names: Collection[str]) -> str:
    """Returns a line on files whose ending is none that is read."""
    counts = collections.Counter(
        pathlib.PurePath(name).suffix.lower() or "none" for name in names
    )
    endings = name_some([ending for ending, _ in counts.most_common()])
    what = "file not read, for its ending"
    if len(names) > 1:
        what = "files not read, for their endings"
    return f"{len(names):,} {what} ({endings}): {name_some(names)}"
