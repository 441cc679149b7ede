"""What the layers of a network compute, against the assignment's rules.

A layer is judged by its kernel and by the map that it meets, not by its name:
a convolution that reads its whole map for every output is a fully connected
layer. What cannot be judged is named.
"""

import collections
import dataclasses
import math
from collections.abc import Iterable

import keras
import numpy as np

from smartgrowth.models import layer_kinds as kinds
from smartgrowth.models import taps
from smartgrowth.runtime.keras_internals import Call, sublayers, trace_calls

MIXED = "mixed"  # of a tensor: no longer known which position a value is of


@dataclasses.dataclass(frozen=True)
class Verdict:
    """Layers that break a rule, "name (why)" each, without repetition."""

    widening: list[str]
    dropout: list[str]
    fully_connected: list[str]
    unknown: list[str]


def judge(calls: Iterable[Call]) -> Verdict:
    """Returns what is wrong with the calls of a network, in their order.

    Layers that are fully connected by name come before the convolutions that
    amount to one.
    """
    walk = _Walk()
    walk.follow(calls)
    named = {rule: list(texts) for rule, texts in walk.found.items()}
    return Verdict(
        named.get("widening", []),
        named.get("dropout", []),
        named.get("dense", []) + named.get("as dense", []),
        named.get("unknown", []),
    )


class _Walk:
    """Follows the tensors of a network from layer to layer.

    Attributes:
      found: rule -> texts, as keys.
      origins: id of a tensor -> for each of its values the position that it
        comes from, an int array without the batch; MIXED; or nothing, if the
        last axis has the channels of one position.
    """

    def __init__(self):
        self.found = collections.defaultdict(dict)
        self.origins = {}
        self.kept = []  # or another tensor would get the id of a lost one

    def follow(self, calls: Iterable[Call]) -> None:
        for call in calls:
            self.kept.append(call)
            self._judge_dropout(call.operation)
            self._judge_activation(call.operation)
            self._judge(call)

    def _add(self, rule: str, operation, why: str = "") -> None:
        text = f"{operation.name} ({why})" if why else operation.name
        self.found[rule][text] = None

    def _judge(self, call: Call) -> None:
        operation, kind = call.operation, type(call.operation)
        origin = None
        if getattr(operation, "data_format", "") == "channels_first":
            self._add("unknown", operation, "channels_first")
        elif kind in kinds.FULLY_CONNECTED:
            self._add("dense", operation, _describe_dense(operation))
        elif kind in kinds.CONVOLUTIONS:
            self._judge_convolution(call)
        elif kind in kinds.WRAPPERS:
            self._judge_wrapped(call)
        elif kind in kinds.REARRANGING or _op(operation) in (
            "Reshape",
            "Transpose",
        ):
            origin = self._rearrange(call)
        elif (
            kind in kinds.ELEMENTWISE or _op(operation) in kinds.ELEMENTWISE_OPS
        ):
            origin = self._common_origin(call)
        elif kind in kinds.POOLING or _op(operation) in kinds.POOLING_OPS:
            known = all(self._origin(x) is None for x in call.inputs)
            origin = None if known else MIXED
        elif kind in kinds.DROPOUT:
            origin = self._common_origin(call)
        else:
            self._judge_unknown(operation)
        for x in call.outputs:
            self.origins[id(x)] = origin

    def _judge_dropout(self, operation) -> None:
        if kinds.is_dropout(type(operation)):
            self._add("dropout", operation)
        for part in (operation, *sublayers(operation)):
            for name, value in vars(part).items():
                rate = value if isinstance(value, float) else 0
                if "drop" in name.lower() and rate > 0:
                    why = f"{name.strip('_')} {rate:g}"
                    self._add("dropout", operation, why)

    def _judge_activation(self, operation) -> None:
        function = getattr(operation, "activation", None)
        own = function not in (None, *vars(keras.activations).values())
        if own and not isinstance(function, keras.Layer):
            name = getattr(function, "__name__", function)
            self._add("unknown", operation, f"activation {name}")

    def _judge_unknown(self, operation) -> None:
        kind = type(operation).__name__
        if not isinstance(operation, keras.Layer):
            self._add("unknown", operation, f"operation {kind}")
            return
        weights = [tuple(weight.shape) for weight in operation.weights]
        shown = ", ".join(str(shape) for shape in weights[:2])
        more = f" and {len(weights) - 2} more" if len(weights) > 2 else ""
        self._add(
            "unknown",
            operation,
            f"layer {kind} with "
            + (f"weights {shown}{more}" if weights else "no weights"),
        )
        for layer in sublayers(operation):
            self._judge_dropout(layer)
            if type(layer) in kinds.FULLY_CONNECTED:
                self._add("dense", layer, _describe_dense(layer))

    def _judge_wrapped(self, call: Call) -> None:
        wrapper = call.operation
        inputs = call.inputs
        if isinstance(wrapper, keras.layers.TimeDistributed):
            inputs = [_first_step(x) for x in inputs]
        for outside, inside in zip(call.inputs, inputs, strict=True):
            if self._origin(outside) is not None:
                self.origins[id(inside)] = MIXED
        self.kept.append(inputs)
        for layer in _wrapped(wrapper):
            self.follow(trace_calls(layer, inputs))

    def _judge_convolution(self, call: Call) -> None:
        (x,), (y,) = call.inputs, call.outputs
        layer, origin = call.operation, self._origin(x)
        separable = hasattr(layer, "pointwise_kernel")
        if origin is MIXED or (origin is not None and separable):
            self._add("unknown", layer, "on rearranged axes")
            return
        kernels = list(taps.kernels(layer, x.shape, y.shape))
        dense = any(kernel.is_dense(origin) for kernel in kernels)
        entering, leaving = x.shape[-1], y.shape[-1]
        if separable:
            # The pointwise half is a 1x1 over what the depthwise half made.
            leaving = max(leaving, entering * layer.depth_multiplier)
        # One that only ever meets a single position is a 1x1, too.
        narrow = any(math.prod(k.sides) == 1 for k in kernels)
        alone = not dense and any(k.meets_one for k in kernels)
        if (narrow or alone) and leaving > entering:
            self._add("widening", layer, f"{entering} -> {leaving}")
        if dense:
            sides = _times(layer.kernel_size)
            size = _times(x.shape[1:-1])
            why = f"{leaving} filters of {sides} on a {size} map"
            self._add("as dense", layer, why)

    # Where values come from

    def _origin(self, x):
        return self.origins.get(id(x))

    def _common_origin(self, call: Call):
        """Of values that stay where they are."""
        (y,) = call.outputs[:1]
        origins = [
            (self._origin(x), x.shape)
            for x in call.inputs
            if self._origin(x) is not None
        ]
        if not origins:
            return None
        origin, shape = origins[0]
        return origin if shape == y.shape else MIXED

    def _rearrange(self, call: Call):
        (x,), (y,) = call.inputs[:1], call.outputs
        origin, operation = self._origin(x), call.operation
        if origin is MIXED or y.shape[0] != x.shape[0]:
            return MIXED
        if origin is None:
            origin = _positions(x.shape[1:])
        if isinstance(operation, keras.layers.Permute):
            origin = origin.transpose([axis - 1 for axis in operation.dims])
        elif _op(operation) == "Transpose":
            if not operation.axes or operation.axes[0] != 0:
                return MIXED
            origin = origin.transpose([axis - 1 for axis in operation.axes[1:]])
        origin = origin.reshape(y.shape[1:])
        # As good as new: the last axis has the channels of one position.
        regular = np.array_equal(origin, _positions(y.shape[1:]))
        return None if regular else origin


def _describe_dense(layer) -> str:
    if hasattr(layer, "units"):
        return f"{layer.units} units"
    return getattr(layer, "equation", type(layer).__name__)


def _times(sizes) -> str:
    return "x".join(map(str, sizes))


def _op(operation) -> str:
    """The name of an operation of `keras.ops`; "" of anything else."""
    kind = type(operation)
    own = kind.__module__.startswith("keras.src.ops.")
    return kind.__name__ if own else ""


def _positions(shape) -> np.ndarray:
    """Numbers the positions of a map, (..., channels), or a vector's values."""
    *sizes, channels = shape
    if math.prod(sizes) == 1:
        return np.arange(channels).reshape(shape)
    numbers = np.arange(math.prod(sizes)).reshape(*sizes, 1)
    return np.broadcast_to(numbers, shape)


def _first_step(x) -> keras.KerasTensor:
    return keras.KerasTensor((x.shape[0], *x.shape[2:]), x.dtype)


def _wrapped(wrapper) -> list:
    if isinstance(wrapper, keras.layers.Bidirectional):
        return [wrapper.forward_layer, wrapper.backward_layer]
    return [wrapper.layer]
