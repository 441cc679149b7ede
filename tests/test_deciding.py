"""Stages that end by what they show: a run, its resumes, its copies."""

import json
import pathlib
import shutil

import pytest
from conftest import make_config
from test_train import assert_equal_runs, read_log

from smartgrowth import UserError
from smartgrowth.experiment import make_experiment
from smartgrowth.runs import checkpoint
from smartgrowth.training import run_files, train

# The first stage ends by its images, the second by its loss.
AUTO = {
    "grow_when": "auto",
    "grow_size": (16, 16, 24),
    "grow_samples": (3, None, None),
    "stage_steps": (12,),
    "batch_size": (4,),
    "evals": 12,
    "grow_learned": 0.2,
    "grow_slowed": 0.9,
    "grow_most": 0.4,
    "augment": ("basic",),
    "deterministic": True,
    "checkpoint_minutes": 1e-9,
}


def train_run(directory: pathlib.Path, data, **flags) -> pathlib.Path:
    config = make_config(directory, **AUTO | flags)
    return train.train(make_experiment(config, data))


def read_plan(directory: pathlib.Path) -> dict:
    return json.loads((directory / "plan.json").read_text())


@pytest.fixture(scope="module")
def whole(tiny_data, tmp_path_factory) -> pathlib.Path:
    """The directory of a run that was never stopped: look, do not touch."""
    directory = tmp_path_factory.mktemp("auto") / "whole"
    return train_run(directory, tiny_data, report=True)


@pytest.fixture
def copy(whole, tmp_path):
    return shutil.copytree(whole, tmp_path / "copy")


@pytest.mark.core
def test_a_run_ends_its_stages_and_says_by_what(whole):
    plan = read_plan(whole)
    first, second = plan["decisions"]
    assert {first["rule"], second["rule"]} <= {
        *("learned", "not rising", "slowed", "most"),
    }
    assert "most" not in (first["rule"], second["rule"])
    ends = [stage["first_step"] + stage["steps"] for stage in plan["stages"]]
    assert ends[:2] == [first["step"], second["step"]]
    rows = read_log(whole)
    assert int(rows[-1]["step"]) == ends[2]
    by_step = {int(row["step"]): row for row in rows}
    for index, end in enumerate(ends):
        assert int(by_step[end]["stage"]) == index
    assert plan["gflops"] == pytest.approx(plan["budget"] / 1e9, rel=0.05)
    assert float(rows[-1]["gflops"]) == pytest.approx(plan["gflops"], rel=1e-4)
    # The rate is nearly nothing at the end, though it was not known when.
    assert float(rows[-1]["lr"]) < 0.05 * max(float(r["lr"]) for r in rows)


@pytest.mark.core
def test_two_runs_of_a_seed_decide_alike(whole, tiny_data, tmp_path):
    assert_equal_runs(whole, train_run(tmp_path / "again", tiny_data))


@pytest.mark.core
@pytest.mark.parametrize("moment", ["undecided", "decided", "begun", "last"])
def test_a_run_stopped_around_a_decision_ends_like_one_that_was_not(
    whole, tiny_data, tmp_path, stop_after, moment
):
    """Before it, with it, in the stage after it, in the last stage."""
    first, second = (each["step"] for each in read_plan(whole)["decisions"])
    step = {
        "undecided": first - 1,
        "decided": first,
        "begun": first + 1,
        "last": second + 1,
    }[moment]
    directory = tmp_path / "cut"
    stop_after(step)
    with pytest.raises(KeyboardInterrupt):
        train_run(directory, tiny_data)
    stop_after(None)
    # Stopped between two files, plan.json may know less or more than the
    # checkpoint, which counts.
    known = [] if moment == "begun" else read_plan(whole)["decisions"]
    plan = read_plan(directory) | {"decisions": known}
    (directory / "plan.json").write_text(json.dumps(plan))
    train_run(directory, tiny_data)
    assert_equal_runs(whole, directory)
    assert read_plan(directory) == read_plan(whole)


def test_what_was_decided_is_in_the_checkpoint(whole):
    _, facts = checkpoint.load(whole / "checkpoints")
    assert facts["progress"]["decisions"] == read_plan(whole)["decisions"]


@pytest.mark.core
def test_given_beforehand_the_same_boundaries_make_the_same_run(
    whole, tiny_data, tmp_path
):
    flags = {"grow_when": "plan", "schedule_clock": "cost", "stage_steps": ()}
    yoked = train_run(
        tmp_path / "yoked", tiny_data, grow_schedule=f"file:{whole}", **flags
    )
    columns = ("step", "lr", "train_loss", "val_loss", "gflops")
    assert [[row[name] for name in columns] for row in read_log(yoked)] == [
        [row[name] for name in columns] for row in read_log(whole)
    ]
    assert "decisions" not in read_plan(yoked)


def test_boundaries_are_repeated_at_another_cost(whole, tiny_data, tmp_path):
    half = read_plan(whole)["budget"] / 2e9
    config = make_config(
        tmp_path / "half",
        **AUTO
        | {"grow_when": "plan", "stage_steps": ()}
        | {"grow_schedule": f"file:{whole}", "budget_gflops": half},
    )
    plan = make_experiment(config, tiny_data).plan
    assert plan.gflops() == pytest.approx(half, rel=0.1)
    for stage, other in zip(plan.stages, read_plan(whole)["stages"], strict=1):
        assert stage.steps == pytest.approx(other["steps"] / 2, abs=1)


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ({"grow_size": (16, 24)}, "that run has 3 stages, this one 2"),
        ({"grow_schedule": "file:nowhere"}, "--grow_schedule=file:nowhere"),
        ({"grow_schedule": "nowhere"}, "--grow_schedule=nowhere"),
        ({"stage_steps": (3,)}, "--stage_steps and --grow_schedule"),
    ],
)
def test_a_run_that_cannot_be_repeated_is_an_error(
    whole, tiny_data, tmp_path, flags, words
):
    settings = AUTO | {"grow_when": "plan", "stage_steps": ()}
    settings |= {"grow_samples": (3,), "grow_schedule": f"file:{whole}"}
    with pytest.raises(UserError, match=words):
        config = make_config(tmp_path, **settings | flags)
        make_experiment(config, tiny_data)


def test_an_undecided_run_is_not_repeated(copy, tiny_data, tmp_path):
    plan = read_plan(copy)
    del plan["decisions"][1]
    (copy / "plan.json").write_text(json.dumps(plan))
    config = make_config(
        tmp_path / "yoked", grow_size=(16, 16, 24), stage_steps=(),
        grow_schedule=f"file:{copy}",
    )  # fmt: skip
    with pytest.raises(UserError, match="has ended 1 of its 3 stages"):
        make_experiment(config, tiny_data)


def test_a_finished_run_is_found_whole_and_gets_its_plan_back(
    copy, tiny_data, capsys
):
    kept = (copy / "plan.json").read_text()
    train_run(copy, tiny_data)
    assert "is finished" in capsys.readouterr().out
    (copy / "plan.json").unlink()
    train_run(copy, tiny_data)
    assert "is finished" in capsys.readouterr().out
    assert (copy / "plan.json").read_text() == kept


def test_a_finished_run_needs_no_checkpoints(copy, tiny_data, capsys):
    shutil.rmtree(copy / "checkpoints")
    train_run(copy, tiny_data)
    assert "is finished" in capsys.readouterr().out


def test_a_plan_that_a_disk_refused_is_written_at_the_end(
    whole, tiny_data, tmp_path, monkeypatch
):
    """Or log.csv would end where plan.json does not."""
    monkeypatch.setattr(run_files, "write_plan", lambda learner: None)
    directory = train_run(tmp_path / "full", tiny_data)
    assert read_plan(directory) == read_plan(whole)


def test_another_rule_is_another_run(copy, tiny_data):
    with pytest.raises(UserError, match=r"rules.learned: 0.2 -> 0.3"):
        train_run(copy, tiny_data, grow_learned=0.3)
    with pytest.raises(UserError, match="holds a run of another plan"):
        train_run(copy, tiny_data, grow_when="plan")


def test_the_report_shows_where_stages_ended_and_why(whole):
    page = (whole / "report.html").read_text()
    assert "Where the stages ended" in page
    assert "Own training images right" in page
    for decision in read_plan(whole)["decisions"]:
        words = {"learned": "are right, at least", "not rising": "not risen"}
        words |= {"slowed": "the training loss"}
        assert words[decision["rule"]] in page
