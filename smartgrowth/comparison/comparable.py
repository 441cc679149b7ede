"""Which runs can be compared, and which conditions differed between them."""

from collections.abc import Iterable, Mapping, Sequence

from smartgrowth import UserError
from smartgrowth.comparison.arms import Trial
from smartgrowth.rendering.text import series
from smartgrowth.runs import files
from smartgrowth.runs.reader import Run, read_json, read_lines

# Parts of plan.json's identity that must agree, and their names in messages.
SAME = {
    "num_classes": "number of classes",
    "content": "data (classes, images or labels, of training or validation)",
    "pixels": "pixels of images of the same names",
    "test_size": "image size of the validation",
}
# And those of runs that were finished before; flagfiles may ask for others.
NETWORK = {
    "model": "model",
    "width": "width",
    "depth": "depth",
    "dropout": "dropout",
    "layers": "layers of the network",
}
# What decides the figures besides the plan: entry of metrics.json's numerics ->
# its name, and how to train again with another.
DECIDING = {
    "policy": ("precision", "--precision"),
    "backend": ("Keras backend", "KERAS_BACKEND"),
}
# What may decide their last digits.
MACHINE = {
    "device": "accelerator",
    "cpu": "CPU",
    "cores": "number of cores",
    "threads": "number of threads",
    "onednn": "oneDNN setting",
}


def check_same_task(trials: Sequence[Trial]) -> None:
    """Raises `UserError` if two runs did not have the same task.

    Or another network, unless both are trained here: then an arm's flagfile
    asks for it, and `differences` names it.
    """
    first = trials[0]  # the baseline's
    known = [trial.description["identity"].get("pixels") for trial in trials]
    # Runs of older versions did not know their pixels.
    pixels = {"pixels": next(filter(None, known), None)}
    for trial in trials:
        ours, theirs = (_task(each, pixels) for each in (first, trial))
        same = SAME if first.config and trial.config else SAME | NETWORK
        different = [
            f"{words} {_short(ours.get(name))} against "
            f"{_short(theirs.get(name))}"
            for name, words in same.items()
            if ours.get(name) != theirs.get(name)
        ]
        if different:
            raise UserError(
                f"{first.name} ({first.directory}) and {trial.name} "
                f"({trial.directory}) cannot be compared: "
                f"{'; '.join(different)}"
            )


def _task(trial: Trial, defaults: Mapping) -> dict:
    identity = defaults | trial.description["identity"]
    # Of a network of the user's, by which its function's name says little.
    return identity | {"layers": identity.get("inputs", {}).get("model")}


def check_same_conditions(trials: Sequence[Trial]) -> None:
    """Raises `UserError` if finished runs differ in precision or backend.

    An arm may test the precision: then its flag says so. Runs that are trained
    here are not refused for what a machine chose; `differences` names it.

    Args:
      trials: the first one is the baseline's.
    """
    usual = [t for t in trials if t.arm == trials[0].arm and t.finished]
    if not usual:
        return
    by_place = {(trial.budget, trial.seed): trial for trial in usual}
    for trial in trials:
        other = by_place.get((trial.budget, trial.seed), usual[0])
        if not trial.finished or (trial.config and other.config):
            continue
        numerics = [_numerics(each) for each in (other, trial)]
        for entry, (name, way) in DECIDING.items():
            ours, theirs = (each.get(entry) for each in numerics)
            if ours == theirs or None in (ours, theirs):
                continue
            if entry == "policy" and _precision(other) != _precision(trial):
                continue
            raise UserError(
                f"{other.name} ({other.directory}) and {trial.name} "
                f"({trial.directory}) cannot be compared: {name} {ours} "
                f"against {theirs}; train one of them again with the other's, "
                f"by {way}"
            )


def differences(runs: Mapping[tuple[str, float, int], Run]) -> list[str]:
    """Returns a sentence for each condition that differed between runs.

    An entry that a run does not have is unknown, and differs from none.

    Args:
      runs: (arm, budget, seed) -> the run.
    """
    names = {entry: name for entry, (name, _) in DECIDING.items()} | MACHINE
    facts = {
        name: {
            key: run.metrics.get("numerics", {}).get(entry)
            for key, run in runs.items()
        }
        for entry, name in names.items()
    }
    facts["network (--model, --width, --depth)"] = {
        key: " ".join(
            run.flags.get(name, "") for name in ("model", "width", "depth")
        )
        for key, run in runs.items()
    }
    facts["version of smartgrowth"] = {
        key: run.metrics.get("versions", {}).get("smartgrowth")
        for key, run in runs.items()
    }
    facts["moving average of the weights (--ema)"] = {
        key: run.flags.get("ema") for key, run in runs.items()
    }
    return [
        f"Not all runs had the same {name}: {_by_value(values)}"
        for name, values in facts.items()
        if len({*values.values()} - {None}) > 1
    ]


def machines_differ(runs: Iterable[Run]) -> bool:
    """Returns whether runs were made in conditions of different speed."""
    numerics = [run.metrics.get("numerics", {}) for run in runs]
    return any(
        len({each[entry] for each in numerics if entry in each}) > 1
        for entry in (*DECIDING, *MACHINE)
    )


def _by_value(values: Mapping[tuple[str, float, int], object]) -> str:
    """Returns "float32 in plain seeds 0 to 2; float16 in grown seed 0"."""
    groups: dict[str, dict[str, set[int]]] = {}
    for (arm, _, seed), value in values.items():
        if value is not None:
            seeds = groups.setdefault(str(value), {}).setdefault(arm, set())
            seeds.add(seed)
    return "; ".join(
        f"{value} in "
        + ", ".join(
            f"{arm} seed{'s' if len(seeds) > 1 else ''} {series(seeds)}"
            for arm, seeds in arms.items()
        )
        for value, arms in groups.items()
    )


def _numerics(trial: Trial) -> dict:
    return read_json(trial.directory / files.METRICS).get("numerics", {})


def _precision(trial: Trial) -> str:
    """Returns the precision that was asked for."""
    for line in read_lines(trial.directory / files.FLAGS):
        if line.startswith("--precision="):
            return line.partition("=")[2]
    return "auto"


def _short(value) -> str:
    """Returns the first 12 characters, enough of a digest for a message."""
    return str(value)[:12]
