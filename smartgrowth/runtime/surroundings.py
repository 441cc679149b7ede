"""What surrounds the program, settled before it imports anything large.

A user's settings of Keras or matplotlib, an encoding, a missing home folder:
none of them may change what a run computes, or stop it without a word.
"""

import atexit
import importlib.util
import os
import pathlib
import shutil
import sys
import tempfile

from smartgrowth import UserError
from smartgrowth.runtime.reporter import say

BACKENDS = ("tensorflow", "jax")
# A run trains as its plan says: these would stop an epoch early, or give Keras
# other variables.
OVERRULED = (
    "KERAS_MAX_EPOCHS",
    "KERAS_MAX_STEPS_PER_EPOCH",
    "KERAS_NNX_ENABLED",
)
# Read by the backends' C++, which ends the process at a word it does not know.
COMPILER_FLAGS = ("TF_XLA_FLAGS", "XLA_FLAGS")


def settle(own_process: bool = True) -> None:
    """Settles what the environment leaves open; call it once, first.

    Args:
      own_process: whether the process is the program's; in a notebook or a
        program of the user's, Keras may be imported, and plots are theirs.

    Raises:
      UserError: KERAS_BACKEND names none that trains here, or Keras is set up
        in a way that this program does not train with.
    """
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            # Of a locale such as C, which has no character for "±" or "█".
            stream.reconfigure(errors="replace")
    _settle_backend()
    # No file: the keras.json of the user's, with another floatx or order of
    # the channels, is not read, and no folder is made at home.
    os.environ["KERAS_HOME"] = os.devnull
    for name in OVERRULED:
        if os.environ.pop(name, None) is not None:
            say(f"warning: {name} is ignored, the plan says how long to train")
    for name in COMPILER_FLAGS:
        if flags := os.environ.get(name):
            say(
                f"warning: {name}={flags} is set: results may change, and one "
                "that the backend does not know ends the program here"
            )
    if own_process:
        # Figures are written to files. A notebook's own is set for its
        # processes too, which may lack it.
        os.environ["MPLBACKEND"] = "agg"
    elif "keras" in sys.modules:
        _check_keras(sys.modules["keras"])
    _settle_home()


def _check_keras(keras) -> None:
    """Raises `UserError` if a Keras that is imported trains otherwise."""
    found = {
        "backend": (keras.config.backend(), os.environ["KERAS_BACKEND"]),
        "floatx": (keras.config.floatx(), "float32"),
        "image_data_format": (
            keras.config.image_data_format(),
            "channels_last",
        ),
    }
    for name, (value, expected) in found.items():
        if value != expected:
            raise UserError(
                f"Keras was imported with {name}={value}, needed is "
                f"{expected}; restart the kernel, and import smartgrowth first"
            )


def _settle_backend() -> None:
    backend = os.environ.get("KERAS_BACKEND") or BACKENDS[0]
    if backend not in BACKENDS:
        raise UserError(
            f"KERAS_BACKEND={backend}: must be {' or '.join(BACKENDS)}; unset "
            "it for the first one"
        )
    if importlib.util.find_spec(backend) is None:
        raise UserError(
            f"KERAS_BACKEND={backend}: {backend} is not installed; "
            f"pip install {backend}"
        )
    os.environ["KERAS_BACKEND"] = backend


def _settle_home() -> None:
    """Gives matplotlib a folder for its cache where there is no home."""
    try:
        pathlib.Path.home()
    except RuntimeError:
        if "MPLCONFIGDIR" not in os.environ:
            folder = tempfile.mkdtemp(prefix="smartgrowth_")
            atexit.register(shutil.rmtree, folder, ignore_errors=True)
            os.environ["MPLCONFIGDIR"] = folder
