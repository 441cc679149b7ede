"""Importing Keras and its backend without what they print while they start.

TF_CPP_MIN_LOG_LEVEL does not silence the C++ messages of TensorFlow's import
(tensorflow/tensorflow#100442): notes about libraries that a machine without a
GPU cannot have, where users look for errors.
"""

import contextlib
import os
import sys
import tempfile

from smartgrowth.runtime.cpu import read_cpu

ONEDNN = "TF_ENABLE_ONEDNN_OPTS"


def import_backend() -> None:
    """Imports Keras and its backend, silently; asks for no devices yet."""
    # Honored from the end of the import on.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    ask_for_onednn()
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


def ask_for_onednn() -> None:
    """Has TensorFlow use its oneDNN operators, unless the user has decided.

    By itself it does so on processors with AVX512_VNNI, AVX512_BF16, AVX_VNNI
    or AMX. With AVX2 alone, training steps of the default network at 32 px
    took 125 to 197 images/s without them and 308 with them (2 cores of an AMD
    EPYC, Zen 3, float32). To be called before TensorFlow is imported.
    """
    if "avx2" in read_cpu().features:
        os.environ.setdefault(ONEDNN, "1")


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
