"""How a flag is declared: a dataclass field that carries all about it.

Knows no flag; those stand in the modules beside this one.
"""

import csv
import dataclasses
import enum
import io
from collections.abc import Callable, Sequence
from typing import Any

from smartgrowth import UserError
from smartgrowth.flags.checks import Check

ALL = None  # in --grow_samples and --grow_classes


class Identity(enum.Enum):
    """How a flag takes part in a run's identity.

    A run is resumed only under the identity that it began with, so this is
    to be decided for every flag: there is no default.
    """

    ALWAYS = "named in the identity"
    IF_SET = "named where it is not at its default; runs from before it go on"
    IF_RATE_IS_FOUND = "named where a range test finds the learning rate"
    INDIRECT = "counts by what it makes of the stages, the data, the final size"
    NEVER = "decides no result, or may change when a run goes on elsewhere"


def flag(
    default: Any,
    help: str,
    *,
    identity: Identity,
    check: Check | None = None,
    each: Callable[[str], Any] | None = None,
    parse: Callable[[str], Any] | None = None,
    choices: Sequence[str] | None = None,
    per_stage: bool = False,
):
    """Declares a flag as a field of a dataclass.

    Args:
      default: of a list, a tuple.
      help: its meaning, for --help.
      identity: how it takes part in a run's identity.
      check: what a value must be, or each value of a list. None is exempt.
      each: makes it a comma list; parses one entry of it.
      parse: of a value that may be of several types; gets text, or the
        default, and raises `ValueError` with what it must be.
      choices: the values that there are.
      per_stage: whether the list has a value for each stage.
    """
    return dataclasses.field(
        default=default,
        metadata={
            "help": help,
            "identity": identity,
            "check": check,
            "each": each,
            "parse": parse,
            "choices": choices,
            "per_stage": per_stage,
        },
    )


def check_values(flags: Any) -> None:
    """Raises `UserError` unless every flag of a dataclass passes its check."""
    for field in dataclasses.fields(flags):
        value, check = getattr(flags, field.name), field.metadata["check"]
        is_list = field.metadata["each"] is not None
        received = f"--{field.name}={flag_text(value)}"
        if is_list and field.default and not value:
            raise UserError(f"{received}: must be one value or more")
        for entry in value if is_list else (value,):
            if check is None or entry is None or check.accepts(entry):
                continue
            if is_list:
                raise UserError(
                    f"{received}: every value must be {check.words}, got "
                    f"{flag_text(entry)}"
                )
            raise UserError(f"{received}: must be {check.words}")


def integer_or_all(text: str) -> int | None:
    """One entry of a list of counts; raises `ValueError`."""
    return ALL if text == "all" else int(text)


def flag_text(value: Any) -> str:
    """Returns a flag's value as it stands behind `--name=`."""
    if isinstance(value, tuple | list):
        text = io.StringIO()
        # Quotes an entry with a comma in it, as absl reads it.
        csv.writer(text, lineterminator="").writerow(map(flag_text, value))
        return text.getvalue()
    if value is ALL:
        return "all"
    if isinstance(value, bool):
        return str(value).lower()
    return str(value)
