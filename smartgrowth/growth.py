"""The axes of growth: what a plan can give more of, stage by stage.

Flags, checks, stages, tables and reports are made from `AXES`. A new axis is
one record here, and the code that does with `Stage`'s field what it means.
"""

import dataclasses
import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from smartgrowth.flags.checks import ABOVE_ZERO, NAME, SHARE, Check
from smartgrowth.flags.flag import ALL, Identity, flag, integer_or_all
from smartgrowth.rendering.text import show

ALL_LAYERS = "all"  # in --grow_trainable
LEARNED, SLOWED = "learned", "slowed"  # see `boundaries`


@dataclasses.dataclass(frozen=True)
class Axis:
    """One axis of growth.

    flag: its name on the command line, where it is a list over the stages.
    field: its name in `plan.Stage`, plan.json and log.csv.
    name: what it is called in a sentence.
    help: its meaning, for --help.
    default: its value in a stage where nothing is said of it.
    parse: makes a value of one entry of the flag's list.
    check: what a value must be.
    hypothesis: the one that it tests, if any, such as H1.
    unit: what follows a value.
    column: its heading in the plan's table.
    always: whether that column is there though nothing grows in it.
    resolve: (value, number of classes there are) -> the stage's value.
    rule: by which a stage ends before it grows, with `--grow_when=auto`.
    later: whether runs from before it existed are to go on: their plans are
      then as if they named it at its default.
    """

    flag: str
    field: str
    name: str
    help: str
    default: Any
    parse: Callable[[str], Any]
    check: Check
    hypothesis: str = ""
    unit: str = ""
    column: str = ""
    always: bool = False
    resolve: Callable[[Any, int], Any] = lambda value, total_classes: value
    rule: str = SLOWED
    later: bool = True

    def text(self, value: Any) -> str:
        """Returns a value without its unit: "all", "16"."""
        return "all" if value is ALL else show("", value)

    def show(self, value: Any) -> str:
        """Returns a value with its unit: "all", "16 px"."""
        return self.text(value) + self.unit * (value is not ALL)


AXES = (
    # Leslie Smith's
    Axis(
        flag="grow_samples",
        field="samples_per_class",
        name="images per class",
        help="Images per class",
        default=ALL,
        parse=integer_or_all,
        check=ABOVE_ZERO,
        hypothesis="H1",
        column="per class",
        rule=LEARNED,
        later=False,
    ),
    # Jeremy Howard's
    Axis(
        flag="grow_classes",
        field="num_classes",
        name="classes",
        help="Number of classes",
        default=ALL,
        parse=integer_or_all,
        check=ABOVE_ZERO,
        hypothesis="H2",
        column="classes",
        always=True,
        resolve=lambda count, total_classes: (
            total_classes if count is ALL else min(count, total_classes)
        ),
        rule=LEARNED,
        later=False,
    ),
    # Progressive resizing
    Axis(
        flag="grow_size",
        field="image_size",
        name="image size",
        help="Image size in pixels",
        default=32,
        parse=int,
        check=ABOVE_ZERO,
        hypothesis="H3",
        unit=" px",
        column="size",
        always=True,
        later=False,
    ),
    Axis(
        flag="grow_augment",
        field="augmentation",
        name="augmentation",
        help="Augmentation strength, 0 to 1",
        default=1.0,
        parse=float,
        check=SHARE,
        column="augment",
        later=False,
    ),
    # Gradual unfreezing (Howard and Ruder 2018, 1801.06146)
    Axis(
        flag="grow_trainable",
        field="trainable",
        name="trained layers",
        help="The first layer group that trains: head, last or all",
        default=ALL_LAYERS,
        parse=str,
        check=NAME,
        column="trains",
    ),
)


def make_flags() -> type:
    """Returns a frozen dataclass with the flag of every axis, to inherit."""
    fields = []
    for axis in AXES:
        hypothesis = f" ({axis.hypothesis})" if axis.hypothesis else ""
        field = flag(
            (axis.default,),
            f"{axis.help}, stage by stage{hypothesis}.",
            identity=Identity.INDIRECT,
            check=axis.check,
            each=axis.parse,
            per_stage=True,
        )
        fields.append((axis.flag, tuple, field))
    return dataclasses.make_dataclass("AxisFlags", fields, frozen=True)


def make_stage_fields() -> type:
    """Returns a frozen dataclass with every axis' value, to inherit."""
    fields = [
        (axis.field, Any, dataclasses.field(default=axis.default, kw_only=True))
        for axis in AXES
    ]
    return dataclasses.make_dataclass("AxisValues", fields, frozen=True)


def summarize(stages: Sequence[Mapping[str, Any]]) -> str:
    """Returns what grows, such as "classes 2 → 5; image size 16 px → 32 px".

    stages: in plan.json's form; an axis that it lacks is at its default.
    """
    grown = []
    for axis in AXES:
        values = [
            axis.show(stage.get(axis.field, axis.default)) for stage in stages
        ]
        values = [value for value, _ in itertools.groupby(values)]
        if len(values) > 5:
            values[2:-1] = ["…"]
        if len(values) > 1:
            grown.append(f"{axis.name} {' → '.join(values)}")
    return "; ".join(grown) or "nothing: a plain baseline"
