"""Folders on the local disk for what is on its way to another one.

Each names its process and machine, so that what killed ones left is found.
"""

import contextlib
import os
import pathlib
import platform
import re
import shutil
import tempfile
from collections.abc import Iterator

from smartgrowth.runtime.process import has_number

PREFIX = "smartgrowth_checkpoint_"


@contextlib.contextmanager
def scratch_folder() -> Iterator[pathlib.Path]:
    """Yields a new folder, which is removed afterwards.

    Raises:
      OSError: there is no room for one.
    """
    prefix = f"{PREFIX}{os.getpid()}_{platform.node()}_"
    with tempfile.TemporaryDirectory(prefix=prefix) as name:
        yield pathlib.Path(name)


def scratch_root() -> str:
    """Returns the folder that holds them, full or not."""
    try:
        return tempfile.gettempdir()
    except OSError:  # no place where a file can be made
        return os.environ.get("TMPDIR", "/tmp")


def sweep() -> None:
    """Removes the folders that killed processes of this machine left.

    To be called before this process makes its first one: an earlier one may
    have had its number.
    """
    if os.name != "posix":  # elsewhere, to ask for a process may end it
        return
    pattern = rf"{PREFIX}(\d+)_{re.escape(platform.node())}_\w{{8}}"
    for path in pathlib.Path(scratch_root()).glob(f"{PREFIX}*"):
        match = re.fullmatch(pattern, path.name)
        if match and not _is_another_alive(int(match[1])):
            shutil.rmtree(path, ignore_errors=True)


def _is_another_alive(pid: int) -> bool:
    """Returns whether another process than this one has the number."""
    return pid != os.getpid() and has_number(pid)
