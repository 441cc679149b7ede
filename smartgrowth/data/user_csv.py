"""Reads a CSV that a user names with a flag."""

import csv
import io
import pathlib
from collections.abc import Sequence

from smartgrowth import UserError
from smartgrowth.names import from_cell


def read_rows(
    flag: str,
    path: str,
    columns: Sequence[str],
    optional: Sequence[str] = (),
) -> list[tuple[int, tuple[str, ...]]]:
    """Returns line number and values of every row, as `names.from_cell`.

    Those of `columns`, then those of `optional`.

    Args:
      flag: as the user gave it, "--taxonomy=groups.csv", for messages.
      path: of the CSV file.
      columns: that its first line must name, and every row fill.
      optional: others that are read, "" where they are missing.

    Raises:
      UserError: the file cannot be read, its first line lacks a column, or a
        row leaves one empty.
    """
    wanted = ",".join(columns)
    try:
        # Excel writes a byte order mark.
        text = pathlib.Path(path).expanduser().read_text("utf-8-sig")
    except OSError as error:
        raise UserError(
            f"{flag}: cannot be read ({error.strerror or error}); name a CSV "
            f"whose first line is {wanted}"
        ) from error
    except UnicodeDecodeError as error:
        raise UserError(
            f"{flag}: is not UTF-8 text; save it as a CSV in UTF-8"
        ) from error
    # Line by line, but for a name with a line break in it, within quotes.
    lines = io.StringIO(text, newline="")
    reader = csv.DictReader(lines, skipinitialspace=True)
    if not set(columns) <= set(reader.fieldnames or ()):
        raise UserError(
            f"{flag}: its first line is "
            f"{','.join(reader.fieldnames or ())[:60]!r}; it should be "
            f"{wanted!r}"
        )
    rows = []
    for row in reader:
        values = tuple(from_cell(row[column] or "") for column in columns)
        if not all(value.strip() for value in values):
            lacking = columns[values.index("")]
            known = next(filter(None, values), "")
            raise UserError(
                f"{flag}: line {reader.line_num} has no {lacking} "
                f"({known!r}); a name with a comma in it wants quotes"
            )
        values += tuple((row.get(name) or "").strip() for name in optional)
        rows.append((reader.line_num, values))
    return rows
