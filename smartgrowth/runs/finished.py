"""A finished run, opened again: where it is, and the flags that made it."""

import json
import pathlib

from smartgrowth import UserError
from smartgrowth.command_line import from_flag_lines
from smartgrowth.config import Config
from smartgrowth.runs import files
from smartgrowth.runs.directory import is_finished
from smartgrowth.runs.identity import name_flags
from smartgrowth.runs.parse import parsing, require
from smartgrowth.runs.reader import read_flags, read_metrics, read_plan


def load_config(workdir: str) -> tuple[pathlib.Path, Config]:
    """Returns a finished run's directory and the config that made it.

    Raises:
      UserError: there is no run, it is not finished, or plan.json, flags.txt
        or metrics.json is malformed or does not agree with the others.
    """
    directory = pathlib.Path(workdir).expanduser()
    if not (directory / files.FLAGS).exists():
        raise UserError(
            f"--workdir={workdir} holds no run; train one there first"
        )
    if not is_finished(directory):
        raise UserError(
            f"--workdir={workdir} holds a run that is not finished; give its "
            "training command again to go on with it"
        )
    read_metrics(directory)
    identity = read_plan(directory)["identity"]
    flags, path = read_flags(directory), directory / files.FLAGS
    try:
        config = from_flag_lines([f"--{n}={v}" for n, v in flags.items()])
    except UserError as error:
        raise UserError(f"{path}: {error}") from error
    with parsing(path):
        # As it stands in a JSON file: with lists instead of tuples.
        for name, value in json.loads(json.dumps(name_flags(config))).items():
            require(
                identity.get(name, value) == value,
                f"--{name} is {value} in it, and {identity.get(name)} in "
                f"{files.PLAN}",
            )
    return directory, config
