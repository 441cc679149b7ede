"""Trains each trial in its own process, sequentially or several at once.

`jobs` has the processes of this machine, `cluster` those of others.
"""

import collections
import contextlib
import signal
import threading
import time
from collections.abc import Callable, Sequence

from smartgrowth.comparison.arms import Trial
from smartgrowth.comparison.jobs import Job, Pool
from smartgrowth.rendering.text import show
from smartgrowth.runs.reader import read_metrics
from smartgrowth.runtime.reporter import Reporter

POLL_SECONDS = 0.05


def train_all(
    trials: Sequence[Trial],
    pool: Pool,
    forecast: "Forecast",
    ended: Callable[[Trial], None] = lambda trial: None,
) -> list[Trial]:
    """Trains the trials that are not finished, and prints progress.

    Args:
      trials: all trials of the comparison.
      pool: entered; starts processes, at most its `capacity` at once, which
        may change.
      forecast: learns from every trial that ends.
      ended: called with each trial when it has been trained.

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
                jobs = pool.capacity
                while waiting and len(running) < jobs:
                    job = pool.start(waiting.popleft())
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
                    ended(job.trial)
                    left = [*waiting, *(job.trial for job in running)]
                    reporter.say(_success(job, total, left, jobs, forecast))
                if any(job.started for job in running):
                    reporter.progress(
                        lambda jobs=jobs: _progress(
                            running, total, waiting, jobs, forecast
                        )
                    )
        except BaseException:
            reporter.say("stopping: what is being trained is saved first")
            for job in running:
                job.stop()
            pool.stop()
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
        return (
            f"about {show('seconds', max(seconds - spent, 0) / max(jobs, 1))}"
        )


def _progress(running, total: int, waiting, jobs: int, forecast) -> str:
    """Returns each process's last line, and the time left for all."""
    started = [job for job in running if job.started]
    left = [*waiting, *(job.trial for job in running)]
    spent = sum(job.seconds for job in started)
    last = " | ".join(
        f"run {job.number} of {total}, {job.trial.name}: "
        f"{(job.tail() or ['starting'])[-1]}"
        for job in started
    )
    return f"all: {forecast.say(left, jobs, spent)} left | {last}"


def _success(job: Job, total: int, left, jobs: int, forecast) -> str:
    metrics = read_metrics(job.trial.directory)
    text = (
        f"run {job.number} of {total}, {job.trial.name}: accuracy "
        f"{show('accuracy', metrics.get('val_accuracy'))}"
    )
    if left:
        text += f"; {len(left)} left, {forecast.say(left, jobs)}"
    return text


def _failure(job: Job, code: int) -> str:
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
