"""Reads from a drive that may fail for a while, as a mounted one does.

Such a failure says nothing of the file: it may be whole.
"""

import errno
import os
import pathlib
import time
from collections.abc import Callable
from typing import TypeVar

from smartgrowth import UserError

Result = TypeVar("Result")

TRIES = 3
PASSING = frozenset(
    getattr(errno, name)
    for name in (
        *("EIO", "EREMOTEIO", "ENOTCONN", "ESTALE", "ETIMEDOUT", "EAGAIN"),
        *("EBUSY", "ENODEV", "EDQUOT"),
    )
    if hasattr(errno, name)  # not all are everywhere
)


def is_passing(error: Exception) -> bool:
    """Returns whether a drive failed, not what was asked of it."""
    return isinstance(error, OSError) and error.errno in PASSING


class NotReadNow(UserError):
    """A drive failed; the file may be whole."""

    def __init__(self, path: pathlib.Path | str, error: OSError, way: str = ""):
        super().__init__(
            f"{path} cannot be read now ({error.strerror}); give the command "
            f"again later{way}"
        )


def read_patiently(read: Callable[..., Result], *arguments) -> Result:
    """Returns what `read` does; tries again while the drive fails.

    Raises:
      OSError: it has failed `TRIES` times, or otherwise.
    """
    for attempt in range(TRIES - 1):
        try:
            return read(*arguments)
        except OSError as error:
            if not is_passing(error):
                raise
            time.sleep(2.0**attempt)
    return read(*arguments)


def list_files(folder: pathlib.Path, prefix: str) -> list[pathlib.Path]:
    """Returns what is in a folder and begins so; nothing without the folder.

    `glob` would find nothing where a drive fails, too (Python 3.13).

    Raises:
      OSError: it cannot be listed.
    """
    try:
        names = read_patiently(os.listdir, folder)
    except (FileNotFoundError, NotADirectoryError):
        return []
    return [folder / name for name in names if name.startswith(prefix)]
