"""The flags of optimizer, learning rate and loss."""

import dataclasses
import math

from smartgrowth.flags.checks import (
    ABOVE_ZERO,
    AT_LEAST_ZERO,
    EPOCHS,
    SHARE_BELOW_ONE,
    Check,
)
from smartgrowth.flags.flag import Identity, flag

AUTO_RATES = ("auto", "auto:stage")  # of --lr: a range test finds it
# By optimizer; see `optimizer` below.
DEFAULT_RATES = {"adamw": 0.006, "sgd": 0.1}
GROUPS = "a comma list of numbers above 0, or a factor above 0 such as 3x"
RATE = "a number above 0, auto or auto:stage"


def _parse_rate(text: str | float) -> float | str:
    if text in AUTO_RATES:
        return text
    try:
        return float(text)
    except ValueError:
        raise ValueError(f"must be {RATE}") from None


def _is_rate(value: float | str) -> bool:
    if isinstance(value, str):
        return value in AUTO_RATES
    return 0 < value < math.inf


def _parse_groups(text: str | tuple) -> str | tuple[float, ...]:
    if not isinstance(text, str):
        return text
    try:
        if text.endswith("x"):
            float(text.removesuffix("x"))
            return text
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        raise ValueError(f"must be {GROUPS}") from None


def _are_groups(value: str | tuple[float, ...]) -> bool:
    if isinstance(value, str):
        return 0 < float(value.removesuffix("x")) < math.inf
    return all(0 < number < math.inf for number in value)


@dataclasses.dataclass(frozen=True)
class Training:
    """The group Training."""

    # On glyphs, 1,200 steps of 64 images at 32 px, one seed: adamw at 0.003,
    # 0.008, 0.016 ended at 66.5%, 77.5%, 72.3%; sgd at 0.05, 0.1, 0.2 at
    # 66.6%, 74.5%, 72.5%. On 10 classes of Tiny-ImageNet both gave 72%.
    optimizer: str = flag(
        "adamw",
        "adamw; or sgd, with Nesterov momentum, which wants --lr=0.1 and "
        "--weight_decay=5e-4.",
        identity=Identity.ALWAYS,
        choices=("adamw", "sgd"),
    )
    lr: float | str = flag(
        DEFAULT_RATES["adamw"],
        "The highest learning rate: a number; auto: found by a range test on "
        "the stage that costs most; auto:stage: by one before every stage.",
        identity=Identity.ALWAYS,
        parse=_parse_rate,
        check=Check(_is_rate, RATE),
    )
    lr_min: float = flag(
        1e-5,
        "Where a range test begins.",
        identity=Identity.IF_RATE_IS_FOUND,
        check=ABOVE_ZERO,
    )
    lr_max: float = flag(
        1.0,
        "Where a range test ends at the latest.",
        identity=Identity.IF_RATE_IS_FOUND,
        check=ABOVE_ZERO,
    )
    lr_groups: str | tuple[float, ...] | None = flag(
        None,
        "By what the learning rate of each layer group is multiplied, from the "
        "image to the head, such as 0.01,0.1,1; or 10x: each group's is a "
        "tenth of that of the one behind it.",
        identity=Identity.IF_SET,
        parse=_parse_groups,
        check=Check(_are_groups, GROUPS),
    )
    schedule: str = flag(
        "one_cycle",
        "The schedule of the learning rate.",
        identity=Identity.ALWAYS,
        choices=(
            "constant",
            "cosine",
            "one_cycle",
            "triangular",
            "triangular2",
            "exp_range",
            "sgdr",
        ),
    )
    schedule_scope: str = flag(
        "run",
        "One schedule over the run, or one for every stage.",
        identity=Identity.ALWAYS,
        choices=("run", "stage"),
    )
    schedule_clock: str = flag(
        "steps",
        "What the schedule of a run proceeds by. steps; or cost, always with "
        "--grow_when=auto: the rate is a function of the GFLOPs spent, "
        "whatever the stages' lengths.",
        identity=Identity.IF_SET,
        choices=("steps", "cost"),
    )
    cycle_len: int | None = flag(
        None,
        "Steps of the (first) cycle; the whole scope unless given. Of the last "
        "stage's cost each, with --schedule_clock=cost.",
        identity=Identity.ALWAYS,
        check=ABOVE_ZERO,
    )
    cycle_epochs: float | None = flag(
        None,
        "Or: passes over a stage's images that it takes.",
        identity=Identity.IF_SET,
        check=EPOCHS,
    )
    cycle_mult: float = flag(
        1.0,
        "Each cycle is this many times as long as the one before (sgdr).",
        identity=Identity.ALWAYS,
        check=ABOVE_ZERO,
    )
    weight_decay: float = flag(
        0.05,
        "Decoupled, times the rate; not on batch norm and biases.",
        identity=Identity.ALWAYS,
        check=AT_LEAST_ZERO,
    )
    ema: float = flag(
        0.0,
        "Decay per step of a moving average of the weights, such as 0.999, "
        "which is then what is validated and kept; 0: none.",
        identity=Identity.IF_SET,
        check=SHARE_BELOW_ONE,
    )
    stage_restart: str = flag(
        "none",
        "What the beginning of a stage does. momentum: the optimizer drops "
        "earlier gradients; shrink_perturb: that, and all weights are shrunk "
        "and perturbed.",
        identity=Identity.IF_SET,
        choices=("none", "momentum", "shrink_perturb"),
    )
    label_smoothing: float = flag(
        0.0,
        "Share of a label spread over the active classes.",
        identity=Identity.ALWAYS,
        check=SHARE_BELOW_ONE,
    )
