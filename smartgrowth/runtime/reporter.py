"""What the program tells a person while it works: lines, and progress.

One place decides how often progress is worth a line, what a terminal makes of
it, and which of several processes speaks. Imports nothing slow.
"""

import contextlib
import io
import os
import shutil
import sys
import time
from collections.abc import Callable

from smartgrowth import names
from smartgrowth.rendering.text import show


class Reporter:
    """Writes whole lines, and now and then how far something has come.

    On a terminal, progress is written over itself; elsewhere, in a file or a
    notebook, each time is a line of its own.

    What the stream cannot show is escaped, and one that is closed or full ends
    no run: from then on nothing is written to it.

    Args:
      stream: a text file; without one, what `sys.stdout` is at each call.
      terminal_seconds: at least so long nothing was said before progress is,
        on a terminal.
      other_seconds: as `terminal_seconds`, elsewhere.
      clock: returns seconds that never run backwards.
    """

    def __init__(
        self,
        stream=None,
        *,
        terminal_seconds: float = 0.5,
        other_seconds: float = 10.0,
        clock: Callable[[], float] = time.monotonic,
    ):
        self.muted = False  # nothing is written, and no progress is ever due
        self._stream = stream
        self._terminal_seconds = terminal_seconds
        self._other_seconds = other_seconds
        self._clock = clock
        self._spoke = clock()
        self._unfinished = False  # the cursor stands behind some progress
        self._lost = None  # a stream that takes nothing any more

    def say(self, text: str = "") -> None:
        """Writes a whole line, or several."""
        if self.muted:
            return
        self.clear()
        self._write(f"{self._safe(str(text))}\n")

    def complain(self, text: str) -> None:
        """Writes a line, or several, to standard error, muted or not."""
        self.clear()
        with contextlib.suppress(*_STREAM_ERRORS):
            encoding = getattr(sys.stderr, "encoding", None)
            line = names.for_stream(text, encoding)
            print(line, file=sys.stderr, flush=True)

    def progress(self, text: str | Callable[[], str]) -> None:
        """Writes how far something has come, if that is due.

        text: a line, or what makes it, which is called only if it is due.
        """
        if not self.due():
            return
        text = text() if callable(text) else text
        if not self._is_terminal():
            self.say(text)
            return
        # A line that wraps could not be written over.
        width = shutil.get_terminal_size().columns - 1
        self.clear()
        self._write(self._safe(text)[:width])
        self._unfinished = True

    def due(self) -> bool:
        """Returns whether nothing was said for as long as progress waits."""
        if self.muted:
            return False
        on_terminal = self._is_terminal()
        wait = self._terminal_seconds if on_terminal else self._other_seconds
        return self._clock() - self._spoke >= wait

    def clear(self) -> None:
        """Removes progress from the terminal's last line, if some is there."""
        if self._unfinished:
            self._unfinished = False
            self._write("\r\033[K")

    def countdown(self, what: str, total: int) -> Callable[[int], None]:
        """Begins the timing of something that has `total` parts.

        Returns:
          A function to be called with the number of parts that are done. It
          reports them and the time left, in proportion to the time taken.
        """
        began = self._clock()

        def report(done: int) -> None:
            if 0 < done < total:
                self.progress(lambda: line(done))

        def line(done: int) -> str:
            left = (self._clock() - began) / done * (total - done)
            return (
                f"  {what} {done:,} of {total:,}, left: {show('seconds', left)}"
            )

        return report

    def _stream_or_stdout(self):
        return self._stream or sys.stdout

    def _is_terminal(self) -> bool:
        with contextlib.suppress(*_STREAM_ERRORS):
            return self._stream_or_stdout().isatty()
        return False

    def _safe(self, text: str) -> str:
        stream = self._stream_or_stdout()
        if isinstance(stream, io.StringIO):  # of any characters
            return names.printable(text, lines=True)
        return names.for_stream(text, getattr(stream, "encoding", None))

    def _write(self, text: str) -> None:
        self._spoke = self._clock()
        stream = self._stream_or_stdout()
        if stream is self._lost:
            return
        try:
            stream.write(text)
            stream.flush()
        except _STREAM_ERRORS:
            self._lost = stream
            _forget_rest(stream)


# Of a stream that is closed, full or missing: a process that was started
# without one has None in its place.
_STREAM_ERRORS = OSError, ValueError, AttributeError


def _forget_rest(stream) -> None:
    """Lets what a lost stream still holds go nowhere.

    Python would try to write it at the very end, and fail the process.
    """
    with contextlib.suppress(*_STREAM_ERRORS):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)


REPORTER = Reporter()
say = REPORTER.say


def mute() -> None:
    """Silences this process: of several that train together, one speaks."""
    REPORTER.muted = True
