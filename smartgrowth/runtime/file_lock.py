"""A lock that the system takes from a process when it ends, however it ends."""

import contextlib
import os
import pathlib

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

TRIES = 5


class FileLock:
    """A lock on a file of its own, which is there while it is held.

    Attributes:
      held: whether this object has it; None where there are no locks.
    """

    def __init__(self, path: pathlib.Path):
        self.path = path
        self.held: bool | None = None
        self._descriptor = None

    def acquire(self) -> bool | None:
        """Takes the lock if it is free; returns `held`.

        Raises:
          OSError: the file cannot be made.
        """
        if self._descriptor is not None and self._is_in_place():
            return self.held
        self._close()
        self.held = None
        for _ in range(TRIES if fcntl else 0):
            self._descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o666)
            try:
                fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                self._close()
                self.held = False
                break
            except OSError:
                self._close()
                break
            if self._is_in_place():
                self.held = True
                break
            self._close()  # it was removed meanwhile: lock the one there now
        return self.held

    def steal(self) -> None:
        """Takes the lock from a process that holds it.

        That one keeps a lock of a file that is not there any more.
        """
        with contextlib.suppress(OSError):
            self.path.unlink()
        self.acquire()

    def release(self) -> None:
        """Gives it back, and removes the file, if this object has it."""
        if self._descriptor is not None:
            with contextlib.suppress(OSError):
                if self._is_in_place():
                    self.path.unlink()
        self._close()
        self.held = None

    def _is_in_place(self) -> bool:
        """Returns whether the file that is open is the one at the path."""
        try:
            here, there = os.fstat(self._descriptor), self.path.stat()
        except OSError:
            return False
        return (here.st_dev, here.st_ino) == (there.st_dev, there.st_ino)

    def _close(self) -> None:
        if self._descriptor is not None:
            with contextlib.suppress(OSError):
                os.close(self._descriptor)
        self._descriptor = None
