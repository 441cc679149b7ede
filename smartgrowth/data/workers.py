"""Calls a function for many items in worker processes, results in order.

Threads would wait for Python's lock: of a small image, half of the time is
spent in Python. A worker reads lists of items from its standard input, and
writes lists of results to its standard output, both pickled. So it needs no
guard in the user's script, and works in notebooks and on every system.
"""

import collections
import concurrent.futures
import contextlib
import os
import pathlib
import pickle
import queue
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

import smartgrowth
from smartgrowth import UserError
from smartgrowth.runtime.cpu import count_cores

Item = TypeVar("Item")
Result = TypeVar("Result")

CHUNK = 32  # items that a worker gets at once, or as many as hold `HEAVY`
HEAVY = 2**24  # bytes
PATIENCE = 0.2  # seconds before workers are started; each takes about as long
MOST = 8  # workers; then the process that reads and writes is slower
# No module of the folder that the user is in may pass for one of Python's.
# Ctrl-C reaches every process of a terminal; the first one ends the others.
COMMAND = (
    *(sys.executable, "-P", "-c"),
    "import signal; signal.signal(signal.SIGINT, signal.SIG_IGN);"
    "from smartgrowth.data import workers; workers.serve()",
)


def map_in_order(
    function: Callable[[list[Item]], list[Result]],
    items: Iterable[Item],
    weigh: Callable[[Item], int] = lambda item: 0,
) -> Iterator[Result]:
    """Yields the results of `function` for lists of items, in order.

    Few items need no workers: until the first of them has started, and on a
    machine of one core, this process calls `function`. At most three chunks
    per worker are in memory, so it does not grow with the number of items.
    Close the iterator to end the workers early.

    Args:
      function: can be pickled, as the items and results can: a function of a
        module of this package, or a `functools.partial` of one.
      items: taken as they are needed, by the thread that takes the results.
      weigh: returns how many bytes an item holds.

    Raises:
      UserError: a worker has ended, as when the memory is full.
    """
    parts = _chunks(items, weigh)
    count = min(count_cores(), MOST) if sys.executable else 1
    began = time.monotonic()
    while count == 1 or time.monotonic() - began < PATIENCE:
        part = next(parts, None)
        if part is None:
            return
        yield from function(part)
    with contextlib.ExitStack() as stack:
        # Left last, when no thread waits for a worker any more.
        threads = concurrent.futures.ThreadPoolExecutor(count)
        stack.enter_context(threads)
        idle = queue.SimpleQueue()

        def begin(worker: "_Worker") -> None:
            with contextlib.suppress(UserError):  # `call` raises it again
                worker.call(function)
            idle.put(worker)

        def call(part: list) -> list:
            worker = idle.get()
            try:
                return worker.call(part)
            finally:
                idle.put(worker)

        for _ in range(count):
            threads.submit(begin, stack.enter_context(_start()))
        waiting = collections.deque()
        stack.callback(lambda: [future.cancel() for future in waiting])
        for part in parts:
            if idle.empty() and not waiting:
                yield from function(part)
                continue
            waiting.append(threads.submit(call, part))
            if len(waiting) > 2 * count:
                yield from waiting.popleft().result()
        while waiting:
            yield from waiting.popleft().result()


def _chunks(items: Iterable, weigh: Callable) -> Iterator[list]:
    part, weight = [], 0
    for item in items:
        part.append(item)
        weight += weigh(item)
        if len(part) == CHUNK or weight >= HEAVY:
            yield part
            part, weight = [], 0
    if part:
        yield part


class _Worker:
    def __init__(self, process: subprocess.Popen, errors):
        self.process, self.errors = process, errors

    def call(self, part):
        """Sends the function, or a part, and returns its results."""
        try:
            pickle.dump(part, self.process.stdin, pickle.HIGHEST_PROTOCOL)
            self.process.stdin.flush()
            done, found = pickle.load(self.process.stdout)  # noqa: S301
        except (OSError, EOFError, pickle.UnpicklingError):
            raise UserError(self._explain()) from None
        if not done:
            raise found
        return found

    def _explain(self) -> str:
        status = self.process.wait()
        self.errors.seek(0)
        *_, last = self.errors.read().split(b"\n")[-2:-1] or [b""]
        why = f": {last.decode(errors='replace')[:200]}" if last else ""
        return (
            f"a process that prepares images ended with status {status}{why}; "
            "it may have been killed, or the memory was full: start again"
        )


@contextlib.contextmanager
def _start() -> Iterator[_Worker]:
    """Yields a worker; ends it at the exit."""
    root = str(pathlib.Path(smartgrowth.__file__).parents[1])
    path = os.pathsep.join(filter(None, (root, os.environ.get("PYTHONPATH"))))
    # There is a worker for each core.
    one = {f"{name}_NUM_THREADS": "1" for name in ("OMP", "OPENBLAS", "MKL")}
    with tempfile.TemporaryFile() as errors:
        try:
            process = subprocess.Popen(
                COMMAND,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                env=os.environ | one | {"PYTHONPATH": path},
            )
        except OSError as error:
            raise UserError(
                f"no process can be started to prepare images ({error}); "
                "close other programs and start again"
            ) from error
        try:
            yield _Worker(process, errors)
        finally:
            process.kill()
            process.wait()
            process.stdout.close()
            with contextlib.suppress(OSError):  # what it was not yet sent
                process.stdin.close()


def serve() -> None:
    """Calls a function for what standard input holds; in a worker."""
    results = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # nothing that is printed may come between
    items = sys.stdin.buffer
    # Without an input, the one that would take the results has ended.
    with contextlib.suppress(EOFError, BrokenPipeError):
        function = pickle.load(items)  # noqa: S301
        answer = True, None
        while True:
            pickle.dump(answer, results, pickle.HIGHEST_PROTOCOL)
            results.flush()
            part = pickle.load(items)  # noqa: S301
            try:
                answer = True, function(part)
            except Exception as error:  # noqa: BLE001 - raised by `call`
                answer = False, error
