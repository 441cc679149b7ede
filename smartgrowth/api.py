"""The program in a Python session: `smartgrowth.train(dataset=..., ...)`.

Keywords are the flags of `python -m smartgrowth.main`, by the same names, with
the same checks and messages. A list is a list, or the text that the flag would
have; `flagfile` names one or several, whose flags come first.
"""

import dataclasses
import difflib
import functools
import pathlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from smartgrowth import UserError, modes
from smartgrowth.command_line import from_flag_lines
from smartgrowth.comparison import csv_tables
from smartgrowth.comparison.report import PAGE
from smartgrowth.comparison.run import WORKDIR
from smartgrowth.comparison.settings import Comparison
from smartgrowth.config import Config
from smartgrowth.flags.flag import flag_text
from smartgrowth.models import user_network
from smartgrowth.notebooks.cells import show
from smartgrowth.report.write import write_report
from smartgrowth.runs import files
from smartgrowth.runs.directory import is_finished
from smartgrowth.runs.predictions import read_classes
from smartgrowth.runs.reader import read_metrics, read_plan, read_run
from smartgrowth.runtime import surroundings

if TYPE_CHECKING:  # imported late, when there is something to show
    import keras
    import pandas

NOT_HERE = ("mode", "measure", "images", "format", "quantize")  # other modes


@dataclasses.dataclass(frozen=True)
class StagePlan:
    """The stages of a run, priced.

    Attributes:
      description: what plan.json holds, or would hold.
      text: the plan as `--mode=plan` prints it, without its curves.
    """

    description: Mapping
    text: str

    @property
    def stages(self) -> "pandas.DataFrame":
        """A row for each stage: its values, steps, images and GFLOPs."""
        import pandas

        return pandas.DataFrame(self.description["stages"]).set_index("index")

    @property
    def gflops(self) -> float:
        """The cost of the whole training."""
        return self.description["gflops"]

    def __repr__(self) -> str:
        return self.text


@dataclasses.dataclass(frozen=True)
class Run:
    """A run directory, of a run that is finished or not; reads its files."""

    directory: pathlib.Path

    @property
    def finished(self) -> bool:
        """Whether all results are there."""
        return is_finished(self.directory)

    @property
    def log(self) -> "pandas.DataFrame":
        """log.csv: a row for each evaluation."""
        import pandas

        read_run(self.directory)  # says what is wrong with it, if anything
        path = self.directory / files.LOG
        if not path.exists():
            return pandas.DataFrame(columns=files.LOG_COLUMNS)
        return pandas.read_csv(path)

    @property
    def plan(self) -> StagePlan:
        """The stages, as far as they are decided."""
        description = read_plan(self.directory)
        return StagePlan(description, _as_table(description))

    @property
    def figures(self) -> dict[str, Any]:
        """metrics.json: the final figures; empty before the end."""
        return read_metrics(self.directory)

    @functools.cached_property
    def model(self) -> "keras.Model":
        """The trained network, from raw RGB images in 0..255 to logits.

        Raises:
          UserError: the run is not finished.
        """
        if not self.finished:
            raise UserError(
                f"{self.directory}: the run is not finished, and has no model "
                "yet; train it to its end"
            )
        from smartgrowth.evaluation.saved_model import load_model

        names = read_classes(self.directory)
        return load_model(self.directory, len(names))

    def show(self) -> None:
        """Shows the report in the notebook; of a running run, as it is now."""
        show(write_report(self.directory))

    def __repr__(self) -> str:
        run = read_run(self.directory)
        accuracy = run.figures.get("val_accuracy")
        reached = "" if accuracy is None else f", {accuracy:.1%}"
        state = "finished" if self.finished else "not finished"
        return f"Run({str(self.directory)!r}): {state}{reached}"


@dataclasses.dataclass(frozen=True)
class ComparedArms:
    """The folder of a comparison."""

    directory: pathlib.Path

    @property
    def runs(self) -> "pandas.DataFrame":
        """comparison.csv: a row for each run."""
        return self._read(csv_tables.RUNS)

    @property
    def arms(self) -> "pandas.DataFrame":
        """comparison_arms.csv: a row for each arm at each budget."""
        return self._read(csv_tables.ARMS)

    def show(self) -> None:
        """Shows the page in the notebook."""
        show(self.directory / PAGE)

    def _read(self, name: str) -> "pandas.DataFrame":
        import pandas

        path = self.directory / name
        if not path.exists():
            raise UserError(f"{path} is not there yet; let all runs finish")
        return pandas.read_csv(path)


def train(*, callbacks: Sequence = (), flagfile=(), **flags) -> Run:
    """Trains a run, or goes on with it, in this process.

    Args:
      callbacks: Keras callbacks. An epoch is an evaluation:
        `on_epoch_end(step, row)` gets a row of log.csv. `on_train_batch_end`
        gets the number of the step. One that sets `model.stop_training` stops
        the run after it has saved; the same call goes on.
      flagfile: a path, or several.
      **flags: by name. `model` may be a function, as those of
        `--model=PATH.py:FUNCTION`.

    Raises:
      UserError: as the command's one-line messages.
      KeyboardInterrupt: the run was stopped, and has saved.
    """
    config = _config(flags, flagfile)
    try:
        modes.train(config, callbacks)
    except KeyboardInterrupt:
        models = [getattr(each, "model", None) for each in callbacks]
        if not any(getattr(each, "stop_training", False) for each in models):
            raise
    return load_run(config.workdir)


def plan(*, flagfile=(), **flags) -> StagePlan:
    """Returns the plan of a run; the first time, it prepares the dataset."""
    config = _config(flags, flagfile)
    from smartgrowth.training.summary import overview

    experiment = modes.open_experiment(config)
    return StagePlan(experiment.description, overview(experiment))


def compare(
    *, arms: Sequence | Mapping[str, Mapping], flagfile=(), **flags
) -> ComparedArms:
    """Trains what is missing of a comparison, and writes its page.

    Every run is a process of its own, so a network must be in a file.

    Args:
      arms: flagfiles or folders of finished runs; or, by the arms' names, a
        dictionary of flags each, which may have a flagfile. The first is the
        baseline.
      flagfile: of the flags that hold for every arm; a path, or several.
      **flags: those of `--mode=compare`, and those of every arm.
    """
    own = {field.name for field in dataclasses.fields(Comparison)}
    folder = pathlib.Path(flags.get("workdir", WORKDIR)).expanduser()
    if isinstance(arms, Mapping):
        arms = _write_arms(arms, folder)
    kept = {name: flags.pop(name) for name in own & set(flags)}
    kept["arms"] = [str(arm) for arm in arms]
    comparison = from_flag_lines(_lines(kept, Comparison), Comparison)
    lines = _flagfile_lines(flagfile) + _lines(flags | {"workdir": folder})
    _settle()
    modes.compare(from_flag_lines(lines), comparison, lines)
    return ComparedArms(folder)


def load_run(path: str | pathlib.Path) -> Run:
    """Returns the run in a directory.

    Raises:
      UserError: there is none.
    """
    directory = pathlib.Path(path).expanduser()
    read_run(directory)
    return Run(directory)


def _config(flags: dict, flagfile) -> Config:
    """Returns the config of keywords; settles the process around it."""
    function = flags.get("model")
    if callable(function):
        name = f"{function.__module__}:{function.__qualname__}"
        user_network.FUNCTIONS[name] = function
        flags = flags | {"model": name}
    config = from_flag_lines(_flagfile_lines(flagfile) + _lines(flags))
    _settle()
    return config


def _settle() -> None:
    surroundings.settle(own_process=False)


def _flagfile_lines(flagfile) -> list[str]:
    single = isinstance(flagfile, str | pathlib.Path)
    paths = map(pathlib.Path, [flagfile] if single else flagfile)
    return [f"--flagfile={path.expanduser().absolute()}" for path in paths]


def _lines(flags: Mapping[str, Any], kind: type = Config) -> list[str]:
    """Returns keywords as flags; those that are None are left out.

    Raises:
      UserError: there is no flag of that name, or a function was given where
        other processes need it.
    """
    known = {field.name for field in dataclasses.fields(kind)} - {*NOT_HERE}
    lines = []
    for name, value in flags.items():
        if name not in known:
            near = difflib.get_close_matches(name, known, 1)
            way = f"; did you mean {near[0]}?" if near else "; see --help"
            raise UserError(f"{name}: there is no such flag here{way}")
        if callable(value):
            raise UserError(
                f"{name}: every run of a comparison is a process of its own; "
                f"put the function into a file, {name}='FILE.py:FUNCTION'"
            )
        if value is not None:
            plain = value.tolist() if hasattr(value, "tolist") else value
            lines.append(f"--{name}={flag_text(plain)}")
    return lines


def _write_arms(arms: Mapping[str, Mapping], folder: pathlib.Path) -> list[str]:
    """Writes arms as flagfiles into a comparison's folder."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for name, flags in arms.items():
        flags, path = dict(flags), folder / f"{name}.flags"
        lines = _flagfile_lines(flags.pop("flagfile", ())) + _lines(flags)
        files.write_text(path, "".join(f"{line}\n" for line in lines))
        paths.append(str(path))
    return paths


def _as_table(description: Mapping) -> str:
    names = ("image_size", "num_classes", "num_images", "steps", "gflops")
    import pandas

    return pandas.DataFrame(description["stages"])[list(names)].to_string()
