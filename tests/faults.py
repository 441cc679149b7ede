"""A disk that refuses, for the files below one folder.

Stands before Python's own functions, so that it hits whatever writes there.
"""

import builtins
import errno
import io
import os
import pathlib
import time
from collections.abc import Callable

REASONS = {
    "full": errno.ENOSPC,
    "read_only": errno.EROFS,
    "forbidden": errno.EACCES,
    "gone": errno.ENOTCONN,  # a mount whose other end is lost
    "missing": errno.ENOENT,
}
# Those that the disk still does in these states.
ALLOWED = {
    "full": {"read", "delete"},
    "read_only": {"read"},
    "forbidden": {"read"},
}


class Faults:
    """What happens to the files below a folder.

    Attributes:
      state: one of `REASONS`, or None: all is well.
      slow: seconds that every operation takes.
      late: who opens a file of such an ending to read it finds nothing, so
        often.
      calls: (operation, path) of all so far.
    """

    def __init__(self, root: pathlib.Path, monkeypatch):
        self.root = str(root.absolute())
        self.state: str | None = None
        self.slow = 0.0
        self.late: dict[str, int] = {}
        self.calls: list[tuple[str, str]] = []
        opened = io.open
        for module in (builtins, io):
            monkeypatch.setattr(module, "open", self._wrap_open(opened))
        for name, kind in {
            "mkdir": "write",
            "replace": "write",
            "rename": "write",
            "open": "write",
            "unlink": "delete",
            "rmdir": "delete",
            "stat": "read",
            "scandir": "read",
            "listdir": "read",
        }.items():
            wrapped = self._wrap(getattr(os, name), kind)
            monkeypatch.setattr(os, name, wrapped)

    def writes(self) -> int:
        """How many writes were tried so far."""
        return sum(kind == "write" for kind, _ in self.calls)

    def _meet(self, kind: str, path) -> bool:
        """Returns whether the fault is to strike: of a path below the root."""
        if not isinstance(path, str | os.PathLike):
            return False
        path = os.fspath(path)
        if not isinstance(path, str) or not path.startswith(self.root):
            return False
        self.calls.append((kind, path))
        if self.slow:
            time.sleep(self.slow)
        return bool(self.state and kind not in ALLOWED.get(self.state, set()))

    def _error(self, path) -> OSError:
        number = REASONS[self.state]
        return OSError(number, os.strerror(number), os.fspath(path))

    def _wrap(self, function: Callable, kind: str) -> Callable:
        def wrapped(path=".", *more, **named):
            if self._meet(kind, path):
                raise self._error(path)
            return function(path, *more, **named)

        return wrapped

    def _wrap_open(self, function: Callable) -> Callable:
        def wrapped(path, mode="r", *more, **named):
            kind = "write" if set(mode) & set("wax+") else "read"
            if self._meet(kind, path):
                if self.state == "full" and "b" in mode:
                    with function(path, "wb") as file:
                        file.write(b"half")  # which is what fitted
                raise self._error(path)
            for ending, left in self.late.items():
                if kind == "read" and left and str(path).endswith(ending):
                    self.late[ending] -= 1
                    raise FileNotFoundError(errno.ENOENT, "not there yet")
            return function(path, mode, *more, **named)

        return wrapped
