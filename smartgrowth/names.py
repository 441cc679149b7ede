"""Names that files and people give, fit for every place that they go to.

A file system takes bytes that are no text, line breaks and terminal commands in
a name. `clean` makes of it a line of text, once, where it comes in; the other
functions are for places where even a line of text means something: terminals,
tables, legends. HTML is escaped by `rendering.html`.
"""

import codecs
import re
import sys
import unicodedata

# Control characters, line breaks of Unicode, bytes that are no UTF-8, and what
# turns around the direction of the line, also of what is not its own.
_UNSAFE = (
    r"\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff"
    r"\u202a-\u202e\u2066-\u2069"
)
# A backslash too, where it could be read as the beginning of an escape.
_UNCLEAN = re.compile(rf"[{_UNSAFE}]|\\(?=[\\nrtxuU{_UNSAFE}])")
_UNPRINTABLE = re.compile(rf"[{_UNSAFE}]")
_UNPRINTABLE_IN_LINES = re.compile(rf"(?!\n)[{_UNSAFE}]")
# What spreadsheets calculate when they open a CSV, and spaces that readers
# strip. After a quote too, which then gets another, for reading to take away.
_FORMULA = re.compile(r"'*(\s*[=+\-@＝＋－＠]|\s|.*\s$)", re.DOTALL)
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?", re.IGNORECASE)
# For terminals of few characters, what the program itself writes.
_PLAIN = str.maketrans(
    {"−": "-", "–": "-", "…": "...", "×": "x", "±": "+-", "’": "'"}
)
_ZERO_WIDTH_SPACE = "\u200b"


def clean(name: str) -> str:
    """Returns a name of a file or folder as one line of text for UTF-8.

    What a line cannot hold is escaped as Python does ("\\n", "\\udce9"), and
    different names stay different. An ordinary name is returned as it is.
    """
    return _UNCLEAN.sub(_escape, _join(name))


def decode(content: bytes) -> str:
    """Returns the text of a file of paths, as the command line gives them.

    It is UTF-8, with a mark or without, but that bytes of a path may be of any
    kind. Where the system knows ASCII alone (LC_ALL=C), all others are kept as
    bytes.
    """
    content = content.removeprefix(codecs.BOM_UTF8)
    is_ascii = codecs.lookup(sys.getfilesystemencoding()).name == "ascii"
    return content.decode("ascii" if is_ascii else "utf-8", "surrogateescape")


def printable(text: str, lines: bool = False) -> str:
    """Returns text as `clean`, but for the eye alone: backslashes stay.

    Args:
      text: of any characters.
      lines: whether line breaks are part of it.
    """
    pattern = _UNPRINTABLE_IN_LINES if lines else _UNPRINTABLE
    return pattern.sub(_escape, _join(text))


def for_stream(text: str, encoding: str | None) -> str:
    """Returns lines of text that a stream of this encoding takes.

    What the encoding lacks is escaped. None is ASCII.
    """
    text, encoding = printable(text, lines=True), encoding or "ascii"
    try:
        text.encode(encoding)
        return text
    except UnicodeEncodeError:
        text = text.translate(_PLAIN)
        return text.encode(encoding, "backslashreplace").decode(encoding)
    except LookupError:  # an encoding that Python does not know
        return text.encode("ascii", "backslashreplace").decode()


def abbreviate(name: str, most: int) -> str:
    """Returns a name of at most so many characters: its middle is left out."""
    if len(name) <= most:
        return name
    return f"{name[: most // 2]}…{name[most // 2 + 1 - most :]}"


def for_legend(name: str) -> str:
    """Returns a label that a legend of matplotlib does not leave out."""
    name = abbreviate(name, 60)  # as wide as a figure
    return _ZERO_WIDTH_SPACE + name if name.startswith("_") else name


def to_cell(text: str) -> str:
    """Returns text for a cell of a CSV that no spreadsheet calculates.

    A quote is put before what begins as a formula, or has outer spaces; numbers
    stay as they are.
    """
    if not _FORMULA.match(text) or _NUMBER.fullmatch(text):
        return text
    return f"'{text}"


def from_cell(cell: str) -> str:
    """Returns the text that `to_cell` made a cell of.

    A cell that is not its work, typed by hand, loses outer spaces.
    """
    if cell.startswith("'") and _FORMULA.match(cell):
        return cell[1:]
    return cell.strip()


def key(name: str) -> str:
    """Returns what equal names have in common, however they are composed.

    A Mac writes é as two characters, other systems and keyboards as one.
    """
    return unicodedata.normalize("NFC", name)


def _join(text: str) -> str:
    """Returns UTF-8 that was read byte by byte, as under LC_ALL=C, as text."""
    try:
        return text.encode("utf-8", "surrogateescape").decode(
            "utf-8", "surrogateescape"
        )
    except UnicodeEncodeError:  # half a character of UTF-16
        return text


def _escape(match: re.Match) -> str:
    return repr(match[0])[1:-1]
