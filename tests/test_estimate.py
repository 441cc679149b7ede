"""How long a run will take: what is counted; nothing is left behind."""

import dataclasses
import re

import pytest

from smartgrowth import UserError
from smartgrowth.experiment import make_experiment
from smartgrowth.runs import checkpoint
from smartgrowth.stages import Plan, Stage
from smartgrowth.training import estimate, train
from smartgrowth.training.estimate import Pace, Rest

PACE = Pace(compiling=3.0, segment=0.5, step=0.01, evaluation=2.0)


def make_plan() -> Plan:
    """Stages of 100 and 300 steps that cost the same an image."""
    stages = (
        Stage(0, 0, 100, 10, image_size=16),
        Stage(1, 100, 300, 10, image_size=24),
    )
    return Plan(stages, (1_000_000, 1_000_000), evals=4)


def measured(config, data) -> str:
    return estimate.measure(make_experiment(config, data))


def test_all_steps_and_evaluations_of_a_run_are_left_before_it_begins():
    plan = make_plan()
    first, second = estimate.what_is_left(plan, done=0)
    assert (first.steps, second.steps) == (100, 300)
    assert (first.evaluations, second.evaluations) == (1, 3)


def test_what_is_done_is_not_counted():
    (rest,) = estimate.what_is_left(make_plan(), done=250)
    assert rest.stage.index == 1
    assert (rest.steps, rest.evaluations) == (150, 2)
    (rest,) = estimate.what_is_left(make_plan(), done=400)
    assert (rest.steps, rest.evaluations) == (0, 0)
    assert rest.training(PACE) == rest.validation(PACE) == 0


def test_a_stage_takes_its_compiling_its_segments_and_its_steps():
    rest = Rest(make_plan().stages[0], steps=100, evaluations=2)
    assert rest.training(PACE) == pytest.approx(3.0 + 2 * 0.5 + 100 * 0.01)
    assert rest.validation(PACE) == pytest.approx(4.0)


def test_two_segments_tell_a_step_from_a_segment_s_start():
    # 0.4 s to begin, 0.01 s a step
    step, segment = estimate.split_times([(3, 0.9), (12, 0.52), (48, 0.88)])
    assert (step, segment) == (pytest.approx(0.01), pytest.approx(0.4))


def test_steps_that_are_slow_or_disturbed_are_taken_as_they_come():
    assert estimate.split_times([(3, 6.0)]) == (2.0, 0.0)
    step, segment = estimate.split_times([(3, 0.1), (12, 2.4)])
    assert (step, segment) == (pytest.approx(0.2), pytest.approx(0))
    assert estimate.split_times([(3, 1.0), (12, 0.6)])[0] == pytest.approx(0.05)


@pytest.mark.parametrize(
    ("lr", "done", "tests"),
    [(0.01, 0, 0), ("auto", 0, 1), ("auto", 50, 0), ("auto:stage", 50, 1)],
)
def test_range_tests_to_come_are_counted(tiny_config, lr, done, tests):
    plan = make_plan()
    rests = estimate.what_is_left(plan, done)
    paces = [PACE] * len(rests)
    seconds = estimate.rate_seconds(tiny_config(lr=lr), plan, rests, paces)
    assert seconds == pytest.approx(tests * (3.0 + 100 * 0.01))


def test_the_answer_adds_up():
    rests = estimate.what_is_left(make_plan(), done=0)
    text = estimate.estimate_table(rests, [PACE, PACE], ending=7.0, done=0)
    # 2 x 3 s compiling, 4 x 0.5 s, 400 x 0.01 s; 4 x 2 s; 7 s
    assert "about 27 s on this machine (measured: 27 s" in text
    assert "training 12, validation 8, results 7" in text
    assert "1,000" in text  # images a second: 10 in 0.01 s


@pytest.mark.slow
def test_measuring_leaves_no_file_and_no_finished_part(
    tiny_config, tiny_data, tmp_path, monkeypatch
):
    config = tiny_config(
        checkpoint_minutes=1e-9,
        lr="auto",
        evals=1,
        ema=0.9,
        tensorboard=True,
        cycle_len=3,
        schedule="triangular",
    )
    monkeypatch.setattr(estimate, "SECONDS", 0.0)
    text = measured(config, tiny_data)
    assert not (tmp_path / "run").exists()
    rates = re.findall(r"^ +\d  +\d+ +([\d,]+) .* s +4 .*", text, re.MULTILINE)
    assert len(rates) == 2  # a row a stage, of four steps each
    assert all(int(rate.replace(",", "")) > 10 for rate in rates)
    assert "about" in text and "on this machine" in text

    # A run that was stopped after its first stage.
    save = checkpoint.save

    def save_then_stop(directory, arrays, facts, best=False, **how):
        save(directory, arrays, facts, best, **how)
        if facts["step"] == 4:
            raise KeyboardInterrupt

    config = dataclasses.replace(config, lr=0.01)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(checkpoint, "save", save_then_stop)
        train.train(make_experiment(config, tiny_data))
    before = {path: path.read_bytes() for path in files(tmp_path)}
    text = measured(config, tiny_data)
    assert {path: path.read_bytes() for path in files(tmp_path)} == before
    assert "4 steps are done already" in text
    assert re.search("^ +2  +24 ", text, re.MULTILINE)
    assert not re.search("^ +1  +16 ", text, re.MULTILINE)


def files(folder) -> list:
    return [path for path in folder.rglob("*") if path.is_file()]


def test_a_finished_run_has_nothing_left(tiny_run, tiny_data, tiny_config):
    config = tiny_config(workdir=str(tiny_run))
    assert measured(config, tiny_data).endswith("nothing is left to train")


def test_a_run_of_another_plan_is_refused(tiny_run, tiny_data, tiny_config):
    with pytest.raises(UserError, match="seed: 0 -> 5"):
        measured(tiny_config(workdir=str(tiny_run), seed=5), tiny_data)
