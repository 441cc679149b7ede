"""The assignment's rules, read off the built model.

Tiny-ImageNet-200 from scratch: under 26 M parameters, no 1x1 convolution that
widens, no dropout, no dense layer, no pretraining, no test images, at most 500
epochs.
"""

import dataclasses
import re
from collections.abc import Sequence

import keras

from smartgrowth import UserError
from smartgrowth.runtime.keras_internals import nodes_of

MAX_PARAMETERS = 26_000_000
MAX_EPOCHS = 500
# A path in a test split's folder, or an id of TFDS' own.
TEST_IMAGE = re.compile(r"^test/|^\w+-test\.")
# Also of a class whose name does not say so.
DROPOUT_LAYERS = (
    keras.layers.Dropout,
    keras.layers.SpatialDropout1D,
    keras.layers.SpatialDropout2D,
    keras.layers.SpatialDropout3D,
    keras.layers.AlphaDropout,
    keras.layers.GaussianDropout,
)
SPATIAL = (
    keras.layers.Conv2D,
    keras.layers.DepthwiseConv2D,
    keras.layers.SeparableConv2D,
    keras.layers.MaxPooling2D,
    keras.layers.AveragePooling2D,
)


@dataclasses.dataclass(frozen=True)
class Finding:
    """The result for one rule; `passed` is None if there is nothing to pass."""

    rule: str
    passed: bool | None
    detail: str


def audit(
    model: keras.Model,
    epochs: float,
    image_size: int,
    train_ids: Sequence[str] = (),
) -> list[Finding]:
    """Checks every rule and names the layers that break it.

    Args:
      model: built.
      epochs: passes over the training set that the plan makes.
      image_size: the final one, in pixels.
      train_ids: paths of the training images.
    """
    layers = list(_all_layers(model))
    field = receptive_field(model)
    share = field / image_size
    return [
        Finding(
            f"under {MAX_PARAMETERS // 10**6} M parameters",
            model.count_params() < MAX_PARAMETERS,
            f"{model.count_params():,}",
        ),
        _forbid(
            "no 1x1 convolution that widens",
            [text for layer in layers if (text := _widens(layer))],
        ),
        _forbid(
            "no dropout",
            [x.name for x in layers if isinstance(x, DROPOUT_LAYERS)],
        ),
        _forbid(
            "no dense layer",
            [text for layer in layers if (text := _is_dense(layer))],
        ),
        Finding(
            f"at most {MAX_EPOCHS} epochs",
            epochs <= MAX_EPOCHS,
            f"{epochs:.1f} in the plan",
        ),
        # There is no way to load any but a run's own checkpoint.
        Finding("no pretrained weights", True, "weights are drawn from --seed"),
        _forbid(
            "no test images",
            [name for name in train_ids if TEST_IMAGE.search(name)],
        ),
        Finding(
            "receptive field against image size",
            None,
            f"{field} px of {image_size} px ({share:.1f} x)",
        ),
    ]


def enforce(findings: list[Finding]) -> None:
    """Raises `UserError` if rules are broken, and names them."""
    broken = [f"{f.rule} ({f.detail})" for f in findings if f.passed is False]
    if broken:
        raise UserError(
            f"--enforce_rules: {'; '.join(broken)}; change the model or drop "
            "the flag"
        )


def format_findings(findings: list[Finding]) -> str:
    """Returns the findings as text, one row each."""
    words = {True: "pass", False: "FAIL", None: "    "}
    return "\n".join(
        f"{words[f.passed]}  {f.rule:35} {f.detail}" for f in findings
    )


def receptive_field(model: keras.Model) -> int:
    """Returns the receptive field of the last feature map, in pixels per side.

    It is the largest over all paths. Each layer with kernel k widens the field
    by k - 1 steps of its input, in pixels of the image.
    """
    reach = {}  # tensor -> (field, step in image pixels)
    largest = 1
    for operation in model.operations:
        for node in nodes_of(operation):
            inputs = [reach.get(id(x), (1, 1)) for x in node.input_tensors]
            field = max((f for f, _ in inputs), default=1)
            step = max((s for _, s in inputs), default=1)
            if isinstance(operation, SPATIAL):
                if hasattr(operation, "kernel_size"):
                    kernel = operation.kernel_size[0]
                else:
                    kernel = operation.pool_size[0]
                gap = getattr(operation, "dilation_rate", (1,))[0]
                field += (kernel - 1) * gap * step
                step *= operation.strides[0]
            for x in node.outputs:
                reach[id(x)] = (field, step)
            largest = max(largest, field)
    return largest


def _forbid(rule: str, culprits: list[str]) -> Finding:
    shown = ", ".join(culprits[:4])
    more = f" and {len(culprits) - 4} more" if len(culprits) > 4 else ""
    return Finding(rule, not culprits, f"{shown}{more}" or "none")


def _widens(layer) -> str:
    """Describes how a 1x1 convolution adds channels; "" if it does not."""
    if isinstance(layer, keras.layers.SeparableConv2D):
        # The pointwise half is a 1x1 over the depthwise half's output.
        channels = layer.pointwise_kernel.shape[2]
        entering = channels // layer.depth_multiplier
        filters = max(layer.filters, channels)
    elif isinstance(layer, keras.layers.DepthwiseConv2D):
        if tuple(layer.kernel_size) != (1, 1):
            return ""
        entering = layer.kernel.shape[2]
        filters = entering * layer.depth_multiplier
    elif isinstance(layer, keras.layers.Conv2D):
        if tuple(layer.kernel_size) != (1, 1):
            return ""
        entering, filters = layer.kernel.shape[2] * layer.groups, layer.filters
    else:
        return ""
    return f"{layer.name} ({entering} -> {filters})" * (filters > entering)


def _is_dense(layer) -> str:
    """Describes a dense layer or an equivalent convolution; "" for others."""
    if isinstance(layer, keras.layers.Dense):
        return f"{layer.name} ({layer.units} units)"
    if not isinstance(layer, keras.layers.Conv2D):
        return ""
    # After a global pooling every convolution multiplies one vector.
    on_vector = tuple(layer.input.shape[1:3]) == (1, 1)
    return f"{layer.name} ({layer.filters} filters on a 1x1 map)" * on_vector


def _all_layers(model):
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            yield from _all_layers(layer)
        else:
            yield layer
