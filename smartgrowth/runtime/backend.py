"""Importing TensorFlow without what it prints while it starts.

TF_CPP_MIN_LOG_LEVEL does not silence the C++ messages of its import
(tensorflow/tensorflow#100442): notes about libraries that a machine without a
GPU cannot have, where users look for errors.
"""

import contextlib
import os
import sys
import tempfile


def import_backend(devices_wanted: str | None = None) -> None:
    """Imports Keras and its backend and finds the devices, silently.

    What was printed is shown after all if the import fails.

    devices_wanted: of --devices, where something is to be trained.
    """
    # Honoured from the end of the import on.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    if "keras" in sys.modules:
        return
    with _held_back_stderr():
        from smartgrowth.runtime import devices, distributed

        if devices_wanted:
            distributed.join(devices_wanted)
        devices.find_machine()


@contextlib.contextmanager
def _held_back_stderr():
    """Keeps what the process writes to descriptor 2, C++ included."""
    sys.stderr.flush()
    stderr = os.dup(2)
    with tempfile.TemporaryFile() as held:
        os.dup2(held.fileno(), 2)
        try:
            yield
        except BaseException:
            held.seek(0)
            os.write(stderr, held.read())
            raise
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)
