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
from smartgrowth.models.judge import judge
from smartgrowth.runtime.keras_internals import Call, is_functional, trace_calls

MAX_PARAMETERS = 26_000_000
MAX_EPOCHS = 500
# A path in a test split's folder, or an id of TFDS' own.
TEST_IMAGE = re.compile(r"^test/|^\w+-test\.")
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
    init_from: str | None = None,
) -> list[Finding]:
    """Checks every rule and names the layers that break it.

    Args:
      model: built.
      epochs: passes over the training set that the plan makes.
      image_size: the final one, in pixels. The finished network is what is
        judged. In a smaller stage its maps may be no larger than its kernels:
        the weights are a convolution's all the same, which slides at the end.
      train_ids: paths of the training images.
      init_from: the run whose weights the model started from, if any.
    """
    calls, error = _trace(model, image_size)
    verdict = judge(calls)
    field = receptive_field(calls)
    share = field / image_size
    return [
        Finding(
            f"under {MAX_PARAMETERS // 10**6} M parameters",
            model.count_params() < MAX_PARAMETERS,
            f"{model.count_params():,}",
        ),
        _forbid("no 1x1 convolution that widens", verdict.widening),
        _forbid("no dropout", verdict.dropout),
        _forbid("no dense layer", verdict.fully_connected),
        _forbid("nothing that cannot be judged", error + verdict.unknown),
        Finding(
            f"at most {MAX_EPOCHS} epochs",
            epochs <= MAX_EPOCHS,
            f"{epochs:.1f} in the plan",
        ),
        Finding(
            "no pretrained weights",
            init_from is None,
            f"started from {init_from}" if init_from else _origin(model),
        ),
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


def receptive_field(calls: Sequence[Call]) -> int:
    """Returns the receptive field of the last feature map, in pixels per side.

    It is the largest over all paths. Each layer with kernel k widens the field
    by k - 1 steps of its input, in pixels of the image.
    """
    reach = {}  # tensor -> (field, step in image pixels)
    largest = 1
    for call in calls:
        layer = call.operation
        inputs = [reach.get(id(x), (1, 1)) for x in call.inputs]
        field = max((f for f, _ in inputs), default=1)
        step = max((s for _, s in inputs), default=1)
        if isinstance(layer, SPATIAL):
            if hasattr(layer, "kernel_size"):
                kernel = layer.kernel_size[0]
            else:
                kernel = layer.pool_size[0]
            gap = getattr(layer, "dilation_rate", (1,))[0]
            field += (kernel - 1) * gap * step
            step *= layer.strides[0]
        for x in call.outputs:
            reach[id(x)] = (field, step)
        largest = max(largest, field)
    return largest


def trace(model: keras.Model, image_size: int) -> list[Call]:
    """Returns the calls of a network's layers on one square image.

    image_size: in pixels, where the model's input has no size of its own.
    """
    if not is_functional(model):
        return [Call(model, [], [])]  # its `call` may do anything
    inputs = [
        keras.KerasTensor(
            (1, *(side or image_size for side in x.shape[1:])), x.dtype
        )
        for x in model.inputs
    ]
    return trace_calls(model, inputs)


def _trace(model, image_size) -> tuple[list[Call], list[str]]:
    """The calls, or why there are none: a layer takes no image of this size."""
    try:
        return trace(model, image_size), []
    except Exception as error:  # whatever a layer raises
        reason = str(error).partition("\n")[0]
        return [], [f"the network at {image_size} px: {reason}"]


def _origin(model) -> str:
    """Returns where the first weights are from."""
    fixed = [layer.name for layer in model.layers if not layer.trainable]
    made = f", of {', '.join(fixed)} made of the training images"
    return f"drawn from --seed{made if fixed else ''}"


def _forbid(rule: str, culprits: list[str]) -> Finding:
    shown = ", ".join(culprits[:4])
    more = f" and {len(culprits) - 4} more" if len(culprits) > 4 else ""
    return Finding(rule, not culprits, f"{shown}{more}" or "none")
