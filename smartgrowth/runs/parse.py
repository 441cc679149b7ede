"""One file of a run, read: text, JSON, tables, arrays.

Whatever is wrong with a file fails in one way, as `malformed` says. What the
files of a run mean together stands in reader.py.
"""

import contextlib
import csv
import io
import json
import pathlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from smartgrowth import UserError
from smartgrowth.names import from_cell
from smartgrowth.runs import files
from smartgrowth.runtime.drive import NotReadNow, is_passing

if TYPE_CHECKING:  # imported late, when there is something to read
    import numpy as np
    import pandas as pd


def malformed(path: pathlib.Path, problem: Exception) -> UserError:
    """Returns the error for a file that differs from what was written."""
    if is_passing(problem):
        return NotReadNow(path, problem)
    if isinstance(problem, PermissionError):
        return UserError(
            f"{path} cannot be read ({problem.strerror}); make it readable"
        )
    text = _AGAIN.get(path.name, _TRAIN)
    if path.name == files.METRICS:
        text = text.replace("it and metrics.json beside it", "it")
    return UserError(f"{path} is malformed ({reason(problem)}); {text}")


_TRAIN = (
    f"delete it and {files.METRICS} beside it, and give the training command "
    "again, which writes anew what is missing, from the last checkpoint"
)
_AGAIN = {
    files.EVALUATION: "delete it, and give --mode=evaluate again",
    files.EXPORT_SUMMARY: "delete it, and give --mode=export again",
}


def reason(problem: Exception) -> str:
    """Returns why a file cannot be used, in one line."""
    text = str(problem)
    if isinstance(problem, RecursionError):
        text = "it is nested too deeply"
    elif isinstance(problem, KeyError):
        text = f"it has no {problem}"
    text = text.strip().partition("\n")[0].rstrip(".")
    return text or type(problem).__name__


@contextlib.contextmanager
def parsing(path: pathlib.Path) -> Iterator[None]:
    """Makes the one-line error of whatever fails while entered.

    Of any exception: the libraries that read archives, pictures and models
    raise almost every kind when their file is damaged. So enter it for what
    looks at the file's content, and for nothing else.

    Raises:
      UserError: the file at `path` is malformed.
    """
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        raise malformed(path, error) from error


def require(condition: Any, problem: str) -> None:
    """Raises `ValueError`, which `parsing` names the file of, unless true."""
    if not condition:
        raise ValueError(problem)


def is_number(value: Any) -> bool:
    """Returns whether a value of a JSON file is a number; true is none."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def decode_utf8(content: bytes) -> str:
    """Returns UTF-8, with a mark or without, as text."""
    return content.decode("utf-8-sig")


def read_text(
    path: pathlib.Path, decode: Callable[[bytes], str] = decode_utf8
) -> str | None:
    """Returns a text file's content; None if it is missing."""
    with parsing(path):
        try:
            return decode(path.read_bytes())
        except FileNotFoundError:
            return None


def read_lines(
    path: pathlib.Path, decode: Callable[[bytes], str] = decode_utf8
) -> list[str]:
    """Returns the lines of a text file; [] if it is missing.

    Lines end where a run's writers end them: a name may have other breaks.
    """
    text = (read_text(path, decode) or "").replace("\r\n", "\n")
    return text.removesuffix("\n").split("\n") if text else []


def read_json(path: pathlib.Path) -> dict:
    """Returns the object in a JSON file; {} if it is missing."""
    text = read_text(path)
    if text is None:
        return {}
    with parsing(path):
        value = json.loads(text)
        require(
            isinstance(value, dict), f"expected an object, got {value!r:.40}"
        )
    return value


def read_records(path: pathlib.Path, columns: Sequence[str]) -> list[dict]:
    """Returns the rows of a CSV file as text by column; [] if it is missing.

    columns: those that it must have; others may be there.
    """
    text = read_text(path)
    if text is None:
        return []
    with parsing(path):
        reader = csv.DictReader(io.StringIO(text, newline=""), strict=True)
        _require_columns(reader.fieldnames or (), columns)
        rows = list(reader)
        for row in rows:
            whole = None not in row and None not in row.values()
            require(whole, f"the row {list(row.values())!r:.60} is not whole")
    return [
        {name: from_cell(cell) for name, cell in row.items()} for row in rows
    ]


def read_table(
    path: pathlib.Path,
    columns: Sequence[str],
    optional: Sequence[str] = (),
    prefix: str | None = None,
) -> "pd.DataFrame":
    """Returns columns of a CSV file as floats, by step; empty fields are NaN.

    If rows have the same step, the last one counts: a resumed run may have
    written it twice.

    Args:
      path: of the file; missing, it has no rows.
      columns: to read.
      optional: columns that are NaN if the file lacks them.
      prefix: of the names of further columns to read, if there are any.
    """
    import pandas as pd

    text, values = read_text(path), []
    names = (*columns, *optional)
    with parsing(path):
        lines = io.StringIO(text or "", newline="")
        rows = [row for row in csv.reader(lines, strict=True) if row]
        header = rows.pop(0) if rows else ()
        if text is not None:
            _require_columns(header, columns)
        if prefix:
            names += tuple(name for name in header if name.startswith(prefix))
        if rows and len(rows[-1]) < len(header):
            rows.pop()  # the run is still writing it
        for row in rows:
            values.append(_numbers(row, header, names))
        table = pd.DataFrame(values, columns=list(names), dtype=float)
        table = table.drop_duplicates("step", keep="last")
    return table.sort_values("step", ignore_index=True)


def _require_columns(header: Sequence[str], columns: Sequence[str]) -> None:
    missing = ", ".join(name for name in columns if name not in header)
    require(not missing, f"it has no column {missing}")


def _numbers(row, header, names) -> list[float]:
    """Returns the fields `names` of a row as floats."""
    try:
        fields = dict(zip(header, row, strict=True))
        int(fields["step"])
        return [float(fields.get(name) or "nan") for name in names]
    except ValueError as error:
        raise ValueError(f"{error} in the row {','.join(row)!r:.60}") from error


def read_arrays(
    path: pathlib.Path,
    shapes: Mapping[str, int],
    optional: Mapping[str, int] | None = None,
) -> dict[str, "np.ndarray"]:
    """Returns the arrays that `files.write_npz` wrote, by name.

    Args:
      path: of the file.
      shapes: name -> number of dimensions.
      optional: likewise, of arrays that are left out if the file lacks them.

    Raises:
      UserError: it is missing or malformed.
    """
    import numpy as np

    with parsing(path):
        with path.open("rb") as stream, np.load(stream) as file:
            present = {
                name: dimensions
                for name, dimensions in (optional or {}).items()
                if name in file
            }
            expected = {**shapes, **present}
            arrays = {name: file[name] for name in expected}
        for name, dimensions in expected.items():
            require(
                arrays[name].ndim == dimensions,
                f"{name} has the shape {arrays[name].shape}",
            )
    return arrays
