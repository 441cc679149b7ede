"""Importing Keras and its backend, fast and without what they print meanwhile.

TF_CPP_MIN_LOG_LEVEL does not silence the C++ messages of TensorFlow's import
(tensorflow/tensorflow#100442): notes about libraries that a machine without a
GPU cannot have, where users look for errors.
"""

import contextlib
import gc
import os
import sys
import tempfile
from collections.abc import Iterator

from smartgrowth.runtime.cpu import read_cpu

ONEDNN = "TF_ENABLE_ONEDNN_OPTS"
# Keras and TensorFlow import these where they are installed, for functions that
# nothing here calls; so does TensorFlow with JAX.
OPTIONAL = ("pandas", "matplotlib")
# Of Python's collector, by generation. A compiled step is hundreds of
# thousands of objects that live on; with Python's own thresholds, looking
# through them took a tenth of a short run's processor time.
GC_THRESHOLDS = (50_000, 20, 50)


def import_backend() -> None:
    """Imports Keras and its backend, silently; asks for no devices yet."""
    # Honored from the end of the import on.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    ask_for_onednn()
    if "keras" not in sys.modules:
        on_tensorflow = os.environ.get("KERAS_BACKEND") == "tensorflow"
        optional = (*OPTIONAL, "jax") if on_tensorflow else OPTIONAL
        with quiet(), _without_collection(), _without(optional):
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
def _without(packages: tuple[str, ...]) -> Iterator[None]:
    """While entered, packages not yet imported seem not to be installed."""
    hidden = [name for name in packages if name not in sys.modules]
    sys.modules.update(dict.fromkeys(hidden))
    try:
        yield
    finally:
        for name in hidden:
            del sys.modules[name]


@contextlib.contextmanager
def _without_collection() -> Iterator[None]:
    """While entered, no garbage is collected; what is left is kept for good.

    Half a million objects are imported, and none of them is garbage.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.set_threshold(*GC_THRESHOLDS)
        gc.enable()


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
