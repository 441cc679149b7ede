"""A .keras file, looked at without Keras."""

import json
import pathlib
import zipfile

from smartgrowth.runs.parse import require

CONFIG, WEIGHTS = "config.json", "model.weights.h5"  # in a .keras file
NO_SIZES = {"seed", "shared_object_id"}  # entries of a config
MAX_CONFIG = 64 * 2**20  # bytes; that of resnext50 has under 2 MB


def check_archive(path: pathlib.Path) -> None:
    """Raises an error if a .keras file is not whole, or claims what it lacks.

    Keras would check no sum of the weights, and make layers of any size.
    """
    with zipfile.ZipFile(path) as archive:
        require(
            archive.getinfo(CONFIG).file_size <= MAX_CONFIG,
            f"its {CONFIG} is too large",
        )
        broken = archive.testzip()
        require(broken is None, f"its {broken} is damaged")
        config = json.loads(archive.read(CONFIG))
        info = archive.getinfo(WEIGHTS)
        stored = info.compress_type == zipfile.ZIP_STORED
        require(stored, f"its {WEIGHTS} is compressed, which Keras does not do")
        weights = info.file_size
    largest = _largest(config)
    require(
        largest <= weights,
        f"its {CONFIG} has the size {largest}, {WEIGHTS} only {weights} bytes",
    )


def _largest(value) -> float:
    """Returns the largest size that the layers of a config could have."""
    if isinstance(value, dict):
        sizes = [item for key, item in value.items() if key not in NO_SIZES]
        return max(map(_largest, sizes), default=0)
    if isinstance(value, list):
        return max(map(_largest, value), default=0)
    return value if isinstance(value, int) else 0
