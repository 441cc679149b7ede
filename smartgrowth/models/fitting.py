"""What a user's network must be so that a run can train, keep and judge it."""

import itertools

import keras
import numpy as np

from smartgrowth import UserError
from smartgrowth.models import audit
from smartgrowth.models.groups import BODY, HEAD
from smartgrowth.runtime.keras_internals import Call, sublayers

IMAGES = (None, None, None, 3)
PROBABILITIES = ("softmax", "sigmoid", "log_softmax")
# What they do is code or state that no .keras file holds.
NOT_KEPT = ("Lambda", "TFSMLayer", "TorchModuleWrapper", "JaxLayer")
SIZE = 64  # of images in pixels, for what holds at any size


def make_functional(
    name: str, model: keras.Model, num_classes: int
) -> keras.Model:
    """Returns a network as a functional model with float32 logits.

    Args:
      name: of `--model`.
      model: what the user's function returned.
      num_classes: that it must tell apart.

    Raises:
      UserError: it is no model from raw images to as many logits.
    """
    if not isinstance(model, keras.Model):
        raise UserError(
            f"--model={name}: it returned {type(model).__name__}; return a "
            "keras.Model"
        )
    if isinstance(model, keras.Sequential) and not model.built:
        model.build(IMAGES)
    try:
        inputs, outputs = model.inputs, model.outputs
    except AttributeError:  # a subclass with a call of its own
        inputs = None
    if not inputs:
        image = keras.Input(IMAGES[1:], name="image")
        try:
            inputs, outputs = [image], keras.tree.flatten(model(image))
        except Exception as error:  # whatever its call raises
            raise UserError(
                f"--model={name}: its call takes no images of any size: "
                f"{one_line(error)}"
            ) from error
    shapes = [tuple(each.shape) for each in (*inputs, *outputs)]
    if shapes != [IMAGES, (None, num_classes)]:
        raise UserError(
            f"--model={name}: it makes {_list(shapes[len(inputs) :])} of "
            f"{_list(shapes[: len(inputs)])}; it must make logits (None, "
            f"{num_classes}) of images of any size, keras.Input((None, None, "
            "3))"
        )
    logits = keras.layers.Activation("linear", dtype="float32")
    return keras.Model(inputs[0], logits(outputs[0]), name=model.name)


def check(name: str, model: keras.Model) -> None:
    """Checks that a network makes logits, and that files can keep it.

    Raises:
      UserError: it ends in probabilities, or a layer cannot be kept.
    """
    if not model.trainable_variables:
        raise UserError(f"--model={name}: it has nothing to train")
    if ending := _ending(model):
        raise UserError(
            f"--model={name}: it ends with {ending}; return logits, which the "
            "loss makes probabilities of"
        )
    for layer in sublayers(model):
        if type(layer).__name__ in NOT_KEPT:
            raise UserError(
                f"--model={name}: the layer {layer.name} is a "
                f"{type(layer).__name__}, which no file keeps whole; write "
                "what it does with layers or keras.ops"
            )
    try:
        copy = keras.saving.deserialize_keras_object(
            keras.saving.serialize_keras_object(model)
        )
    except Exception as error:  # of whatever layer
        raise UserError(
            f"--model={name}: a file of it could not be opened again; give "
            "layers of your own a get_config and "
            "@keras.saving.register_keras_serializable() "
            f"({one_line(error)[:300]})"
        ) from error
    if _shapes(copy) != _shapes(model):
        raise UserError(
            f"--model={name}: made again from its own get_config, it has other "
            "weights; see to it that get_config names all arguments"
        )


def check_size(name: str, model: keras.Model, size: int) -> None:
    """Checks that a network takes images of a size, and drops no border of it.

    Raises:
      UserError: it does not.
    """
    reason = _refuses(model, size)
    if not reason:
        return
    near = []
    for sizes in (range(size - 1, 0, -1), range(size + 1, 2 * size + 32)):
        suits = (str(each) for each in sizes if not _refuses(model, each))
        near += itertools.islice(suits, 1)
    raise UserError(
        f"image size {size} does not suit --model={name}: {reason}; "
        + (f"use {' or '.join(near)}" if near else "no size near it does")
    )


def check_synchronized(name: str, model: keras.Model) -> None:
    """Checks that every batch norm is over the batch of all devices.

    Raises:
      UserError: one is not.
    """
    for layer in sublayers(model):
        if isinstance(layer, keras.layers.BatchNormalization) and not getattr(
            layer, "synchronized", False
        ):
            raise UserError(
                f"--devices=all with --model={name}: its batch norm "
                f"{layer.name} would see a part of each batch; make it with "
                "synchronized=True, or leave --devices out"
            )


def set_groups(model: keras.Model) -> None:
    """Gives the layers of a model their layer groups: the body and the head.

    The head begins with the last layer that has weights. Layers that the user
    has frozen, whole or in part, get no group, and stay as they are.
    """
    for layer in model.layers:
        parts = [layer, *sublayers(layer)]
        layer.group = BODY if all(part.trainable for part in parts) else None
    trained = [x for x in model.layers if x.group and x.trainable_variables]
    if len(trained) < 2:
        return
    behind = model.layers[model.layers.index(trained[-1]) :]
    try:
        keras.Model(trained[-1].input, model.output)
    except ValueError:  # the head gets more than one layer's output
        return
    for layer in behind:
        layer.group = layer.group and HEAD


def total_stride(model: keras.Model) -> int:
    """Returns how many pixels apart positions of a model's last map are."""
    calls, _ = _trace(model, SIZE)
    sides = [
        x.shape[1]
        for call in calls
        for x in call.outputs
        if len(x.shape) == 4 and x.shape[1] > 1
    ]
    return max(round(SIZE / min(sides)), 1) if sides else 1


def one_line(error: Exception) -> str:
    """Returns the kind and the text of an error of the user's code."""
    return f"{type(error).__name__}: {' '.join(str(error).split())}"


def _trace(model: keras.Model, size: int) -> tuple[list[Call], str]:
    """Returns what a network does to an image, or why it cannot."""
    try:
        return audit.trace(model, size), ""
    except Exception as error:  # whatever a layer raises
        return [], one_line(error)


def _ending(model: keras.Model) -> str:
    """Returns what a network makes probabilities with; "" if it makes none."""
    calls, reason = _trace(model, SIZE)
    for call in reversed(calls):
        kind = type(call.operation).__name__.lower()
        function = getattr(call.operation, "activation", None)
        used = getattr(function, "__name__", kind)
        if used in PROBABILITIES:
            return used
        if kind != "activation" or used != "linear":
            break
    if reason:
        return ""  # `check_size` says why
    images = np.random.default_rng(0).uniform(0, 255, (2, SIZE, SIZE, 3))
    outputs = model(images.astype("float32"), training=False)
    outputs = keras.ops.convert_to_numpy(outputs)
    summed = np.abs(outputs.sum(axis=1) - 1).max() < 1e-3
    return "probabilities" if summed and (outputs > 0).all() else ""


def _shapes(model: keras.Model) -> list[tuple[int, ...]]:
    return [tuple(variable.shape) for variable in model.variables]


def _refuses(model: keras.Model, size: int) -> str:
    """Returns why a network takes no images of a size; "" if it does."""
    calls, reason = _trace(model, size)
    padding = {}  # of a tensor -> rows and columns of zeros at its end
    for call in calls:
        layer, kind = call.operation, type(call.operation).__name__
        if kind == "ZeroPadding2D":
            padding[id(call.outputs[0])] = [end for _, end in layer.padding]
        elif kind == "Pad" and len(layer.pad_width) == 4:  # keras.ops.pad
            ends = [end for _, end in layer.pad_width]
            padding[id(call.outputs[0])] = ends[1:3]
        for length, lost in _losses(call, padding):
            if lost > 0:
                return (
                    f"its layer {layer.name} leaves out {lost} of {length} rows"
                )
    return reason


def _losses(call: Call, padding: dict):
    """Yields (length, rows left out at its end) of the axes of a layer's map.

    Rows between the positions of a kernel smaller than its stride do not count,
    nor does `padding`.
    """
    layer = call.operation
    if not isinstance(layer, audit.SPATIAL) or layer.padding == "same":
        return
    kernel = getattr(layer, "kernel_size", None) or layer.pool_size
    (entering,), (leaving,) = call.inputs, call.outputs
    ends = padding.get(id(entering), (0, 0))
    gaps = getattr(layer, "dilation_rate", (1, 1))
    for axis in range(2):
        length, stride = entering.shape[axis + 1], layer.strides[axis]
        extent = (kernel[axis] - 1) * gaps[axis] + 1
        read = (leaving.shape[axis + 1] - 1) * stride + extent
        free = max(stride - extent, ends[axis])
        yield length, length - read - free


def _list(shapes) -> str:
    return ", ".join(map(str, shapes)) or "nothing"
