"""Settings as flags: defined, parsed, read back from a run's flags.txt."""

import dataclasses
from collections.abc import Sequence
from typing import Any

from absl import flags

from smartgrowth import UserError
from smartgrowth.config import (
    AUTO_RATES,
    RATE,
    Comparison,
    Config,
    flag_text,
    integer_or_all,
)


def define_flags(values: flags.FlagValues = flags.FLAGS) -> None:
    """Defines one absl flag for every field of `Config` and `Comparison`."""
    for field in (*dataclasses.fields(Config), *dataclasses.fields(Comparison)):
        about, choices = field.metadata["help"], field.metadata["choices"]
        default = field.default
        if field.metadata["each"]:
            default = [flag_text(v) for v in default]
            define = flags.DEFINE_list
        elif choices:
            flags.DEFINE_enum(
                field.name, default, choices, about, flag_values=values
            )
            continue
        else:
            define = _DEFINE[field.type]
        define(field.name, default, about, flag_values=values)


class _RateParser(flags.ArgumentParser):
    """Of --lr: a number, or a way to find one."""

    def parse(self, argument: str | float) -> float | str:
        if argument in AUTO_RATES:
            return argument
        try:
            return float(argument)
        except ValueError:
            raise ValueError(f"must be {RATE}") from None

    def flag_type(self) -> str:
        return "float or string"


def _define_rate(name, default, about, flag_values) -> None:
    flags.DEFINE(_RateParser(), name, default, about, flag_values)


_DEFINE = {
    bool: flags.DEFINE_bool,
    int: flags.DEFINE_integer,
    int | None: flags.DEFINE_integer,
    float: flags.DEFINE_float,
    float | None: flags.DEFINE_float,
    float | str: _define_rate,
    str: flags.DEFINE_string,
    str | None: flags.DEFINE_string,
}


def from_flags(
    values: flags.FlagValues, arguments: Sequence[str] = ()
) -> Config:
    """A checked `Config` from parsed flags; raises `UserError`.

    arguments: what parsing left over, the program's name first.
    """
    if len(arguments) > 1:
        raise UserError(
            f"stray argument {arguments[1]!r}; settings are given as "
            "--name=value, comments in a flagfile begin with #"
        )
    return Config(
        **{
            field.name: _parse(field, values[field.name].value)
            for field in dataclasses.fields(Config)
        }
    )


def comparison_from_flags(
    values: flags.FlagValues,
) -> tuple[Comparison, list[str]]:
    """What to compare, and the lines of all flags that were given with it.

    Those lines hold for every arm; a flag left at its default says nothing.
    """
    given = [
        f"--{field.name}={flag_text(_parse(field, values[field.name].value))}"
        for field in dataclasses.fields(Config)
        if values[field.name].present
    ]
    settings = {
        field.name: _parse(field, values[field.name].value)
        for field in dataclasses.fields(Comparison)
    }
    return Comparison(**settings), given


def from_flag_lines(lines: list[str]) -> Config:
    """A `Config` from the lines of a flagfile, such as a run's flags.txt."""
    values = flags.FlagValues()
    define_flags(values)
    try:
        arguments = values(["smartgrowth", *lines])
    except flags.Error as error:
        raise UserError(
            f"flags that this version does not take: {error}; use the version "
            "that wrote them"
        ) from None
    return from_flags(values, arguments)


def _parse(field: dataclasses.Field, value: Any) -> Any:
    each = field.metadata["each"]
    if not each:
        return value
    try:
        return tuple(each(entry.strip()) for entry in value or ())
    except ValueError:
        what = "numbers or 'all'" if each is integer_or_all else "numbers"
        raise UserError(
            f"--{field.name}={','.join(value)}: expected {what}, separated "
            "by commas"
        ) from None
