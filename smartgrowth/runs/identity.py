"""What decides a run's result, and how two runs differ in it."""

import dataclasses
import hashlib
import json
import pathlib
from typing import Any

from smartgrowth import UserError, growth
from smartgrowth.config import Config
from smartgrowth.flags.flag import Identity
from smartgrowth.flags.model import is_users
from smartgrowth.planning import make_network
from smartgrowth.runs.files import MODEL, TRAIN_PREDICTIONS
from smartgrowth.stages import Plan, Stage

# Versions of the random draws: of the images of a pass, in every identity, and
# of the augmentation, in those of runs that augment. Version 1 was never named.
SAMPLING_DRAWS = 2
AUGMENTATION_DRAWS = 3
# How random numbers are drawn: key of the identity -> since when it is another
# way. A run goes on as it began; to a finished one it makes no difference.
DRAWS = {
    "sampling_draws": "since version 0.2.0 passes over the images are drawn "
    "independently of one another; the version that began the run can finish "
    "it",
    "augmentation_draws": "since version 0.3.0 mirror images alternate, and "
    "since 0.2.0 every augmentation draws random numbers keyed by its name; "
    "the version that began the run can finish it",
}
# Of a stage: what `--grow_when=auto` decides while it trains.
DECIDED = ("first_step", "steps")
# Entries that a person is told of in words.
DATA = ("content", "pixels")


def describe_plan(plan: Plan, identity: dict) -> dict:
    """Returns what plan.json holds, with a hash of all but the cost.

    And but what is decided while training, which is not known from the start.

    Args:
      plan: the stages.
      identity: of `identify`, all else that decides the run's result.
    """
    # As it will be read from the file: with lists instead of tuples.
    stages, identity = json.loads(
        json.dumps([[dataclasses.asdict(s) for s in plan.stages], identity])
    )
    # Those at their default are left out, so that older runs are resumed.
    later = {axis.field: axis.default for axis in growth.AXES if axis.later}
    later["precomputed"] = False
    decided = DECIDED if plan.rules else ()
    hashed = [
        {
            name: value
            for name, value in stage.items()
            if name not in decided
            and (name not in later or value != later[name])
        }
        for stage in stages
    ]
    growing = {}
    if plan.budget:
        growing["budget"] = plan.budget
    if plan.rules:
        growing["rules"] = dataclasses.asdict(plan.rules)
    parts = [hashed, identity, *([growing] if growing else [])]
    text = json.dumps(parts, sort_keys=True)
    if plan.rules:
        growing["decisions"] = list(map(dataclasses.asdict, plan.decisions))
    return growing | {
        "hash": hashlib.sha256(text.encode()).hexdigest(),
        "gflops": plan.gflops(),
        "stages": [
            values | {"gflops": plan.gflops_of(stage)}
            for values, stage in zip(stages, plan.stages, strict=True)
        ],
        "identity": identity,
    }


def identify(config: Config, data) -> dict:
    """Returns what decides a run's result besides its stages.

    Each flag's definition says how it takes part. The paths of files and the
    precision do not, so that a run can continue on another machine.

    Raises:
      UserError: a file that decides an order, or the user's network, cannot be
        read.
    """
    values = name_flags(config)
    values["sampling_draws"] = SAMPLING_DRAWS
    if config.augments:
        values["augmentation_draws"] = AUGMENTATION_DRAWS
    # Files that decide the orders: by content, at any path.
    inputs = {}
    own = pathlib.Path(config.workdir).expanduser().resolve()
    for name, path in _input_files(config).items():
        is_of_run = path.name in (MODEL, TRAIN_PREDICTIONS)
        if is_of_run and path.parent.resolve() == own:
            raise UserError(
                f"--{name}: {path} is in --workdir, and this run would replace "
                "it; name another --workdir"
            )
        try:
            inputs[name] = hashlib.sha256(path.read_bytes()).hexdigest()
        except OSError as error:
            raise UserError(
                f"--{name}: {path} cannot be read ({error.strerror or error})"
            ) from None
    if is_users(config.model):
        network = make_network(config, len(data.class_names))
        inputs["model"] = network.fingerprint
    return {
        "num_classes": len(data.class_names),
        "content": data.content,
        "pixels": data.pixels,
        "inputs": inputs,
        **values,
    }


def name_flags(config: Config) -> dict:
    """Returns the part of `identify` that the flags alone decide.

    A file or folder that a flag names is left out of its value.
    """
    values = {
        field.name: getattr(config, field.name)
        for field in dataclasses.fields(config)
        if _is_named(config, field)
    }
    if config.dataset.startswith("folder:"):
        values["dataset"] = "folder"  # at any path
    if is_users(config.model):
        values["model"] = f"{config.model.rpartition(':')[2]}()"
    for name in _input_files(config):
        values[name] = values.get(name, "file").partition(":")[0]
    if config.replay:
        values["replay_hard"] = config.replay[1]
    if config.init_from:
        values["init_from"] = "file"
    return {"test_size": config.final_size} | values


def hash_identity(config: Config, data) -> str:
    """Returns a digest of `identify`."""
    text = json.dumps(identify(config, data), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _is_named(config: Config, field: dataclasses.Field) -> bool:
    """Returns whether the identity has an entry for a flag."""
    rule = field.metadata["identity"]
    if rule is Identity.IF_SET:
        return getattr(config, field.name) != field.default
    if rule is Identity.IF_RATE_IS_FOUND:
        return config.finds_rate
    return rule is Identity.ALWAYS


def model_file(name: str) -> pathlib.Path:
    """Returns the path of the network that `--init_from` names."""
    path = pathlib.Path(name).expanduser()
    return path if path.suffix == ".keras" else path / MODEL


def _input_files(config: Config) -> dict[str, pathlib.Path]:
    """Returns the files named by flags on which a run's result depends."""
    files = {"taxonomy": config.taxonomy}
    for name in ("class_order", "sample_order"):
        kind, _, rest = getattr(config, name).partition(":")
        if kind == "file":
            files[name] = rest
        elif kind == "hardest":
            files[name] = f"{rest}/{TRAIN_PREDICTIONS}"
    if config.init_from:
        files["init_from"] = model_file(config.init_from)
    if config.replay:
        files["replay_hard"] = f"{config.replay[0]}/{TRAIN_PREDICTIONS}"
    return {
        name: pathlib.Path(path).expanduser()
        for name, path in files.items()
        if path
    }


def differences(old: dict, new: dict, finished: bool = False) -> list[str]:
    """Returns the differences of two plan.json, a line for each value.

    A missing value counts as its default: the version that wrote the file did
    not have it.

    Args:
      old, new: in plan.json's form.
      finished: the old one's run; how it drew random numbers, and how often it
        was evaluated, then counts for nothing.
    """
    old_values, new_values = _flatten(_complete(old)), _flatten(_complete(new))
    lines = []
    for name in sorted(old_values | new_values):
        before, after = (
            values.get(name, "absent") for values in (old_values, new_values)
        )
        if before != after:
            name = name.removeprefix("identity.")
            if name in DATA:
                continue
            if finished and name in (*DRAWS, "evals"):
                continue
            reason = f" ({DRAWS[name]})" if name in DRAWS else ""
            lines.append(f"{name}: {before} -> {after}{reason}")
    changed = data_change(old.get("identity", {}), new.get("identity", {}))
    return [changed, *lines] if changed else lines


def data_change(old: dict, new: dict) -> str | None:
    """Returns in words how the data of two identities differs; None if not.

    Runs of versions before 0.2.0 did not know their images; those count as
    the same.

    Args:
      old, new: with "content" and "pixels", as in `store.Data`.
    """
    if old.get("content") != new.get("content"):
        words = "the dataset has other classes, images or labels now"
        if old.get("dataset") == "folder" and "pixels" not in old:
            words += (
                " (since version 0.2.0, a folder without validation images is "
                "split by their content)"
            )
        return words
    if old.get("pixels", new.get("pixels")) != new.get("pixels"):
        return "the dataset has other images under the same names now"
    return None


def _complete(description: dict) -> dict:
    """Adds defaults for values that an older version did not write."""
    flags = {
        field.name: field.default
        for field in dataclasses.fields(Config)
        if field.metadata["identity"]
        in (Identity.ALWAYS, Identity.IF_SET, Identity.IF_RATE_IS_FOUND)
    }
    stage = dataclasses.asdict(Stage(0))
    stages = [stage | values for values in description.get("stages", [])]
    growing = {
        name: description[name]
        for name in ("budget", "rules")
        if name in description
    }
    if "rules" in growing:
        for values in stages:
            for name in (*DECIDED, "gflops"):
                values.pop(name, None)
    return json.loads(
        json.dumps(
            {
                "stages": stages,
                **growing,
                "identity": flags | description.get("identity", {}),
            }
        )
    )


def _flatten(value: Any, path: str = "") -> dict[str, Any]:
    """Returns the leaves of nested dicts and lists, by a path such as a.0.b."""
    if not isinstance(value, dict | list) or not value:
        return {path[:-1]: value}
    pairs = value.items() if isinstance(value, dict) else enumerate(value)
    return {
        key: leaf
        for name, part in pairs
        for key, leaf in _flatten(part, f"{path}{name}.").items()
    }
