"""Importing Keras and its backend without what they print while they start.

TF_CPP_MIN_LOG_LEVEL does not silence the C++ messages of TensorFlow's import
(tensorflow/tensorflow#100442): notes about libraries that a machine without a
GPU cannot have, where users look for errors.
"""

import contextlib
import os
import sys
import tempfile


def import_backend() -> None:
    """Imports Keras and its backend, silently; asks for no devices yet."""
    # Honored from the end of the import on.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    if "keras" not in sys.modules:
        with quiet():
            import keras  # noqa: F401 - for those who import it next


def find_devices() -> None:
    """Has the backend look for its devices, silently.

    To be called after `import_backend`, and after `distributed.join` where
    several processes train: what devices there are is settled then.
    """
    with quiet():
        from smartgrowth.runtime import devices

        devices.find_machine()


def start() -> None:
    """Imports the backend and finds its devices, in a single process."""
    import_backend()
    find_devices()


@contextlib.contextmanager
def quiet():
    """Holds back what the process writes to descriptor 2, C++ included.

    It is written after all if the block raises.
    """
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
