"""A checkpoint's manifest: what it says, and the proof that it is whole.

It holds the hash of the archive and, beside all that it says, a digest of that.
Earlier versions wrote no digest; their manifests are accepted.
"""

import hashlib
import json
import pathlib

from smartgrowth.runtime.atomic import atomic_write

DIGEST = "digest"
FIELDS = {"archive": str, "sha256": str, "best": bool, "facts": dict}


def write_manifest(path: pathlib.Path, values: dict) -> None:
    """Writes a manifest and its digest atomically.

    Args:
      path: of the manifest.
      values: JSON values, of the names and types of `FIELDS`.

    Raises:
      OSError: it cannot be written.
    """
    with atomic_write(path) as file:
        json.dump(values | {DIGEST: _digest(values)}, file)


def read_manifest(path: pathlib.Path) -> dict:
    """Returns the `FIELDS` of a manifest; `facts` has a whole `step`.

    Raises:
      OSError: it cannot be read.
      ValueError: it is damaged; the message says how.
    """
    try:
        values = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        raise ValueError("it has no manifest") from None
    except (ValueError, RecursionError) as error:
        raise ValueError(f"its manifest is not JSON ({error})") from None
    if not isinstance(values, dict):
        raise ValueError("its manifest is not an object")
    digest = values.pop(DIGEST, None)
    if digest is not None and digest != _digest(values):
        raise ValueError("its manifest's digest is not that of its content")
    for name, kind in FIELDS.items():
        if not isinstance(values.get(name), kind):
            raise ValueError(f"its manifest has no `{name}`")
    if type(values["facts"].get("step")) is not int:
        raise ValueError("its manifest's facts have no `step`")
    return {name: values[name] for name in FIELDS}


def hash_file(path: pathlib.Path) -> str:
    """Returns the SHA-256 of a file's content, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _digest(values: dict) -> str:
    text = json.dumps(values, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()
