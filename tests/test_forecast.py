"""How long a run will take, told once from its own first steps."""

import io

import pytest

from smartgrowth.experiment import make_experiment
from smartgrowth.runtime.reporter import Reporter
from smartgrowth.training import progress_line
from smartgrowth.training.forecast import Forecast
from smartgrowth.training.progress_line import ProgressLine


@pytest.fixture
def experiment(tiny_config, tiny_data):
    """Stages of 40 steps at 8 px and 20 at 16, three evaluations."""
    return make_experiment(
        tiny_config(grow_size=(8, 16), stage_steps=(40, 20), evals=3),
        tiny_data,
    )


class Clock:
    """Stands in for `time`: runs as it is told."""

    def __init__(self):
        self.now = 0.0

    def monotonic(self) -> float:
        return self.now


def test_what_is_not_seen_yet_costs_time_as_it_costs_flops(experiment):
    first, second = experiment.plan.stages
    forecast = Forecast(experiment, mirrored=False)
    forecast.beginning = 3.0
    left = forecast.left(first, step=10, seconds=0.1)
    price = experiment.network.flops_per_image
    ratio = price(16) / price(8)
    (_, now), (_, later) = left.stages
    assert now == pytest.approx(30 * 0.1)
    batches = second.batch_size / first.batch_size
    assert later == pytest.approx(3.0 + 20 * 0.1 * ratio * batches)
    # Forward alone is a third of a step; sizes of both in the first stage.
    images = len(experiment.data.validation.labels) / first.batch_size
    judged = len(experiment.data.train.labels) / first.batch_size
    of_first = len(experiment.plan.evaluations(first, 10))
    of_second = len(experiment.plan.evaluations(second, 10))
    passes = of_first * (1 + ratio) + of_second * ratio
    assert left.judging == pytest.approx(
        (passes * images + judged * ratio) * 0.1 / 3
    )
    assert left.seconds == pytest.approx(now + later + left.judging)


def test_an_evaluation_that_was_timed_tells_of_the_others(experiment):
    first, second = experiment.plan.stages
    forecast = Forecast(experiment, mirrored=True)
    forecast.evaluated(second, 2.0)
    left = forecast.left(second, step=59, seconds=0.5)
    per_image = 2.0 / len(experiment.data.validation.labels)
    judged = len(experiment.data.train.labels)
    # One more evaluation, mirror images, images of the training.
    assert left.judging == pytest.approx(2.0 + 2.0 + judged * per_image)
    assert left.stages == ((1, pytest.approx(0.5)),)
    assert first.index == 0


@pytest.fixture
def watched(experiment, monkeypatch):
    """A clock, what is said, and the line that says it."""
    clock, stream = Clock(), io.StringIO()
    monkeypatch.setattr(progress_line, "time", clock)
    quiet = Reporter(stream, other_seconds=1e9, clock=clock.monotonic)
    return clock, stream, ProgressLine(experiment, False, quiet)


def test_a_run_tells_once_and_of_every_stage(experiment, watched):
    clock, stream, line = watched
    first, second = experiment.plan.stages
    line.start(0)
    clock.now += 4.0  # until it is compiled
    for step in range(1, 31):
        line.show(first, step, 1.0, 0.1)
        clock.now += 0.125
        said = stream.getvalue()
        assert bool(said) == (step >= 9)  # a second after the first one
    assert said.startswith("about ") and said.count("\n") == 1
    assert "(stage 1 of 2: 4 s, stage 2 of 2: " in said
    assert "told by steps of 8 px; the other sizes by their FLOPs" in said
    line.start(40)
    for step in range(41, 60):
        line.show(second, step, 1.0, 0.1)
        clock.now += 1.0
    assert stream.getvalue() == said


def test_segments_of_less_than_a_second_tell_at_their_end(experiment, watched):
    clock, stream, line = watched
    first, second = experiment.plan.stages
    line.start(0)
    for step in (1, 2, 3):
        line.show(first, step, 1.0, 0.1)
        clock.now += 0.1
    row = {"step": 4, "train_loss": 1.0, "val_loss": 1.0, "val_accuracy": 0.5}
    row |= {"val_accuracy_at_size": 0.5, "train_seconds": 1, "wall_seconds": 9}
    line.say_row(first, row)
    assert "on this machine (stage 1 of 2: 4 s" in stream.getvalue()
    # From the second evaluation on, one has a time of its own.
    line.say_row(second, row | {"train_seconds": 2, "wall_seconds": 12.0})
    gflops = line.forecast.gflops_of_evaluation[1]
    assert line.forecast.rate == pytest.approx(2.0 / gflops)
    assert stream.getvalue().count("on this machine") == 1
