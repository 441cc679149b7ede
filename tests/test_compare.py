"""Comparing arms: what is trained, what is refused, what the figures say.

Most tests train with a stand-in of a few lines that writes a run directory as
training does, so that what is tested is the comparison.
"""

import csv
import json
import math
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import time
import types

import numpy as np
import pandas as pd
import pytest
from absl import flags
from PIL import Image

import smartgrowth
from smartgrowth import UserError, command_line, modes
from smartgrowth.comparison import arms, comparable, equality, jobs, runner
from smartgrowth.comparison import run as compare
from smartgrowth.comparison.costs import compare_costs
from smartgrowth.comparison.settings import Comparison
from smartgrowth.config import Config
from smartgrowth.runs import files
from smartgrowth.runs.owner import is_trained
from smartgrowth.runtime.reporter import Reporter

ROOT = pathlib.Path(smartgrowth.__file__).parents[1]
# Better at a higher rate; FAIL and SLOW in the environment say what happens.
STAND_IN = """
import os, pathlib, sys, time
import numpy as np
import pandas as pd
from smartgrowth.experiment import make_experiment
from smartgrowth.data.load import open_data
from smartgrowth.runs import files
from smartgrowth.runs.directory import claim
from smartgrowth.runs.lease import Lease
from smartgrowth.command_line import from_flag_lines

config = from_flag_lines(sys.argv[1:])
directory = pathlib.Path(config.workdir)
opened = open_data(config)
experiment = make_experiment(config, opened)
whole = experiment.plan
lease = Lease(directory, experiment.description["hash"], config.take_over)
lease.__enter__()
claim(
    config,
    experiment.description,
)
with (directory / "lives.txt").open("a") as file:
    file.write("born\\n")
if os.environ.get("FAIL", "no arm") in config.workdir:
    print("Traceback of a loss that", "is not a number", sep="\\n")
    sys.exit(3)
time.sleep(float(os.environ.get("SLOW", "0")))
noise = np.random.default_rng([config.seed, int(1000 * config.lr)])
final = 0.6 + config.lr / 2 + 0.001 * noise.normal()
final -= 0.03 * (whole.gflops() < 0.08)
rows = []
for part in (0.25, 0.5, 0.75, 1.0):
    step = int(part * whole.steps)
    row = dict.fromkeys(files.LOG_COLUMNS, 0.5)
    row |= {"step": step, "stage": whole.stage_at(step - 1).index}
    row |= {"val_accuracy": part * final, "val_accuracy_at_size": final}
    row |= {"gflops": part * whole.gflops(), "train_seconds": 10 * part}
    rows.append(row)
lease.check()
files.write_log(directory, rows)
# As many as make the accuracy; the same images are hard for every run.
hardness = np.random.default_rng(5).random(1000)
labels = np.zeros(1000, np.int64)
files.write_npz(
    directory / files.PREDICTIONS,
    labels=labels,
    probabilities=np.eye(2, dtype=np.float32)[(hardness > final).astype(int)],
    ids=np.arange(1000),
)
stages = [whole.gflops_of(stage) for stage in whole.stages]
files.write_json(
    directory / files.METRICS,
    {
        "val_accuracy": final,
        "val_loss": 2 - final,
        "val_top5": 1.0,
        "clean_train_accuracy": final + 0.1,
        "clean_train_loss": 1.8 - final,
        "images_seen": whole.images_seen(whole.steps),
        "gflops": whole.gflops(),
        "train_seconds": 10.0,
        "wall_seconds": 100 * whole.gflops(),
        "stage_seconds": [2.0 + 50 * cost for cost in stages],
        "boundary_seconds": [2.0 for _ in stages],
        "numerics": {"cpu": "one", "policy": "float32"},
    },
)
"""
DRIVE = """
import sys
from absl import flags
from smartgrowth import UserError, command_line, modes
from smartgrowth.comparison import run as compare
from smartgrowth.comparison.costs import compare_costs
from smartgrowth.comparison.settings import Comparison
from smartgrowth.config import Config

values = flags.FlagValues()
command_line.define_flags(values, Config, Comparison)
values(["drive", *sys.argv[2:]])
command = [sys.executable, sys.argv[1]]
try:
    compare.compare(
        command_line.from_flags(values),
        command_line.from_flags(values, Comparison),
        command_line.given_flag_lines(values),
        command=lambda trial: command + trial.config.flag_lines(),
    )
except KeyboardInterrupt:
    sys.exit(130)
"""


@pytest.fixture(scope="module")
def shared(tmp_path_factory) -> pathlib.Path:
    """Images of two classes, two arms, and the stand-in that trains them."""
    root = tmp_path_factory.mktemp("comparison")
    generator = np.random.default_rng(0)
    for name, color in {"a": 60, "b": 180}.items():
        (root / "images" / name).mkdir(parents=True)
        for index in range(20):
            noise = generator.normal(color, 40, (16, 16, 3)).clip(0, 255)
            picture = Image.fromarray(noise.astype(np.uint8))
            picture.save(root / "images" / name / f"{index}.png")
    (root / "plain.flags").write_text(
        "# nothing grows\n--workdir=runs/plain\n--grow_size=16\n"
        "--stage_steps=12\n--lr=0.1\n"
    )
    (root / "grown.flags").write_text(
        "--workdir=runs/grown\n--grow_size=8,16\n--grow_samples=2,all\n"
        "--stage_steps=16,16\n--lr=0.2\n--seed=77\n"
    )
    (root / "stand_in.py").write_text(STAND_IN)
    (root / "drive.py").write_text(DRIVE)
    return root


@pytest.fixture
def lines(shared, tmp_path):
    """Flags of a comparison of the two arms, later ones winning."""

    def make(*more, of=("plain.flags", "grown.flags")) -> list[str]:
        entries = [str(shared / name) for name in of]
        return [
            f"--arms={','.join(entries)}",
            f"--workdir={tmp_path / 'all'}",
            f"--dataset=folder:{shared / 'images'}",
            f"--cache_dir={shared / 'cache'}",
            "--batch_size=4",
            "--width=8",
            "--depth=1",
            "--seeds=3",
            *map(str, more),
        ]

    return make


def call(lines, script=None):
    """Compares in this process; `script` trains, or training itself does."""
    values = flags.FlagValues()
    command_line.define_flags(values, Config, Comparison)
    values(["compare", "--mode=compare", *lines])

    def command(trial):
        return [sys.executable, str(script), *trial.config.flag_lines()]

    return compare.compare(
        command_line.from_flags(values),
        command_line.from_flags(values, Comparison),
        command_line.given_flag_lines(values),
        command=command if script else jobs.train_command,
    )


@pytest.fixture
def run(lines, shared, monkeypatch):
    """The same, with the stand-in."""
    monkeypatch.setattr(runner, "POLL_SECONDS", 0.02)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))

    def run(*more, **options):
        return call(lines(*more, **options), shared / "stand_in.py")

    return run


@pytest.fixture(scope="module")
def done(shared, tmp_path_factory) -> pathlib.Path:
    """A comparison that is finished: look, do not touch."""
    folder = tmp_path_factory.mktemp("done") / "all"
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = str(ROOT)
    call(
        [
            f"--arms={shared / 'plain.flags'},{shared / 'grown.flags'}",
            f"--workdir={folder}",
            f"--dataset=folder:{shared / 'images'}",
            f"--cache_dir={shared / 'cache'}",
            "--batch_size=4",
            "--width=8",
            "--depth=1",
            "--seeds=3",
        ],
        shared / "stand_in.py",
    )
    if before is None:
        del os.environ["PYTHONPATH"]
    else:
        os.environ["PYTHONPATH"] = before
    return folder


@pytest.fixture
def copy(done, tmp_path) -> pathlib.Path:
    """Its copy, in the place where `run` works."""
    return shutil.copytree(done, tmp_path / "all")


def rows_of(folder: pathlib.Path, name="comparison.csv") -> list[dict]:
    with (folder / name).open() as file:
        return list(csv.DictReader(file))


def change_plan(directory: pathlib.Path, **identity) -> None:
    """Makes a finished run one of another task."""
    path = directory / "plan.json"
    plan_file = json.loads(path.read_text())
    plan_file["identity"] |= identity
    path.write_text(json.dumps(plan_file))


# What is trained


def test_every_arm_and_seed_has_a_run_directory_of_its_own(done):
    found = {
        path.parent.relative_to(done).as_posix()
        for path in done.rglob("metrics.json")
    }
    assert found == {
        f"{arm}/seed{seed}" for arm in ("plain", "grown") for seed in range(3)
    }
    for name in found:
        lines = (done / name / "flags.txt").read_text().splitlines()
        assert f"--seed={name[-1]}" in lines
        assert f"--workdir={done / name}" in lines
        assert "--mode=train" in lines
        # Flags for all win over the flagfile's, and its own stay.
        assert "--batch_size=4" in lines
        assert ("--lr=0.2" in lines) == name.startswith("grown")
        # What belongs to the comparison is no part of a run.
        assert not [line for line in lines if re.match("--(arms|seeds)", line)]
        assert (done / name / "lives.txt").read_text() == "born\n"


def test_the_arms_cost_the_same_to_half_a_step(done):
    costs = {row["arm"]: float(row["gflops"]) for row in rows_of(done)}
    own = json.loads((done / "plain/seed0/plan.json").read_text())
    step = own["gflops"] / own["stages"][0]["steps"]
    assert own["stages"][0]["steps"] == 12  # as its flagfile says
    assert costs["grown"] == pytest.approx(costs["plain"], abs=step / 2)


def test_the_same_command_again_trains_nothing(run, copy, capsys):
    tables = "comparison.csv", "comparison_arms.csv"
    before = [rows_of(copy, name) for name in tables]
    run()
    assert "6 runs, 6 of them finished" in capsys.readouterr().out
    assert [rows_of(copy, name) for name in tables] == before
    for path in copy.rglob("lives.txt"):
        assert path.read_text() == "born\n"


def test_only_what_is_missing_is_trained_and_foreseen(run, copy, capsys):
    (copy / "grown/seed1/metrics.json").unlink()
    run()
    output = capsys.readouterr().out
    # The stand-in says that a GFLOP takes 100 seconds.
    gflops = json.loads((copy / "grown/seed1/plan.json").read_text())["gflops"]
    assert "6 runs, 5 of them finished" in output
    assert f"1 left: {gflops:.3g} GFLOPs, about {100 * gflops:.1f} s" in output
    assert re.search(r"run 6 of 6, grown seed 1: accuracy \d", output)
    lives = {path: path.read_text() for path in copy.rglob("lives.txt")}
    assert lives.pop(copy / "grown/seed1/lives.txt") == "born\nborn\n"
    assert set(lives.values()) == {"born\n"}


def test_before_anything_was_measured_the_time_is_unknown(run, capsys):
    run("--seeds=1", of=("plain.flags",))
    output = capsys.readouterr().out
    assert "1 runs, 0 of them finished" in output
    assert "time unknown yet" in output


def test_meanwhile_it_says_what_each_run_said_last(run, monkeypatch, capsys):
    monkeypatch.setattr(
        runner, "Reporter", lambda **_: Reporter(other_seconds=0.0)
    )
    run("--seeds=1", of=("plain.flags",))
    assert re.search(
        "^all: time unknown yet left \\| run 1 of 1, plain seed 0: ",
        capsys.readouterr().out,
        re.MULTILINE,
    )


def test_another_seed_is_another_family_of_runs(run, copy):
    run("--seed=3", "--seeds=1", of=("plain.flags",))
    assert (copy / "plain/seed3/metrics.json").exists()
    assert not (copy / "grown/seed3").exists()


def test_arms_of_one_name_are_told_apart(run, tmp_path):
    run("--seeds=1", of=("plain.flags", "plain.flags"))
    assert {row["arm"] for row in rows_of(tmp_path / "all")} == {
        "plain",
        "plain_2",
    }
    (row,) = [r for r in rows_of(tmp_path / "all") if r["arm"] == "plain_2"]
    assert row["directory"] == "plain_2/seed0"


def test_a_budget_has_runs_of_its_own(run, tmp_path):
    run("--seeds=2", "--budgets=0.5,1")
    rows = rows_of(tmp_path / "all")
    assert len(rows) == 8
    costs = {(row["arm"], row["budget"]): float(row["gflops"]) for row in rows}
    for arm in ("plain", "grown"):
        ratio = costs[arm, "0.5"] / costs[arm, "1"]
        assert ratio == pytest.approx(0.5, abs=0.05)
    names = {row["directory"] for row in rows if row["budget"] == "0.5"}
    assert "plain/seed0/budget0.5" in names
    summary = rows_of(tmp_path / "all", "comparison_arms.csv")
    assert [(row["budget"], bool(row["verdict"])) for row in summary] == [
        ("0.5", False),
        ("1", False),
        ("0.5", False),
        ("1", True),
    ]
    page = (tmp_path / "all" / "comparison.html").read_text()
    # Half the budget already gives grown what all of it gives plain.
    assert re.search(
        r"<td>grown</td>(<td>.*?</td>){2}<td>at least (1\.9|2\.0)", page
    )


def test_seeds_added_after_the_results_make_it_exploratory(run, copy):
    run("--seeds=4")
    page = " ".join((copy / "comparison.html").read_text().split())
    clause = "eed 3 was added after the results of seeds 0 to 2 of plain, grown"
    assert f"S{clause} had been seen: the p values are exploratory." in page
    why = "4 seeds, chosen after results had been seen"
    assert f"Exploratory, {why}: grown helps" in page
    assert "<td>helps, exploratory</td>" in page
    _, grown = rows_of(copy, "comparison_arms.csv")
    assert (grown["verdict"], grown["exploratory"]) == ("helps", why)
    run()
    assert "after the results" not in (copy / "comparison.html").read_text()
    _, grown = rows_of(copy, "comparison_arms.csv")
    assert grown["exploratory"] == "3 seeds"


def test_the_baseline_is_the_first_arm_also_before_finished_runs(
    run, copy, tmp_path
):
    run(
        "--seeds=2",
        f"--workdir={tmp_path / 'later'}",
        of=("plain.flags", copy / "grown"),
    )
    rows = rows_of(tmp_path / "later", "comparison_arms.csv")
    assert [(row["arm"], row["verdict"]) for row in rows] == [
        ("plain", ""),
        ("grown", "helps"),
    ]


# Equal cost


def test_images_can_be_what_is_equal(run, tmp_path):
    run("--seeds=1", "--equal=images")
    images = [int(row["images_seen"]) for row in rows_of(tmp_path / "all")]
    assert images[0] == 12 * 4
    assert images[1] == pytest.approx(48, abs=2)
    page = (tmp_path / "all" / "comparison.html").read_text()
    assert "with the same 48 images shown in a run" in page


def test_seconds_can_be_what_is_equal(run, tmp_path, capsys):
    """The stand-in: 2 s a stage to compile, and the GFLOPs of a stage at 50 s
    each, of which the first step is not counted: 50 / (1 - 1/50) s a GFLOP.
    """
    total = 1.0
    run("--seeds=1", "--equal=seconds", f"--budget_gflops={total}")
    output = capsys.readouterr().out
    assert "timing plain, grown first" in output
    for arm in ("plain", "grown"):
        stages = json.loads(
            (tmp_path / f"all/{arm}/calibration/plan.json").read_text()
        )["stages"]
        assert {stage["steps"] for stage in stages} == {50}
    costs = [float(row["gflops"]) for row in rows_of(tmp_path / "all")]
    rate = 50 / (1 - 1 / 50)
    assert costs[0] == pytest.approx(total, rel=0.01)
    # Plain compiles one stage, grown two.
    assert costs[1] == pytest.approx(total - 2 / rate, rel=0.01)
    run("--seeds=1", "--equal=seconds", f"--budget_gflops={total}")
    assert "timing" not in capsys.readouterr().out


def test_what_is_equal_is_what_a_budget_buys_less_of(run, tmp_path):
    """Words and numbers alike, in the table and on the plot's axis."""
    given = "--seeds=1", "--budgets=0.5,1", "--budget_gflops=1"
    less = {
        "gflops": "Times less cost",
        "images": "Times fewer images",
        "seconds": "Times less time",
    }
    page = tmp_path / "all" / "comparison.html"
    run(*given, "--equal=seconds")
    for path in (tmp_path / "all").rglob("metrics.json"):
        # Half the budget already gives grown what all of it gives plain.
        metrics = json.loads(path.read_text())
        metrics["train_seconds"] = 4.0 if "budget" in str(path) else 10.0
        path.write_text(json.dumps(metrics))
    run(*given, "--equal=seconds")
    text = page.read_text()
    assert re.search(
        r"<td>grown</td>(<td>[^<]*</td>){2}<td>at least 2.50</td>", text
    )
    assert "in about the same training time of 10.0 s a run" in text
    for name, words in less.items():
        assert (words in text) == (name == "seconds")
    shutil.rmtree(tmp_path / "all")
    run(*given, "--equal=images")
    text = page.read_text()
    images = {
        (row["arm"], row["budget"]): int(row["images_seen"])
        for row in rows_of(tmp_path / "all")
    }
    ratio = images["plain", "1"] / images["grown", "0.5"]
    assert f"<td>at least {ratio:.2f}</td>" in text
    for name, words in less.items():
        assert (words in text) == (name == "images")
    assert set(less) == set(equality.KINDS)


def test_time_that_was_not_measured_buys_nothing(run, tmp_path):
    run("--seeds=1", "--budgets=0.5,1", "--jobs=2")
    runs = (tmp_path / "all/plain", tmp_path / "all/grown")
    run("--equal=seconds", f"--workdir={tmp_path / 'later'}", of=runs)
    page = (tmp_path / "later" / "comparison.html").read_text()
    assert re.search(r"<td>grown</td>(<td>[^<]*</td>){2}<td>–</td>", page)
    assert not (tmp_path / "later" / "accuracy_budget.png").exists()


def test_a_time_that_does_not_pay_for_compiling_is_an_error(run):
    with pytest.raises(UserError, match="grown: compiling alone takes longer"):
        run("--equal=seconds", "--budget_gflops=0.02")


def test_processes_that_share_a_run_are_not_taken_into_a_comparison(
    monkeypatch,
):
    monkeypatch.setenv("KERAS_DISTRIBUTION_NUM_PROCESSES", "2")
    with pytest.raises(UserError, match="NUM_PROCESSES is set.*unset it"):
        modes.compare(None, None, [])


def test_runs_at_once_cannot_be_made_equal_in_seconds():
    with pytest.raises(UserError, match="--jobs=1"):
        Comparison(arms=("a",), equal="seconds", jobs=2)


def test_a_budget_below_a_step_names_the_arm(run):
    with pytest.raises(UserError, match="plain: --budget_gflops=1e-09"):
        run("--budget_gflops=1e-9")


# What is refused


def test_an_arm_of_another_task_is_refused_with_the_difference(
    lines, shared, tmp_path
):
    other = tmp_path / "other.flags"
    other.write_text((shared / "grown.flags").read_text() + "--test_size=8\n")
    given = lines(of=("plain.flags", other))
    with pytest.raises(UserError, match="cannot be compared") as error:
        call(given)
    assert "image size of the validation 16 against 8" in str(error.value)
    assert "plain seed 0" in str(error.value)
    assert "other seed 0" in str(error.value)
    assert not (tmp_path / "all" / "plain").exists()


@pytest.mark.parametrize(
    ("identity", "part"),
    [
        ({"content": "f" * 64}, "labels, of training or validation)"),
        ({"pixels": "f" * 64}, "pixels of images of the same names"),
        ({"num_classes": 3}, "number of classes 2 against 3"),
    ],
)
def test_finished_runs_of_other_data_are_refused(run, copy, identity, part):
    change_plan(copy / "grown/seed1", **identity)
    with pytest.raises(UserError, match="cannot be compared") as error:
        run(of=(copy / "plain", copy / "grown"))
    assert part in str(error.value)
    assert "grown seed 1" in str(error.value)


def test_finished_runs_in_another_precision_are_refused(run, copy, tmp_path):
    for path in copy.glob("grown/seed*/metrics.json"):
        metrics = json.loads(path.read_text())
        metrics["numerics"]["policy"] = "mixed_bfloat16"
        path.write_text(json.dumps(metrics))
    later = f"--workdir={tmp_path / 'later'}"
    with pytest.raises(UserError, match="precision float32 against mixed_bfl"):
        run(later, of=(copy / "plain", copy / "grown"))
    assert not (tmp_path / "later").exists()


def test_a_finished_run_that_does_not_know_its_pixels_is_compared():
    def plan(pixels=None):
        same = {name: 1 for name in comparable.SAME if name != "pixels"}
        return {"identity": same | ({"pixels": pixels} if pixels else {})}

    def check(*pixels):
        trials = [
            arms.Trial(f"{i}", 0, 1.0, pathlib.Path(f"run{i}"), plan(each))
            for i, each in enumerate(pixels)
        ]
        comparable.check_same_task(trials)

    check(None, "a", None, "a")
    check("a", None, "a")
    with pytest.raises(UserError, match=r"run0.* and .*run2.*pixels of images"):
        check(None, "a", "b")


def test_a_run_of_another_plan_in_its_place_is_refused(run, copy):
    with pytest.raises(UserError, match="lr: 0.1 -> 0.05") as error:
        run("--lr=0.05")
    assert str(error.value).startswith("plain: ")
    for path in copy.rglob("lives.txt"):
        assert path.read_text() == "born\n"


def test_restart_trains_only_runs_of_another_plan_again(run, copy):
    metrics = (copy / "grown/seed0/metrics.json").read_text()
    run("--lr=0.2", "--restart")
    assert (copy / "grown/seed0/metrics.json").read_text() == metrics
    assert "--lr=0.2" in (copy / "plain/seed0/flags.txt").read_text()
    assert (copy / "plain/seed0/lives.txt").read_text() == "born\nborn\n"
    assert (copy / "grown/seed0/lives.txt").read_text() == "born\n"


def test_a_single_run_s_folder_is_no_place_for_a_comparison(run, copy):
    with pytest.raises(UserError, match="is a single run's"):
        run(f"--workdir={copy / 'plain/seed0'}")


@pytest.mark.parametrize(
    ("entry", "part"),
    [
        ("nowhere.flags", "neither a flagfile nor a folder"),
        ("images", "holds no run"),
        ("stray.flags", "stray argument 'width=8'"),
        ("unknown.flags", "Unknown command line flag 'foo'"),
    ],
)
def test_an_arm_that_is_none_is_named(run, shared, entry, part):
    (shared / "stray.flags").write_text("width=8\n")
    (shared / "unknown.flags").write_text("--foo=8\n")
    with pytest.raises(UserError, match="--arms: ") as error:
        run(of=("plain.flags", entry))
    assert entry in str(error.value)
    assert part in str(error.value)


@pytest.mark.parametrize(
    "mistake",
    [
        {"arms": ()},
        {"seeds": 0},
        {"jobs": 0},
        {"budgets": (0.5, 0.0)},
        {"budgets": (1.5,)},
        {"target": 0.0},
        {"target": math.nan},
    ],
)
def test_a_wrong_setting_is_named(mistake):
    (name,) = mistake
    with pytest.raises(UserError, match=f"--{name}="):
        Comparison(**{"arms": ("a",)} | mistake)


# Finished runs


def test_finished_runs_are_compared_like_trained_ones(run, copy, tmp_path):
    run(f"--workdir={tmp_path / 'later'}", of=(copy / "plain", copy / "grown"))
    for row, other in zip(
        rows_of(copy), rows_of(tmp_path / "later"), strict=True
    ):
        assert other.pop("directory") == str(copy / row.pop("directory"))
        assert row == other


def test_a_finished_baseline_sets_the_budget_of_arms_to_train(
    run, copy, tmp_path
):
    run(
        "--seeds=1",
        f"--workdir={tmp_path / 'later'}",
        of=(copy / "plain", "grown.flags"),
    )
    rows = rows_of(tmp_path / "later")
    assert [row["arm"] for row in rows] == ["plain"] * 3 + ["grown"]
    assert float(rows[3]["gflops"]) == pytest.approx(
        float(rows[0]["gflops"]), rel=0.05
    )
    (_, verdict) = rows_of(tmp_path / "later", "comparison_arms.csv")
    assert verdict["verdict"] == "not tested"  # one seed that both have


def test_a_run_that_is_not_finished_is_left_out(run, copy, tmp_path):
    (copy / "grown/seed2/metrics.json").unlink()
    run(f"--workdir={tmp_path / 'later'}", of=(copy / "plain", copy / "grown"))
    rows = rows_of(tmp_path / "later")
    assert [row["seed"] for row in rows] == ["0", "1", "2", "0", "1"]


def test_one_seed_twice_in_an_arm_is_refused(run, copy):
    shutil.copytree(copy / "plain/seed0", copy / "plain/again")
    with pytest.raises(UserError, match="both plain seed 0"):
        run(of=(copy / "plain", copy / "grown"))


def test_arms_that_did_not_cost_the_same_are_not_called_equal(
    run, copy, tmp_path, capsys
):
    for path in copy.glob("grown/seed*/metrics.json"):
        metrics = json.loads(path.read_text())
        metrics["gflops"] *= 2
        metrics["train_seconds"] *= 2
        path.write_text(json.dumps(metrics))
    run(f"--workdir={tmp_path / 'later'}", of=(copy / "plain", copy / "grown"))
    assert "warning: not at equal cost: plain" in capsys.readouterr().out
    page = (tmp_path / "later" / "comparison.html").read_text()
    assert "<b>not at equal cost: plain" in page


# Figures


def test_a_row_says_what_the_run_ended_with(done):
    rows = rows_of(done)
    assert [(row["arm"], row["seed"]) for row in rows] == [
        (arm, str(seed)) for arm in ("plain", "grown") for seed in range(3)
    ]
    for row in rows:
        metrics = json.loads(
            (done / row["directory"] / "metrics.json").read_text()
        )
        accuracy = metrics["val_accuracy"]
        assert float(row["accuracy"]) == pytest.approx(accuracy, rel=1e-5)
        assert float(row["accuracy_gap"]) == pytest.approx(0.1)
        assert float(row["loss_gap"]) == pytest.approx(0.2)
        assert float(row["seconds"]) == 10
        assert row["top5"] == ""  # always 100% of two classes


def test_the_target_is_what_the_baseline_of_the_seed_ended_with(done):
    rows = rows_of(done)
    finals = {r["seed"]: r["accuracy"] for r in rows if r["arm"] == "plain"}
    for row in rows:
        target = float(finals[row["seed"]])
        assert float(row["target"]) == pytest.approx(target)
        # The stand-in's curve is a line through the origin.
        part = target / float(row["accuracy"])
        assert float(row["gflops_to_target"]) == pytest.approx(
            part * float(row["gflops"]), rel=1e-4
        )
        assert float(row["seconds_to_target"]) == pytest.approx(
            10 * part, rel=1e-4
        )
        if row["arm"] == "grown":  # at the stage's size, from the start
            assert float(row["seconds_to_target_at_size"]) == 2.5


def test_a_target_can_be_given_and_missed(run, copy):
    run("--target=0.66")
    for row in rows_of(copy):
        assert row["target"] == "0.66"
        assert bool(row["gflops_to_target"]) == (row["arm"] == "grown")
    page = (copy / "comparison.html").read_text()
    assert "an accuracy of 66.0%" in page
    assert "<td>not reached</td>" in page


def test_the_verdict_follows_from_the_figures_beside_it(done):
    rows = rows_of(done)
    accuracy = {
        arm: np.array(
            [float(row["accuracy"]) for row in rows if row["arm"] == arm]
        )
        for arm in ("plain", "grown")
    }
    differences = accuracy["grown"] - accuracy["plain"]
    plain, grown = rows_of(done, "comparison_arms.csv")
    assert plain["verdict"] == "" and plain["difference"] == ""
    assert grown["verdict"] == "helps"
    assert float(grown["difference"]) == pytest.approx(
        differences.mean(), abs=1e-5
    )
    assert float(grown["difference_deviation"]) == pytest.approx(
        differences.std(ddof=1), rel=0.01
    )
    # t(0.975, 2) = 4.303
    half = 4.303 * differences.std(ddof=1) / math.sqrt(3)
    assert float(grown["interval_low"]) == pytest.approx(
        differences.mean() - half, abs=1e-4
    )
    assert float(grown["p_corrected"]) == float(grown["p"]) < 0.05
    page = (done / "comparison.html").read_text()
    shown = f"{100 * float(grown['difference']):+.2f}"
    assert f"Exploratory, 3 seeds: grown helps: {shown} points" in page
    assert f"<td>{shown}</td>" in page


def test_an_interval_also_covers_other_validation_images(done):
    _, grown = rows_of(done, "comparison_arms.csv")
    low, high, wider_low, wider_high = (
        float(grown[name])
        for name in (
            *("interval_low", "interval_high"),
            *("other_images_low", "other_images_high"),
        )
    )
    # 5 points of the 1,000 images of the stand-in differ: +- 1.35 points.
    error = math.sqrt(0.05 * 0.95 / 1000)
    assert wider_low == pytest.approx(0.05 - 1.96 * error, abs=0.004)
    assert wider_high == pytest.approx(0.05 + 1.96 * error, abs=0.004)
    assert wider_low < low < high < wider_high
    page = (done / "comparison.html").read_text()
    shown = f"{100 * wider_low:+.2f} to {100 * wider_high:+.2f}"
    assert f"(also for other validation images: {shown})" in page
    assert f"<td>{shown}</td>" in page
    assert "Some intervals here cover seeds only" not in page


@pytest.mark.parametrize(
    ("harm", "why"),
    [
        (lambda path: path.unlink(), "has no predictions.npz"),
        (lambda path: path.write_bytes(b"PK half"), "has a damaged"),
        (
            lambda path: files.write_npz(
                path, **dict(np.load(path)) | {"ids": np.arange(1, 1001)}
            ),
            "has a predictions.npz of other images",
        ),
    ],
)
def test_without_predictions_the_page_says_what_intervals_cover(
    run, copy, harm, why
):
    harm(copy / "grown/seed1/predictions.npz")
    run()
    _, grown = rows_of(copy, "comparison_arms.csv")
    assert grown["other_images_low"] == grown["other_images_high"] == ""
    assert grown["interval_low"]
    page = " ".join((copy / "comparison.html").read_text().split())
    assert f"cover seeds only, because grown seed 1 {why}" in page
    assert "also for other validation images:" not in page


def test_the_page_needs_nothing_beside_it(done):
    page = (done / "comparison.html").read_text()
    for source in re.findall(r'(?:src|srcset|href)="([^"]*)"', page):
        assert source.startswith("data:")
    assert not re.search(r"https?://|url\(|@import|<script", page)
    assert page.count("<figure>") == len(list(done.glob("*.png"))) == 5
    assert len(page) < 2_000_000


def test_the_page_says_what_each_arm_is(done):
    page = (done / "comparison.html").read_text()
    assert (
        "<tr><td>plain</td><td>nothing</td><td>12</td><td>–</td></tr>" in page
    )
    assert "<td>images per class 2 → all; image size 8 px → 16 px</td>" in page
    assert "<td>--lr=0.2</td>" in page


def test_names_of_the_user_are_escaped(run, copy, tmp_path):
    arm = shutil.copytree(copy / "grown", tmp_path / "<script>R&D{{7*7}}")
    run(f"--workdir={tmp_path / 'later'}", of=(copy / "plain", arm))
    page = (tmp_path / "later" / "comparison.html").read_text()
    assert "<script" not in page
    assert "&lt;script&gt;R&amp;D{{7*7}} helps" in page
    assert "<td>&lt;script&gt;R&amp;D{{7*7}}</td>" in page


def test_without_a_finished_baseline_there_is_nothing_to_say(run, monkeypatch):
    monkeypatch.setenv("FAIL", "plain")
    with pytest.raises(UserError, match="no run of plain, the baseline"):
        run("--seeds=1")


# Seconds


def has_seconds(folder: pathlib.Path) -> bool:
    """Whether any are told; in both tables and on the page, or in none."""
    told = {
        any(
            row[name]
            for row in rows_of(folder, table)
            for name in row
            if name.startswith("seconds")
        )
        for table in ("comparison.csv", "comparison_arms.csv")
    }
    page = (folder / "comparison.html").read_text()
    told.add('<th scope="col">Training time</th>' in page)
    told.add("Accuracy against training time" in page)
    told.add("Seconds are left out, because" not in page)
    (answer,) = told
    return answer


def test_runs_at_once_have_no_seconds_now_or_later(run, tmp_path):
    run("--jobs=2", "--seeds=2")
    assert len(rows_of(tmp_path / "all")) == 4
    assert not has_seconds(tmp_path / "all")
    run("--seeds=2")  # one after another, but all are finished
    assert not has_seconds(tmp_path / "all")
    page = (tmp_path / "all" / "comparison.html").read_text()
    assert "plain seed 0 shared the machine with other runs" in page


@pytest.mark.parametrize(
    ("count", "cores", "options", "threads"),
    [
        (1, 4, {}, None),
        (2, 4, {}, "2"),
        (3, 4, {}, "1"),
        (3, 2, {}, "1"),
        # The bits are to be those of a run by itself.
        (2, 4, {"deterministic": True}, None),
    ],
)
def test_jobs_share_the_cores(
    tmp_path, monkeypatch, count, cores, options, threads
):
    monkeypatch.delenv("TF_NUM_INTRAOP_THREADS", raising=False)
    monkeypatch.setattr(jobs, "count_cores", lambda: cores)
    program = "import os; print(os.environ.get('TF_NUM_INTRAOP_THREADS'))"
    command = [sys.executable, "-c", program]

    def said(name):
        config = Config(workdir=str(tmp_path / name), **options)
        description = {"gflops": 1.0, "hash": "a plan"}
        trial = arms.Trial(name, 0, 1.0, tmp_path / name, description, config)
        job = jobs.LocalPool(count, lambda _: command).start(trial)
        assert job.poll(Reporter()) is None
        job.wait()
        return job.tail()

    assert said("asked for nothing") == [str(threads)]
    monkeypatch.setenv("TF_NUM_INTRAOP_THREADS", "7")
    assert said("asked for 7") == ["7"]


def test_two_jobs_run_at_once(run, tmp_path, monkeypatch):
    monkeypatch.setenv("SLOW", "0.5")
    run("--jobs=2", "--seeds=1")
    one, other = (
        [
            (path.parent / name).stat().st_mtime
            for name in ("plan.json", "metrics.json")
        ]
        for path in (tmp_path / "all").rglob("metrics.json")
    )
    assert one[0] < other[1] and other[0] < one[1]


def test_runs_one_after_another_have_seconds(done):
    assert has_seconds(done)


def test_runs_of_two_machines_are_named_and_have_no_seconds(run, copy, capsys):
    path = copy / "grown/seed1/metrics.json"
    metrics = json.loads(path.read_text())
    metrics["numerics"]["cpu"] = "two"
    path.write_text(json.dumps(metrics))
    run()
    assert not has_seconds(copy)
    named = (
        "Not all runs had the same CPU: one in plain seeds 0 to 2, grown seeds "
        "0, 2; two in grown seed 1"
    )
    assert f"warning: {named}" in capsys.readouterr().out
    assert f"<b>{named}.</b>" in (copy / "comparison.html").read_text()


# What goes wrong


def test_a_run_that_fails_is_told_and_the_others_go_on(
    run, tmp_path, capsys, monkeypatch
):
    arms = {"of": ("plain.flags", "grown.flags", "plain.flags")}
    monkeypatch.setenv("FAIL", "grown")
    with pytest.raises(
        UserError, match=r"2 of 6 runs failed \(grown seed 0, g"
    ):
        run("--seeds=2", **arms)
    output = capsys.readouterr().out
    assert "grown seed 1 failed (exit status 3)" in output
    assert "    Traceback of a loss that\n    is not a number\n" in output
    rows = rows_of(tmp_path / "all")
    assert [row["arm"] for row in rows] == ["plain"] * 2 + ["plain_2"] * 2
    page = (tmp_path / "all" / "comparison.html").read_text()
    assert "Missing, since they failed: grown seed 0, grown seed 1" in page
    assert "<td>no run finished</td>" in page
    # Mended, the same command tries them again.
    monkeypatch.delenv("FAIL")
    run("--seeds=2", **arms)
    assert len(rows_of(tmp_path / "all")) == 6
    assert "failed" not in (tmp_path / "all" / "comparison.html").read_text()


def test_a_pair_needs_both_sides(run, tmp_path, monkeypatch):
    """The seed that the arm lost is not compared."""
    monkeypatch.setenv("FAIL", "grown/seed1")
    with pytest.raises(UserError, match="1 of 6 runs failed"):
        run()
    _, grown = rows_of(tmp_path / "all", "comparison_arms.csv")
    assert grown["seeds"] == "2"
    page = (tmp_path / "all" / "comparison.html").read_text()
    assert "Exploratory, 2 seeds: " in page
    assert "2 to 3 seeds each" in page


def start(shared, lines, **environment) -> subprocess.Popen:
    """A comparison with the stand-in, as a process."""
    return subprocess.Popen(
        [
            sys.executable,
            shared / "drive.py",
            shared / "stand_in.py",
            *lines,
        ],
        env=os.environ | {"PYTHONPATH": str(ROOT)} | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def wait_for(path: pathlib.Path, process) -> None:
    for _ in range(3000):
        if path.exists():
            return
        assert process.poll() is None, process.communicate()[0]
        time.sleep(0.01)
    raise AssertionError(f"{path} did not come")


def test_a_trial_that_outlives_its_comparison_is_not_trained_twice(
    shared, lines, run, tmp_path, capsys
):
    process = start(shared, lines("--seeds=1"), SLOW="2")
    wait_for(tmp_path / "all/plain/seed0/lives.txt", process)
    process.kill()
    process.communicate()
    run("--seeds=1")
    output = capsys.readouterr().out
    assert "plain seed 0 is being trained by a process that outlived" in output
    assert "run 1 of 2, plain seed 0: accuracy" in output
    assert (tmp_path / "all/plain/seed0/lives.txt").read_text() == "born\n"
    assert len(rows_of(tmp_path / "all")) == 2


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_comparison_that_is_stopped_stops_what_it_trains(
    shared, lines, tmp_path, number
):
    process = start(shared, lines("--jobs=2"), SLOW="60")
    for arm in ("plain", "grown"):
        wait_for(tmp_path / f"all/{arm}/seed0/lives.txt", process)
    process.send_signal(number)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "stopping: what is being trained is saved first" in output
    for arm in ("plain", "grown"):
        directory = tmp_path / f"all/{arm}/seed0"
        assert (directory / "lease.json").exists()
        assert not is_trained(directory)
        assert not (directory / "metrics.json").exists()


# Forecasts


def trial(tmp_path, arm: str, gflops: float, seconds=None) -> arms.Trial:
    directory = tmp_path / f"{arm}_{gflops}"
    if seconds is not None:
        directory.mkdir()
        metrics = json.dumps({"val_accuracy": 0.5, "wall_seconds": seconds})
        (directory / "metrics.json").write_text(metrics)
    return arms.Trial(arm, 0, 1.0, directory, {"gflops": gflops})


def test_a_forecast_is_each_arm_s_own_speed(tmp_path):
    slow, fast = (
        trial(tmp_path, "slow", 10, 50),
        trial(tmp_path, "fast", 10, 10),
    )
    forecast = runner.Forecast([slow, fast])
    assert forecast.seconds([slow]) == 50
    assert forecast.seconds([trial(tmp_path, "fast", 40)]) == 40
    # One that is not known yet: 60 s for 20 GFLOPs.
    assert forecast.seconds([trial(tmp_path, "new", 5)]) == 15
    assert forecast.say([slow, fast, slow], jobs=1) == "about 1 min 50 s"
    assert forecast.say([slow, fast, slow], jobs=2) == "about 55.0 s"


def test_a_forecast_counts_what_a_process_takes_beside_its_run(tmp_path):
    done = trial(tmp_path, "one", 10, 50)
    forecast = runner.Forecast()
    assert forecast.seconds([done]) is None
    forecast.learn(done, whole_seconds=58)
    assert forecast.seconds([done, done]) == 116


# Real training


def start_real(lines, workdir) -> subprocess.Popen:
    """A comparison as its user gives it."""
    return subprocess.Popen(
        [
            *(sys.executable, "-m", "smartgrowth.main", "--mode=compare"),
            *lines,
            f"--workdir={workdir}",
            "--seeds=1",
            "--precision=float32",
            "--deterministic",
            "--evals=3",
            "--checkpoint_minutes=1e-9",
        ],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def wait_for_checkpoint(process, directory: pathlib.Path, step: int) -> None:
    for _ in range(9000):
        for path in (directory / "checkpoints").glob("step_*.json"):
            if int(path.name.split("_")[1]) >= step:
                return
        assert process.poll() is None, process.communicate()[0]
        time.sleep(0.01)
    raise AssertionError("no checkpoint came")


def without_seconds(folder: pathlib.Path, name: str) -> list[dict]:
    return [
        {key: row[key] for key in row if not key.startswith("seconds")}
        for row in rows_of(folder, name)
    ]


@pytest.mark.slow
def test_a_comparison_killed_twice_ends_like_one_that_was_not(lines, tmp_path):
    """Once it dies alone, and what it trains goes on; once with what it trains,
    as when the machine goes.
    """
    (tmp_path / "plain.flags").write_text("--grow_size=16\n--stage_steps=80\n")
    (tmp_path / "grown.flags").write_text(
        "--grow_size=8,16\n--grow_samples=4,all\n--stage_steps=90,60\n"
    )
    given = lines(of=(tmp_path / "plain.flags", tmp_path / "grown.flags"))
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    process = start_real(given, whole)
    output, _ = process.communicate(timeout=300)
    assert process.returncode == 0, output

    process = start_real(given, killed)
    wait_for_checkpoint(process, killed / "plain/seed0", 5)
    process.kill()
    process.communicate()
    process = start_real(given, killed)
    wait_for_checkpoint(process, killed / "grown/seed0", 30)
    children = pathlib.Path(f"/proc/{process.pid}/task/{process.pid}/children")
    trained = [int(number) for number in children.read_text().split()]
    process.kill()
    for number in trained:
        os.kill(number, signal.SIGKILL)
    process.communicate()
    assert (killed / "plain/seed0/metrics.json").exists()
    assert not (killed / "grown/seed0/metrics.json").exists()

    process = start_real(given, killed)
    output, _ = process.communicate(timeout=300)
    assert process.returncode == 0, output
    assert "2 runs, 1 of them finished" in output
    said = (killed / "grown/seed0" / jobs.OUTPUT).read_text()
    assert "resuming at step" in said
    for name in ("comparison.csv", "comparison_arms.csv"):
        assert without_seconds(killed, name) == without_seconds(whole, name)
    (row, _) = rows_of(whole)
    assert row["seconds"] and row["accuracy_gap"]


def test_steps_of_small_budgets_make_no_costs_equal():
    """One of theirs is a large part of their own cost."""
    costs = {"plain": 1000.0, "grown": 1180.0}

    def run_of(gflops, steps):
        stage = {"gflops": gflops, "steps": steps}
        return types.SimpleNamespace(figures={"gflops": gflops}, stages=[stage])

    rows = [
        {"arm": arm} | {kind.column: cost for kind in equality.KINDS.values()}
        for arm, cost in costs.items()
    ]
    figures = types.SimpleNamespace(
        whole=pd.DataFrame(rows),
        equal="gflops",
        budgets=[0.01, 1.0],
        runs={
            (arm, budget, 0): run_of(cost * budget, int(1000 * budget))
            for arm, cost in costs.items()
            for budget in (0.01, 1.0)
        },
    )
    same, text = compare_costs(figures)
    assert not same, text
