"""What decides a run's result, and how two runs differ in it."""

import dataclasses
import hashlib
import json
import pathlib

from smartgrowth import UserError
from smartgrowth.config import Config
from smartgrowth.runs.files import TRAIN_PREDICTIONS


def describe(plan, identity: dict) -> dict:
    """What plan.json holds of a `plan.Plan`, with a hash of all but the cost.

    identity: whatever else decides the run's result (data, network, rates).
    """
    # As the file will give it back: lists where there are tuples.
    stages, identity = json.loads(
        json.dumps([[dataclasses.asdict(s) for s in plan.stages], identity])
    )
    text = json.dumps([stages, identity], sort_keys=True)
    return {
        "hash": hashlib.sha256(text.encode()).hexdigest(),
        "gflops": plan.gflops(),
        "stages": [
            values | {"gflops": plan.gflops_of(stage)}
            for values, stage in zip(stages, plan.stages, strict=True)
        ],
        "identity": identity,
    }


def identify(config: Config, data) -> dict:
    """What decides a run's result besides its stages.

    Not where files are, nor the precision: a run goes on elsewhere.
    """
    names = (
        "dataset model width depth dropout optimizer lr schedule "
        "schedule_scope cycle_len cycle_mult weight_decay label_smoothing "
        "augment mixup cutmix sample_order class_order descriptor balance "
        "size_jitter replay_hard seed evals"
    )
    if config.finds_rate:
        names += " lr_min lr_max"
    # Named only where they are used: they came later, and runs from before go
    # on.
    later = ("ema", "stage_restart", "cycle_epochs")
    for name in later:
        if getattr(config, name) != getattr(Config, name):  # its default
            names += f" {name}"
    values = {name: getattr(config, name) for name in names.split()}
    if config.dataset.startswith("folder:"):
        values["dataset"] = "folder"  # wherever it is
    # Files that decide the orders: by what is in them, wherever they are.
    inputs = {}
    for name, path in _input_files(config).items():
        values[name] = values.get(name, "file").partition(":")[0]
        try:
            inputs[name] = hashlib.sha256(path.read_bytes()).hexdigest()
        except OSError as error:
            raise UserError(
                f"--{name}: {path} cannot be read ({error.strerror or error})"
            ) from None
    if config.replay:
        values["replay_hard"] = config.replay[1]
    return {
        "num_classes": len(data.class_names),
        "content": data.content,
        "test_size": config.final_size,
        "inputs": inputs,
        **values,
    }


def hash_identity(config: Config, data) -> str:
    """A digest of `identify`."""
    text = json.dumps(identify(config, data), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _input_files(config: Config) -> dict[str, pathlib.Path]:
    """Files that flags name and that a run's result hangs on."""
    files = {"taxonomy": config.taxonomy}
    for name in ("class_order", "sample_order"):
        kind, _, rest = getattr(config, name).partition(":")
        if kind == "file":
            files[name] = rest
        elif kind == "hardest":
            files[name] = f"{rest}/{TRAIN_PREDICTIONS}"
    if config.replay:
        files["replay_hard"] = f"{config.replay[0]}/{TRAIN_PREDICTIONS}"
    return {
        name: pathlib.Path(path).expanduser()
        for name, path in files.items()
        if path
    }


def differences(old: dict, new: dict) -> list[str]:
    """What changed between two described plans, a line for each value."""

    def flat(value, path=""):
        if isinstance(value, dict | list) and value:
            pairs = (
                value.items() if isinstance(value, dict) else enumerate(value)
            )
            return {
                key: leaf
                for name, part in pairs
                for key, leaf in flat(part, f"{path}{name}.").items()
            }
        return {path[:-1]: value}

    parts = ("stages", "identity")
    old_values = flat({part: old.get(part, {}) for part in parts})
    new_values = flat({part: new.get(part, {}) for part in parts})
    return [
        f"{name.removeprefix('identity.')}: "
        f"{old_values.get(name, 'absent')} -> {new_values.get(name, 'absent')}"
        for name in sorted(old_values | new_values)
        if old_values.get(name) != new_values.get(name)
    ]
