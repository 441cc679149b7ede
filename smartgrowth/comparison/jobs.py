"""The process of one trial, and those of this machine.

A process holds the lease of its run directory while it trains. So if a
comparison is killed, the next one waits for the trial that is still running,
and never trains it twice at once.
"""

import abc
import os
import pathlib
import subprocess
import sys
import time
from collections.abc import Callable, Mapping

from smartgrowth.comparison.arms import Trial
from smartgrowth.runs import files
from smartgrowth.runs.owner import is_trained
from smartgrowth.runtime.cpu import THREADS, count_cores
from smartgrowth.runtime.reporter import Reporter

OUTPUT = "output.txt"  # what the trial's process printed
# Present if the trial shared the machine, so that its times are not valid.
SHARED = "shared_the_machine.txt"
TAIL_LINES = 8


def train_command(trial: Trial) -> list[str]:
    """Returns the command with every flag, whatever its flagfile says later."""
    program = [sys.executable, "-m", "smartgrowth.main"]
    return program + trial.config.flag_lines()


def note_sharing(directory: pathlib.Path, where: str) -> None:
    """Notes in a run directory that other runs may share the machine.

    where: what it is trained with, such as a flag.
    """
    (directory / SHARED).write_text(f"trained with {where}\n")


def start_process(
    command: list[str],
    directory: pathlib.Path,
    environment: Mapping[str, str],
    cwd: str | None = None,
) -> subprocess.Popen:
    """Starts a trial's process; what it prints is added to `OUTPUT`."""
    with (directory / OUTPUT).open("ab") as file:
        # A group of its own, so that Ctrl-C in a terminal reaches only the
        # comparison, which then stops each process once.
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            process_group=0,
            env={**environment, "PYTHONUNBUFFERED": "1"},
            cwd=cwd,
        )


class Job(abc.ABC):
    """A trial that is being trained, or that is about to be.

    Attributes:
      trial: what is trained.
      number: among all trials, for people.
      fresh: whether no process has trained it before.
    """

    def __init__(self, trial: Trial):
        self.trial, self.number = trial, 0
        self.fresh = not (trial.directory / files.PLAN).exists()
        self.began = time.monotonic()

    @property
    def output(self) -> pathlib.Path:
        return self.trial.directory / OUTPUT

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.began

    @property
    def whole_seconds(self) -> float | None:
        """Seconds of its process, if that trained the whole run."""
        return self.seconds if self.fresh and self.started else None

    @property
    @abc.abstractmethod
    def started(self) -> bool:
        """Whether its process was started."""

    @abc.abstractmethod
    def poll(self, reporter: Reporter) -> int | None:
        """Returns the exit status of its process, None before its end."""

    @abc.abstractmethod
    def stop(self) -> None:
        """Asks its process to save and stop."""

    @abc.abstractmethod
    def wait(self) -> None:
        """Waits for its process, if there is one."""

    def tail(self) -> list[str]:
        """Returns the last lines that it printed."""
        try:
            with self.output.open("rb") as file:
                file.seek(max(self.output.stat().st_size - 8192, 0))
                text = file.read().decode("utf-8", "replace")
        except OSError:  # none yet, or a network folder
            return []
        return [line for line in text.splitlines() if line.strip()][
            -TAIL_LINES:
        ]


class LocalJob(Job):
    """A trial's process on this machine, or the wait for an older one."""

    def __init__(self, trial: Trial, jobs: int, command):
        super().__init__(trial)
        self.jobs, self.command = jobs, command
        self.process, self.announced = None, False
        self.waits = not trial.config.take_over

    @property
    def started(self) -> bool:
        return self.process is not None

    def poll(self, reporter: Reporter) -> int | None:
        """Starts the process when it can; returns the exit status at its end.

        None while it runs, or while an older process trains the trial.
        """
        directory = self.trial.directory
        if self.process:
            code = self.process.poll()
            if not code or self.trial.finished or not is_trained(directory):
                return code
            # An older one had only just begun when this one was started.
            self.process, self.waits = None, True
        if self.waits and is_trained(directory):
            if not self.announced:
                reporter.say(
                    f"{self.trial.name} is being trained by a process that "
                    "outlived its comparison: waiting for it"
                )
            self.announced = True
            return None
        if self.trial.finished:
            return 0
        directory.mkdir(parents=True, exist_ok=True)
        if self.jobs > 1:
            note_sharing(directory, f"--jobs={self.jobs}")
        elif self.fresh or self.trial.config.restart:
            (directory / SHARED).unlink(missing_ok=True)
        self.process = start_process(
            self.command(self.trial), directory, self._environment()
        )
        return None

    def _environment(self) -> Mapping[str, str]:
        """Returns the process's variables: with its share of the cores.

        If every process had threads for all of them, those would wait for one
        another. But bits depend on the number of threads.
        """
        keeps_bits = self.trial.config.deterministic
        if self.jobs == 1 or keeps_bits or THREADS in os.environ:
            return os.environ
        return os.environ | {THREADS: str(max(count_cores() // self.jobs, 1))}

    def stop(self) -> None:
        if self.process and self.process.poll() is None:
            self.process.terminate()

    def wait(self) -> None:
        if self.process:
            self.process.wait()


class Pool(abc.ABC):
    """What trains trials, each as a job; to be entered before.

    Attributes:
      capacity: jobs that can run at once; may change.
    """

    capacity: int

    @abc.abstractmethod
    def start(self, trial: Trial) -> Job:
        """Returns the job of a trial, which begins at once or when it can."""

    @abc.abstractmethod
    def stop(self) -> None:
        """Asks for what the jobs' own `stop` does not reach."""

    @abc.abstractmethod
    def __enter__(self) -> "Pool": ...

    @abc.abstractmethod
    def __exit__(self, *error) -> None: ...


class LocalPool(Pool):
    """Processes of this machine, which share its cores.

    Args:
      jobs: at once.
      command: returns the command that trains a trial.
    """

    def __init__(
        self,
        jobs: int = 1,
        command: Callable[[Trial], list[str]] = train_command,
    ):
        self.capacity, self.command = jobs, command

    def start(self, trial: Trial) -> LocalJob:
        """Returns a job for a trial, whose process its `poll` starts."""
        return LocalJob(trial, self.capacity, self.command)

    def stop(self) -> None:
        """Nothing: each job stops its own process."""

    def __enter__(self) -> "LocalPool":
        return self

    def __exit__(self, *error) -> None:
        """Nothing is left to close."""
