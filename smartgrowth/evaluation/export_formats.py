"""The formats of an export: how each is written, and run by its own runtime.

export.py compares what they compute with final.keras.
"""

import contextlib
import dataclasses
import importlib.util
import io
import logging
import pathlib
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from smartgrowth import UserError
from smartgrowth.runs.parse import reason
from smartgrowth.runtime.backend import quiet

# float32 images (N, size, size, 3) -> logits (N, classes).
Forward = Callable[[np.ndarray], np.ndarray]


@dataclasses.dataclass(frozen=True)
class Format:
    """A format.

    name: of `--format`.
    keras_name: of Keras' `Model.export`.
    load: opens an exported file with the format's own runtime.
    packages: what must be installed for both, beside what always is.
    options: of Keras' exporter.
    quantized: whether the weights are rounded to 8 bits.
    """

    name: str
    file: str
    keras_name: str
    load: Callable[[pathlib.Path], Forward]
    packages: tuple[str, ...] = ()
    options: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    quantized: bool = False


def choose(names: Sequence[str], quantize: bool) -> list[Format]:
    """Returns the formats of `--format` and `--quantize`.

    Raises:
      UserError: a package that one of them needs is not installed.
    """
    chosen = [FORMATS[name] for name in dict.fromkeys(names)]
    if quantize:
        chosen = [QUANTIZED if f.name == "tflite" else f for f in chosen]
    for form in chosen:
        for package in form.packages:
            if importlib.util.find_spec(package) is None:
                raise UserError(
                    f"--format={form.name}: the package {package} is not "
                    f"installed; pip install 'smartgrowth[{form.name}]'"
                )
    return chosen


def fix_size(model: keras.Model, size: int) -> keras.Model:
    """Returns a copy of a model for images of one size, in pixels.

    Networks that average to a fixed grid can only be exported so.
    """
    image = keras.Input((size, size, 3), name="image")
    fixed = keras.models.clone_model(model, input_tensors=image)
    fixed.set_weights(model.get_weights())
    for layer in fixed.layers:
        if isinstance(layer, keras.layers.Normalization):
            # tf2onnx makes a further input of every tensor that is no variable.
            layer.mean = np.asarray(layer.mean)
            layer.variance = np.asarray(layer.variance)
    fixed(image)  # Keras' exporter to ONNX refuses what was never called
    return fixed


def write(model: keras.Model, form: Format, path: pathlib.Path) -> Forward:
    """Writes a model in a format, and opens what was written.

    Args:
      model: of `fix_size`.
      form: the format.
      path: of a file or folder that is not there.

    Returns:
      The forward pass of what was written.

    Raises:
      UserError: the format cannot hold the network.
      OSError: it cannot be written.
    """
    logging.getLogger("tf2onnx").setLevel(logging.CRITICAL)
    try:
        with (
            quiet(),
            # Keras 3.13 prints what a converter gets, verbose or not.
            contextlib.redirect_stdout(io.StringIO()),
            warnings.catch_warnings(),
        ):
            # Keras looks for a name of NumPy 1 before it calls tf2onnx.
            warnings.filterwarnings(
                "ignore", r"In the future `np\.object`", FutureWarning
            )
            model.export(
                str(path), format=form.keras_name, verbose=False, **form.options
            )
            return form.load(path)
    except OSError:
        raise
    except Exception as error:  # converters and runtimes raise almost any
        raise UserError(
            f"--format={form.name}: the network cannot be exported "
            f"({reason(error)}); leave it out"
        ) from error


def _load_saved_model(path: pathlib.Path) -> Forward:
    loaded = tf.saved_model.load(path)
    return lambda images: loaded.serve(images).numpy()


def _load_tflite(path: pathlib.Path) -> Forward:
    try:
        from ai_edge_litert.interpreter import Interpreter
    except ImportError:
        Interpreter = tf.lite.Interpreter
    with warnings.catch_warnings():
        # It names ai_edge_litert as its successor, which is taken if it is
        # there; both run the same files.
        warnings.filterwarnings(
            "ignore", r"\s*Warning: tf\.lite\.Interpreter is dep", UserWarning
        )
        interpreter = Interpreter(str(path))
    interpreter.allocate_tensors()  # it writes a note, which `write` holds back
    runner = interpreter.get_signature_runner()
    [image] = runner.get_input_details()
    [logits] = runner.get_output_details()
    return lambda images: runner(**{image: images})[logits]


def _load_onnx(path: pathlib.Path) -> Forward:
    import onnxruntime

    session = onnxruntime.InferenceSession(path)
    [image] = session.get_inputs()
    return lambda images: session.run(None, {image.name: images})[0]


FORMATS = {
    "saved_model": Format(
        "saved_model", "saved_model", "tf_saved_model", _load_saved_model
    ),
    "tflite": Format("tflite", "model.tflite", "litert", _load_tflite),
    "onnx": Format(
        "onnx",
        "model.onnx",
        "onnx",
        _load_onnx,
        packages=("tf2onnx", "onnx", "onnxruntime"),
    ),
}
QUANTIZED = dataclasses.replace(
    FORMATS["tflite"],
    file="model_quantized.tflite",
    options={"optimizations": [tf.lite.Optimize.DEFAULT]},
    quantized=True,
)
