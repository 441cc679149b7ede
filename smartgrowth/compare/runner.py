"""Trains each trial in its own process, sequentially or several at once.

A process holds the lease of its run directory while it trains. So if a
comparison is killed, the next one waits for the trial that is still running,
and never trains it twice at once.
"""

import collections
import contextlib
import os
import pathlib
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence

from smartgrowth.compare.arms import Trial
from smartgrowth.rendering.text import show
from smartgrowth.runs import files
from smartgrowth.runs.owner import is_trained
from smartgrowth.runs.reader import read_metrics
from smartgrowth.runtime.reporter import Reporter

OUTPUT = "output.txt"  # what the trial's process printed
# Present if the trial shared the machine, so that its times are not valid.
SHARED = "shared_the_machine.txt"
TAIL_LINES = 8
POLL_SECONDS = 0.2


def train_command(trial: Trial) -> list[str]:
    """Returns the command with every flag, whatever its flagfile says later."""
    program = [sys.executable, "-m", "smartgrowth.main"]
    return program + trial.config.flag_lines()


def train_all(
    trials: Sequence[Trial],
    jobs: int,
    forecast: "Forecast",
    command: Callable[[Trial], list[str]] = train_command,
) -> list[Trial]:
    """Trains the trials that are not finished, and prints progress.

    Args:
      trials: all trials of the comparison.
      jobs: processes at once.
      forecast: learns from every trial that ends.
      command: returns the command that trains a trial.

    Returns:
      The trials that failed; the others continue regardless.

    Raises:
      KeyboardInterrupt: asked to stop, after the running trials have saved.
    """
    total = len(trials)
    waiting = collections.deque(t for t in trials if not t.finished)
    running, failed = [], []
    # A comparison takes hours, and each run's own progress is in its output.
    reporter = Reporter(terminal_seconds=1.0, other_seconds=60.0)
    with _stop_signal():
        try:
            while waiting or running:
                while waiting and len(running) < jobs:
                    job = _Job(waiting.popleft(), jobs, command)
                    running.append(job)
                    job.number = total - len(waiting)
                time.sleep(POLL_SECONDS)
                for job in list(running):
                    code = job.poll(reporter)
                    if code is None:
                        continue
                    running.remove(job)
                    if not job.trial.finished:
                        failed.append(job.trial)
                        reporter.say(_failure(job, code))
                        continue
                    forecast.learn(job.trial, job.whole_seconds)
                    left = [*waiting, *(job.trial for job in running)]
                    reporter.say(_success(job, total, left, jobs, forecast))
                if any(job.process for job in running):
                    reporter.progress(
                        lambda: _progress(
                            running, total, waiting, jobs, forecast
                        )
                    )
        except BaseException:
            reporter.say("stopping: what is being trained is saved first")
            for job in running:
                job.stop()
            raise
        finally:
            for job in running:
                job.wait()
    return failed


class Forecast:
    """Predicts how long trials will take, from those that have ended."""

    def __init__(self, finished: Sequence[Trial] = ()):
        self.spent = {}  # arm -> [GFLOPs, seconds]
        self.extra = []  # seconds of a process outside its run's own time
        for trial in finished:
            self.learn(trial)

    def learn(self, trial: Trial, whole_seconds: float | None = None) -> None:
        """Adds a finished trial.

        Args:
          trial: finished.
          whole_seconds: of its process, if it trained the whole run.
        """
        metrics = read_metrics(trial.directory)
        seconds = metrics.get("wall_seconds")
        if seconds is None:
            return
        pair = self.spent.setdefault(trial.arm, [0.0, 0.0])
        pair[0] += trial.gflops
        pair[1] += seconds
        if whole_seconds:
            self.extra.append(max(whole_seconds - seconds, 0.0))

    def seconds(self, trials: Sequence[Trial]) -> float | None:
        """Returns the trials' total time; None if nothing was measured."""
        if not self.spent:
            return None
        gflops, seconds = map(sum, zip(*self.spent.values(), strict=True))
        extra = sum(self.extra) / len(self.extra) if self.extra else 0.0
        total = 0.0
        for trial in trials:
            # An arm without a finished trial counts as an average one.
            cost, took = self.spent.get(trial.arm, (gflops, seconds))
            total += trial.gflops * took / cost + extra
        return total

    def say(self, trials: Sequence[Trial], jobs: int, spent: float = 0) -> str:
        """Returns the time left as text; `spent` seconds are subtracted."""
        seconds = self.seconds(trials)
        if seconds is None:
            return "time unknown yet"
        return f"about {show('seconds', max(seconds - spent, 0) / jobs)}"


class _Job:
    """A trial's process, or the wait for an older one to end."""

    def __init__(self, trial: Trial, jobs: int, command):
        self.trial, self.jobs, self.command = trial, jobs, command
        self.process, self.announced, self.number = None, False, 0
        self.waits = not trial.config.take_over
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
        return self.seconds if self.fresh and self.process else None

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
        with self.output.open("ab") as file:
            shared = directory / SHARED
            if self.jobs > 1:
                shared.write_text(f"trained with --jobs={self.jobs}\n")
            elif self.fresh or self.trial.config.restart:
                shared.unlink(missing_ok=True)
            # A group of its own, so that Ctrl-C in a terminal reaches only the
            # comparison, which then stops each process once.
            self.process = subprocess.Popen(
                self.command(self.trial),
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                process_group=0,
                env=os.environ | {"PYTHONUNBUFFERED": "1"},
            )
        return None

    def stop(self) -> None:
        if self.process and self.process.poll() is None:
            self.process.terminate()

    def wait(self) -> None:
        if self.process:
            self.process.wait()

    def tail(self) -> list[str]:
        """Returns the last lines that it printed."""
        with self.output.open("rb") as file:
            file.seek(max(self.output.stat().st_size - 8192, 0))
            text = file.read().decode("utf-8", "replace")
        return [line for line in text.splitlines() if line.strip()][
            -TAIL_LINES:
        ]


def _progress(running, total: int, waiting, jobs: int, forecast) -> str:
    """Returns each process's last line, and the time left for all."""
    started = [job for job in running if job.process]
    left = [*waiting, *(job.trial for job in running)]
    spent = sum(job.seconds for job in started)
    last = " | ".join(
        f"run {job.number} of {total}, {job.trial.name}: "
        f"{(job.tail() or ['starting'])[-1]}"
        for job in started
    )
    return f"all: {forecast.say(left, jobs, spent)} left | {last}"


def _success(job: _Job, total: int, left, jobs: int, forecast) -> str:
    metrics = read_metrics(job.trial.directory)
    text = (
        f"run {job.number} of {total}, {job.trial.name}: accuracy "
        f"{show('accuracy', metrics.get('val_accuracy'))}"
    )
    if left:
        text += f"; {len(left)} left, {forecast.say(left, jobs)}"
    return text


def _failure(job: _Job, code: int) -> str:
    lines = "\n".join(f"    {line}" for line in job.tail())
    return (
        f"{job.trial.name} failed (exit status {code}); the others go on. "
        f"The last lines of {job.output}:\n{lines}"
    )


@contextlib.contextmanager
def _stop_signal():
    """Inside this context, SIGTERM and SIGHUP stop as Ctrl-C does."""

    def stop(number, frame):
        raise KeyboardInterrupt

    numbers = [signal.SIGTERM]
    if hasattr(signal, "SIGHUP"):
        numbers.append(signal.SIGHUP)
    previous = {}
    if threading.current_thread() is threading.main_thread():
        previous = {number: signal.signal(number, stop) for number in numbers}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
