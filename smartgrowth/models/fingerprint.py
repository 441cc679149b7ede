"""A digest of what a Keras model is, the same in every process."""

import hashlib
import json
from collections.abc import Iterator

import keras

# Entries of a config: those with names of layers, and those that say nothing.
REFERENCES = ("keras_history", "input_layers", "output_layers")
OF_THE_PROCESS = ("name", "module", "registered_name", "shared_object_id")


def fingerprint(model: keras.Model) -> str:
    """Returns a digest of a model's layers, their settings and connections.

    Names count for nothing: Keras numbers layers through a whole process.
    """
    config = keras.saving.serialize_keras_object(model)
    names = {
        name: f"name{place}"
        for place, name in enumerate(dict.fromkeys(_names(config)))
    }
    config = _anonymous(config, names)
    shapes = [tuple(variable.shape) for variable in model.variables]
    text = json.dumps([config, shapes], sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def _names(value) -> Iterator[str]:
    """Yields the names of layers and operations in a config, in its order."""
    if isinstance(value, dict):
        if isinstance(value.get("name"), str):
            yield value["name"]
        value = list(value.values())
    if isinstance(value, list | tuple):
        for part in value:
            yield from _names(part)


def _anonymous(value, names: dict[str, str], refers: bool = False):
    """Returns a config without what depends on the process.

    Args:
      names: of layers -> what stands for them where others refer to them.
      refers: whether strings in it are such names; "relu" may be another thing.
    """
    if isinstance(value, dict):
        return {
            key: _anonymous(part, names, refers or key in REFERENCES)
            for key, part in value.items()
            if key not in OF_THE_PROCESS
        }
    if isinstance(value, list | tuple):
        return [_anonymous(part, names, refers) for part in value]
    return (
        names.get(value, value) if refers and isinstance(value, str) else value
    )
