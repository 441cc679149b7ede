"""Files and folders that are there whole or not at all.

A reader sees the old content or the new one, and whatever interrupts a write
leaves the old one. Imports nothing slow.
"""

import contextlib
import os
import pathlib
import shutil
from collections.abc import Iterator
from typing import IO

# What is not whole yet has this before its name: hidden, and the ending, by
# which libraries choose a format, is kept.
PREFIX = ".partial_"


@contextlib.contextmanager
def atomic_write(path: pathlib.Path, mode: str = "w") -> Iterator[IO]:
    """Yields an open file that replaces `path` once the block has ended well.

    Args:
      path: of a file that may be there, in a folder that is.
      mode: "w" for text in UTF-8, "wb" for bytes.

    Raises:
      OSError: it cannot be written; `path` is as it was.
    """
    encoding = None if "b" in mode else "utf-8"
    with (
        atomic_path(path) as partial,
        partial.open(mode, encoding=encoding) as file,
    ):
        yield file


@contextlib.contextmanager
def atomic_path(path: pathlib.Path) -> Iterator[pathlib.Path]:
    """Yields a path beside `path` for code that opens files by itself.

    The block makes a file of that name, which replaces `path` once it has
    ended well, or a folder, which becomes `path` if nothing is there yet.

    Raises:
      OSError: it cannot be written; `path` is as it was.
    """
    # Not the process' number: on a shared disk another machine has the same.
    partial = path.with_name(f"{PREFIX}{os.urandom(4).hex()}_{path.name}")
    try:
        yield partial
        if partial.is_file():
            _synchronize(partial)
        partial.replace(path)
    except BaseException:
        _remove(partial)
        raise


def remove_partial(directory: pathlib.Path) -> None:
    """Removes what killed processes left half written in a folder.

    To be called where no other process writes.
    """
    for path in directory.glob(f"{PREFIX}*"):
        _remove(path)


def _synchronize(path: pathlib.Path) -> None:
    """Waits until the disk has it, or a crash could leave an empty file."""
    with path.open("rb+") as file:
        os.fsync(file.fileno())


def _remove(path: pathlib.Path) -> None:
    # The error on the way here tells more than one of cleaning up.
    with contextlib.suppress(OSError):
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
