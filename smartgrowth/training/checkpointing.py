"""A run's checkpoints: written beside training, restored, and refused ones."""

import dataclasses
import pathlib
import shutil
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np

from smartgrowth import UserError
from smartgrowth.rendering.text import show
from smartgrowth.runs import checkpoint, files
from smartgrowth.runs.lease import Lease
from smartgrowth.runtime.keras_internals import write_back_jax_state
from smartgrowth.runtime.reporter import say
from smartgrowth.runtime.scratch import sweep
from smartgrowth.stages import Plan
from smartgrowth.training.compile_model import group_variables
from smartgrowth.training.progress import (
    Progress,
    check_step,
    read_progress,
    start_of,
)

RETRY_SECONDS = 5.0  # after a checkpoint that was refused; then twice as long


class CheckpointManager:
    """Writes a run's checkpoints, and restores the newest one.

    A context: what is being written at its end is waited for.

    Args:
      directory: of the run.
      lease: of the directory and its plan; checkpoints of another plan are
        refused, and nothing is written once another process has the lease.
      model: compiled. accuracy: its metric.
      numerics: what equal bits depend on, for the manifest.
      save_seconds: between checkpoints, if nothing else asks for one.
      rescue: a folder of this machine for the last one, if the directory
        refuses it; None if other machines take part.
    """

    def __init__(
        self,
        directory: pathlib.Path,
        lease: Lease,
        model,
        accuracy,
        numerics: dict,
        save_seconds: float,
        rescue: pathlib.Path | None = None,
    ):
        self.directory, self.rescue = directory, rescue
        self.check_owner, self.plan_hash = lease.check, lease.plan_hash
        self.numerics = numerics
        self.model = model
        self.variables = group_variables(model, accuracy)
        self.save_seconds = save_seconds
        self.began = time.monotonic()
        self.next_save = self.began + save_seconds
        self.pause = 0.0  # before the next try, while the directory refuses
        self.kept = None  # step and rows of what it has put in `rescue`
        self.writer = ThreadPoolExecutor(1, "checkpoint")
        self.writing: Future | None = None  # of `snapshot`, by `writer`
        self.snapshot = None
        self.interrupted = {}  # metric sums of a segment that was cut off

    def restore(self, directory: pathlib.Path, plan: Plan) -> Progress:
        """Restores the newest whole checkpoint, if there is any.

        To be called before the first `save`: it removes what killed processes
        left of theirs on the local disk.

        Args:
          directory: of the run; another than the one that is written to in a
            process that is not the main one.

        Returns:
          How far the run had come.

        Raises:
          UserError: the checkpoint is of another plan.
        """
        sweep()
        newest = self._load(directory / files.CHECKPOINTS, plan)
        if newest and newest[1]["plan"] != self.plan_hash:
            raise UserError(
                f"--workdir={directory} holds checkpoints of another "
                "plan; name another folder, or give --restart"
            )
        newest = self._newer_rescued(newest, plan) or newest
        if not newest:
            return start_of(plan)
        arrays, facts = newest
        checkpoint.restore(self.variables, arrays)
        self.interrupted = arrays
        return read_progress(facts["progress"], plan)

    def _load(self, directory: pathlib.Path, plan: Plan):
        return checkpoint.load(
            directory, lambda arrays, facts: self._check(arrays, facts, plan)
        )

    def _newer_rescued(self, newest, plan: Plan):
        """Returns this plan's rescued checkpoint, if it is the newest."""
        rescued = self._load(self.rescue, plan) if self.rescue else None
        if not rescued or rescued[1]["plan"] != self.plan_hash:
            return None
        if newest and newest[1]["step"] >= rescued[1]["step"]:
            return None
        say(f"takes up the checkpoint that was kept in {self.rescue}")
        return rescued

    def _check(self, arrays: dict, facts: dict, plan: Plan) -> None:
        """Raises `ValueError` if a checkpoint is damaged; of this plan alone.

        What is of another plan is whole, and for `restore` to refuse.
        """
        if not isinstance(facts.get("plan"), str):
            raise ValueError("its manifest's facts have no `plan`")
        if facts["plan"] == self.plan_hash:
            check_step(arrays, facts, plan)

    def due(self) -> bool:
        """Returns whether the last checkpoint is `save_seconds` old.

        Or, if it was refused, whether it is time for another try.

        Raises:
          UserError: another process has taken the directory.
        """
        if self.writing and self.writing.done():
            self.settle()  # which may ask for another try
        return time.monotonic() >= self.next_save

    def save(
        self, progress: Progress, best: bool = False, within: bool = False
    ) -> None:
        """Begins to write a checkpoint, once the one before is written.

        A disk that refuses it is a warning. It is then kept on this machine
        instead, and `due` after a pause that grows from `RETRY_SECONDS` to the
        time between checkpoints.

        Args:
          best: keep it until another is the best.
          within: a segment, whose metric sums then belong to it.

        Raises:
          UserError: another process has taken the directory.
        """
        self.settle()
        self.snapshot = self._take_snapshot(progress, within)
        self.writing = self.writer.submit(
            self._write,
            best=best,
            # What has just refused it does not hold up the training.
            tries=1 if self.pause else checkpoint.TRIES,
        )
        self.next_save = time.monotonic() + (self.pause or self.save_seconds)

    def _write(self, **how) -> None:
        """Writes the snapshot, beside training."""
        self.check_owner()
        directory = self.directory / files.CHECKPOINTS
        arrays, facts = self.snapshot
        checkpoint.save(
            directory, arrays, facts, check_owner=self.check_owner, **how
        )

    def settle(self) -> None:
        """Waits until the checkpoint is written, and answers a refusal.

        Raises:
          UserError: another process has taken the directory.
        """
        writing, self.writing = self.writing, None
        if not writing:
            return
        arrays, facts = self.snapshot
        try:
            writing.result()
        except OSError as error:
            pause = 2 * self.pause or RETRY_SECONDS
            self.pause = min(pause, self.save_seconds)
            self.next_save = time.monotonic() + self.pause
            more = f", the next try comes in {show('seconds', self.pause)}"
            if self._keep(arrays, facts):
                more += f", until then it is kept in {self.rescue}"
            self._warn("checkpoint", facts["step"], error, more)
        else:
            if self.pause:
                say(f"{self.directory} takes checkpoints again")
                if self.kept:  # older now than what the directory has
                    shutil.rmtree(self.rescue, ignore_errors=True)
                self.kept = None
            self.pause = 0.0
        finally:
            self.snapshot = None

    def __enter__(self) -> "CheckpointManager":
        return self

    def __exit__(self, *error) -> None:
        """Waits for the checkpoint that is being written."""
        with self.writer:
            self.settle()

    def keep_here(self, progress: Progress) -> bool:
        """Keeps the progress on this machine; returns whether it is kept."""
        return self._keep(*self._take_snapshot(progress))

    def _keep(self, arrays: dict, facts: dict) -> bool:
        if not self.rescue:
            return False
        state = facts["step"], len(facts["progress"]["rows"])
        if self.kept != state:
            try:
                checkpoint.save(self.rescue, arrays, facts, tries=1)
            except OSError:
                return False
            self.kept = state
        return True

    def _take_snapshot(
        self, progress: Progress, within: bool = False
    ) -> tuple[dict[str, np.ndarray], dict]:
        """Returns the arrays and facts of a checkpoint, as `checkpoint.save`.

        Copies: the next steps change the variables, while these are written.
        """
        groups = dict(self.variables)
        if within:
            write_back_jax_state(self.model)
        else:
            del groups["metrics"]
        kept = dataclasses.replace(
            progress,
            rows=list(progress.rows),
            decisions=list(progress.decisions),
            wall_seconds=self.wall_seconds(progress),
        )
        arrays = checkpoint.collect(groups)
        return {name: np.array(array) for name, array in arrays.items()}, {
            "step": progress.step,
            "plan": self.plan_hash,
            "progress": dataclasses.asdict(kept),
            "numerics": self.numerics,
        }

    def restore_metrics(self) -> None:
        """Puts the sums of an interrupted segment back, once.

        To be called when Keras has just reset them.
        """
        if any(name.startswith("metrics/") for name in self.interrupted):
            metrics = {"metrics": self.variables["metrics"]}
            checkpoint.restore(metrics, self.interrupted)
        self.interrupted = {}

    def wall_seconds(self, progress: Progress) -> float:
        """Returns the seconds of all processes that worked on the run."""
        return progress.wall_seconds + time.monotonic() - self.began

    def facts(self, progress: Progress) -> dict:
        """Returns what metrics.json holds of a run's course."""
        return {
            "train_seconds": progress.train_seconds,
            "wall_seconds": self.wall_seconds(progress),
            "stage_seconds": progress.stage_seconds,
            "boundary_seconds": progress.boundary_seconds,
            "found_rates": progress.found_rates,
            "numerics": self.numerics,
        }

    def attempt(self, what: str, step: int, write: Callable[[], None]) -> None:
        """Calls what writes a file; a disk that refuses it is a warning.

        Training goes on: the next log and the next checkpoint hold it all.

        Raises:
          UserError: another process has taken the directory.
        """
        try:
            self.check_owner()
            write()
        except OSError as error:
            self._warn(what, step, error)

    def _warn(self, what: str, step: int, error: OSError, more="") -> None:
        say(
            f"warning: no {what} written at step {step} "
            f"({error.strerror or error}); training goes on{more}; make room "
            f"in {self.directory}"
        )
