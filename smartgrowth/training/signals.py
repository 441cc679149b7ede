"""Stopping a run in time for it to save."""

import signal
import threading


class StopSignals:
    """While entered, the first SIGINT or SIGTERM sets an event.

    The run can then save before it stops; a second SIGINT stops it at once.
    """

    def __init__(self):
        self.event = threading.Event()
        self.previous = {}

    def __enter__(self) -> threading.Event:
        # Only the main thread may; elsewhere (a notebook's) nothing changes.
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self.previous[number] = signal.signal(number, self._handle)
        return self.event

    def __exit__(self, *error) -> None:
        for number, handler in self.previous.items():
            signal.signal(number, handler)

    def _handle(self, number, frame) -> None:
        if self.event.is_set() and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.event.set()
