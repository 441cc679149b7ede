"""Dataclasses of flags as absl flags: defined, parsed, shown by --help."""

import contextlib
import dataclasses
import pathlib
import sys
import textwrap
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from absl import app, flags

from smartgrowth import UserError
from smartgrowth.config import Config
from smartgrowth.flags.flag import flag_text, integer_or_all
from smartgrowth.names import decode

Flags = TypeVar("Flags")
WIDTH = 80  # of --help, in characters


def define_flags(values: flags.FlagValues, *classes: type) -> None:
    """Defines one absl flag for every field of the dataclasses."""
    for field in _fields(*classes):
        about, choices = field.metadata["help"], field.metadata["choices"]
        default = field.default
        if field.metadata["each"]:
            default = [flag_text(v) for v in default]
            define = flags.DEFINE_list
        elif field.metadata["parse"]:
            parser = _Parser(field.metadata["parse"], str(field.type))
            flags.DEFINE(parser, field.name, default, about, values)
            continue
        elif choices:
            flags.DEFINE_enum(
                field.name, default, choices, about, flag_values=values
            )
            continue
        else:
            define = _DEFINE[field.type]
        define(field.name, default, about, flag_values=values)


class _Parser(flags.ArgumentParser):
    """Parses a flag as its declaration says."""

    def __init__(self, parse: Callable[[str], Any], type_name: str):
        super().__init__()
        self.parse = parse
        self.flag_type = lambda: type_name


_DEFINE = {
    bool: flags.DEFINE_bool,
    int: flags.DEFINE_integer,
    int | None: flags.DEFINE_integer,
    float: flags.DEFINE_float,
    float | None: flags.DEFINE_float,
    str: flags.DEFINE_string,
    str | None: flags.DEFINE_string,
}


def expand_flagfiles(arguments: Sequence[str]) -> list[str]:
    """Returns arguments with the lines of flagfiles in place of their names.

    absl would read a file in the locale's encoding alone, and ones that it
    names from the working directory alone.

    Raises:
      UserError: a file cannot be read, is no text, or names itself.
    """
    arguments, expanded = list(arguments), []
    while arguments:
        argument = arguments.pop(0)
        if argument == "--":
            return [*expanded, argument, *arguments]
        name, is_set, path = argument.partition("=")
        if name not in ("--flagfile", "-flagfile"):
            expanded.append(argument)
        elif is_set or arguments:
            path = path if is_set else arguments.pop(0)
            expanded += _flagfile_lines(pathlib.Path(path), ()) if path else []
        else:
            raise UserError("--flagfile: expected a file's name behind it")
    return expanded


def _flagfile_lines(path: pathlib.Path, within: tuple) -> list[str]:
    """Returns the flags of a file, and of those that it names.

    within: the files that named it, the outermost first.
    """
    shown = f"--flagfile={path}"
    _check_home("flagfile", str(path))
    path = path.expanduser()
    if within and not path.is_file():
        path = within[-1].parent / path
    if path in within:
        raise UserError(f"{shown}: {path} names itself; leave that line out")
    try:
        content = path.read_bytes()
        utf16 = content.startswith((b"\xff\xfe", b"\xfe\xff"))
        text = content.decode("utf-16") if utf16 else decode(content)
        if "\0" in text:
            raise UnicodeError("it is not text")
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UserError(
            f"{shown} cannot be read ({reason}); name a text file in UTF-8"
        ) from error
    lines = []
    for line in map(str.strip, text.split("\n")):
        name, _, value = line.partition("=")
        if not line or line.startswith(("#", "//")):
            continue
        if name in ("--flagfile", "-flagfile"):
            lines += _flagfile_lines(pathlib.Path(value), (*within, path))
        elif _is_quoted(name.lstrip("-"), value) or line[0] in "\"'":
            raise UserError(
                f"{shown}: {line}: no shell reads it; leave out the quotes"
            )
        else:
            lines.append(line)
    return lines


def _is_quoted(name: str, value: str) -> bool:
    """Returns whether a flag's value is in quotes, as in a shell's command."""
    lists = {field.name for field in _fields(Config) if field.metadata["each"]}
    # In a list, an entry with a comma is quoted.
    quotes = "'" if name in lists else "\"'"
    return len(value) > 1 and value[0] == value[-1] and value[0] in quotes


def from_flags(values: flags.FlagValues, kind: type[Flags] = Config) -> Flags:
    """Returns a checked dataclass of parsed flags; raises `UserError`."""
    parsed = {
        field.name: _parse(field, values[field.name].value)
        for field in _fields(kind)
    }
    for name, value in parsed.items():
        for text in value if isinstance(value, tuple) else (value,):
            if isinstance(text, str):
                _check_home(name, text)
    return kind(**parsed)


def _check_home(name: str, text: str) -> None:
    """Raises `UserError` if a path begins with a ~ that stands for no folder.

    text: of the flag `name`; the path may stand behind a word such as folder:.
    """
    for part in (text, text.partition(":")[2]):
        try:
            if part.startswith("~"):
                pathlib.Path(part).expanduser()
        except RuntimeError:
            user = part.partition("/")[0]
            raise UserError(
                f"--{name}={text}: no home folder is known for {user}; write "
                "the whole path, or set HOME"
            ) from None


def check_arguments(arguments: Sequence[str]) -> None:
    """Raises `UserError` if parsing left anything over.

    arguments: what it left, the program's name first.
    """
    if len(arguments) > 1:
        raise UserError(
            f"stray argument {arguments[1]!r}; flags are given as "
            "--name=value, comments in a flagfile begin with #"
        )


def given_flag_lines(values: flags.FlagValues) -> list[str]:
    """Returns `--name=value` of the run's flags that were given.

    A flag left at its default says nothing.
    """
    return [
        f"--{field.name}={flag_text(_parse(field, values[field.name].value))}"
        for field in _fields(Config)
        if values[field.name].present
    ]


def from_flag_lines(lines: list[str], kind: type[Flags] = Config) -> Flags:
    """Returns a checked dataclass of flag lines, such as a run's flags.txt.

    Raises:
      UserError: a flag is unknown, or a value is wrong.
    """
    values = flags.FlagValues()
    define_flags(values, kind)
    try:
        arguments = values(expand_flagfiles(["smartgrowth", *lines]))
    except flags.IllegalFlagValueError as error:
        raise UserError(str(error).removeprefix("flag ")) from None
    except flags.Error as error:
        raise UserError(
            f"flags that this version does not take: {error}; use the version "
            "that wrote them"
        ) from None
    check_arguments(arguments)
    return from_flags(values, kind)


def define_help(values: flags.FlagValues, groups: Mapping[str, type]) -> None:
    """Makes --help and --helpshort print the groups of flags.

    absl's own order is the alphabet's; --helpfull keeps it.

    groups: heading -> dataclass of flags.
    """
    app.define_help_flags()  # else it would define its own later

    class Help(app.HelpFlag):
        def __init__(self, name: str, short_name: str | None):
            self.NAME, self.SHORT_NAME = name, short_name
            super().__init__()
            self.allow_override = True

        def parse(self, arg):
            if self._parse(arg):
                with contextlib.suppress(BrokenPipeError):  # | head
                    print(format_help(groups), flush=True)
                sys.exit(1)  # as absl does

    for name, short_name in (("help", "?"), ("helpshort", None)):
        flags.DEFINE_flag(Help(name, short_name), values)


def format_help(groups: Mapping[str, type]) -> str:
    """Returns all flags as text, by group, each with default and choices."""
    flagfile = _format_flag("flagfile", "", "A file of flags, one per line.")
    parts = [
        "python -m smartgrowth.main --NAME=VALUE ...\n",
        "Every flag is shown with its default. Of a flag that is given twice, "
        "the later\nvalue counts.",
    ]
    for heading, kind in groups.items():
        parts.append(f"\n{heading}:")
        if heading == next(iter(groups)):
            parts.append(flagfile)  # absl's own, but the first that one needs
        for field in _fields(kind):
            default = field.default
            about, choices = field.metadata["help"], field.metadata["choices"]
            if choices:
                about += f" One of {', '.join(choices)}."
            text = "" if default is None else flag_text(default)
            parts.append(_format_flag(field.name, text, about))
    parts.append("\n--helpfull lists the flags of absl too.")
    return "\n".join(parts)


def _format_flag(name: str, default: str, about: str) -> str:
    indent = " " * 6
    about = textwrap.fill(
        about, WIDTH, initial_indent=indent, subsequent_indent=indent
    )
    return f"  --{name}={default}\n{about}"


def _fields(*classes: type) -> list[dataclasses.Field]:
    return [field for kind in classes for field in dataclasses.fields(kind)]


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
