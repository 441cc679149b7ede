"""Pages from templates, and the records that their common parts take.

A page opens offline, on light and dark screens, laptops and phones. Templates
lie beside the module that fills them, in `templates/`; those of this package
are what all pages share. Whatever a template prints is escaped: what means
something in HTML, and what UTF-8 or a line of text cannot hold.
"""

import base64
import dataclasses
import functools
import re
from collections.abc import Sequence

from markupsafe import Markup, escape

from smartgrowth.names import printable
from smartgrowth.rendering.theme import THEMES


@dataclasses.dataclass(frozen=True)
class Tile:
    """A figure in a box: its name, its value, a note; kind: a CSS class."""

    label: str
    value: str
    note: str = ""
    kind: str = ""


@dataclasses.dataclass(frozen=True)
class Table:
    """Cells of a table, plain text."""

    head: Sequence[str]
    rows: Sequence[Sequence[str]]


@dataclasses.dataclass(frozen=True)
class Picture:
    """An image as a data URI, and its alt text."""

    uri: str
    alt: str


@dataclasses.dataclass(frozen=True)
class Frame:
    """One or more pictures side by side, and their caption."""

    pictures: Sequence[Picture]
    caption: str = ""


@dataclasses.dataclass(frozen=True)
class Gallery:
    """Frames in as many columns as the screen is wide, below a heading.

    kind: a CSS class: "row" of small ones, "pairs" of two pictures each, "maps"
    of two small ones each.
    """

    frames: Sequence[Frame]
    title: str = ""
    kind: str = ""


def render(template: str, **values) -> Markup:
    """Returns a template filled with values, as HTML.

    Args:
      template: its path within the package.
      values: all that it names; one that is missing is an error.
    """
    return Markup(environment().get_template(template).render(values))


@functools.cache
def environment():
    """Returns the Jinja environment of all templates of the package."""
    import jinja2

    made = jinja2.Environment(
        loader=jinja2.PackageLoader("smartgrowth", "."),
        autoescape=True,
        finalize=_finalize,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    made.globals["themes"] = THEMES
    made.filters |= {
        "base64": lambda content: base64.b64encode(content).decode(),
        "breakable": _breakable,
        "thousands": "{:,}".format,
    }
    return made


def _breakable(text: str) -> Markup:
    """Returns a text that may be wrapped after "/" and "_"."""
    # A str: Markup would escape what is put between its parts.
    return Markup(re.sub("([/_])", r"\1<wbr>", str(escape(printable(text)))))


def _finalize(value):
    """Returns what a template prints; HTML is made of texts that were here."""
    if isinstance(value, str) and not isinstance(value, Markup):
        return printable(value, lines=True)
    return value
