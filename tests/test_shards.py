"""Parts of a comparison that several machines train, without a word."""

import dataclasses
import os
import pathlib
import shutil
import subprocess
import sys

import pytest
from test_compare import ROOT, lines, rows_of, run, shared  # noqa: F401 - fixtures

from smartgrowth import UserError
from smartgrowth.comparison import report, shards
from smartgrowth.comparison.arms import Trial
from smartgrowth.comparison.settings import Comparison
from smartgrowth.config import Config


def trial_of(place: int, gflops: float) -> Trial:
    return Trial(
        f"arm{place % 3}", place // 3, 1.0, pathlib.Path(f"runs/{place}"),
        {"gflops": gflops}, Config(),
    )  # fmt: skip


TRIALS = [trial_of(place, 1 + place * place % 7) for place in range(21)]


@pytest.mark.parametrize("count", [1, 2, 3, 4, 7, 21])
def test_the_parts_are_all_the_runs_once_at_about_equal_cost(count):
    parts = shards.partition(TRIALS, count)
    flat = [trial for part in parts for trial in part]
    assert sorted(flat, key=TRIALS.index) == TRIALS
    costs = [sum(trial.gflops for trial in part) for part in parts]
    largest = max(trial.gflops for trial in TRIALS)
    assert max(costs) - min(costs) <= largest
    for part in parts:
        assert part == sorted(part, key=TRIALS.index)
    assert shards.partition(TRIALS, count) == parts


def test_what_is_finished_already_moves_no_run(tmp_path):
    trials = [
        dataclasses.replace(trial, directory=tmp_path / str(place))
        for place, trial in enumerate(TRIALS)
    ]
    before = shards.partition(trials, 3)
    for trial in trials[::2]:
        trial.directory.mkdir()
        (trial.directory / "metrics.json").write_text("{}")
    assert any(trial.finished for trial in trials)
    assert shards.choose(trials, "2/3") == before[1]
    assert shards.choose(trials, "all") == []


@pytest.mark.parametrize("text", ["0/2", "3/2", "1", "1/", "/2", "a/b", "1/0"])
def test_a_shard_that_is_none_is_an_error(text):
    with pytest.raises(UserError, match=f"--shard={text}: must be K/N"):
        Comparison(arms=("a",), shard=text)


def test_shards_and_equal_seconds_exclude_each_other():
    with pytest.raises(UserError, match="--equal=gflops"):
        Comparison(arms=("a",), shard="1/2", equal="seconds")


def test_more_shards_than_runs_are_an_error(run):  # noqa: F811
    with pytest.raises(UserError, match="only 6 runs .* --shard=K/6"):
        run("--shard=1/7")


def born(folder: pathlib.Path) -> set[str]:
    """The runs that were trained, each of them once."""
    found = {}
    for path in folder.rglob("lives.txt"):
        name = path.parent.relative_to(folder).as_posix()
        found[name] = path.read_text().count("born")
    assert set(found.values()) <= {1}
    return set(found)


def test_shards_one_after_the_other_make_the_page_of_the_whole(
    run,  # noqa: F811
    tmp_path,
    capsys,
):
    whole = run("--seeds=2", f"--workdir={tmp_path / 'whole'}").parent
    folder = run("--seeds=2", "--shard=1/2").parent
    first = born(folder)
    assert 0 < len(first) < 4
    said = capsys.readouterr().out
    assert f"{4 - len(first)} of 4 runs are not here yet" in said
    assert "--shard=2/2: " in said and "--shard=1/2: " not in said
    page = (folder / "comparison.html").read_text()
    assert "Missing, since they are not here yet" in page
    run("--seeds=2", "--shard=2/2")
    assert len(born(folder)) == 4
    assert "not here yet" not in (folder / "comparison.html").read_text()
    for name in ("comparison.csv", "comparison_arms.csv"):
        kept = [
            {key: value for key, value in row.items() if key != "directory"}
            for row in rows_of(folder, name)
        ]
        assert kept == [
            {key: value for key, value in row.items() if key != "directory"}
            for row in rows_of(whole, name)
        ]


def test_folders_that_are_synchronized_late_make_it_too(
    run,  # noqa: F811
    tmp_path,
    capsys,
):
    """Each machine sees the other's runs only afterwards."""
    one, other = tmp_path / "one", tmp_path / "other"
    run(f"--workdir={one}", "--seeds=2", "--shard=1/2")
    run(f"--workdir={other}", "--seeds=2", "--shard=2/2")
    assert not born(one) & born(other)
    torn = None
    for path in sorted(other.rglob("*")):
        place = one / path.relative_to(other)
        if path.is_dir():
            place.mkdir(exist_ok=True)
        elif not place.exists():
            shutil.copy(path, place)
            if path.name == "predictions.npz" and torn is None:
                torn = place, path.read_bytes()
                place.unlink()
    # The last file of a run is here, another is not.
    capsys.readouterr()
    run(f"--workdir={one}", "--seeds=2", "--shard=all")
    missing = torn[0].parent
    name = f"{missing.parent.name} seed {missing.name.removeprefix('seed')}"
    assert f"1 of 4 runs are not here yet:\n  {name}" in capsys.readouterr().out
    torn[0].write_bytes(torn[1])
    run(f"--workdir={one}", "--seeds=2", "--shard=all")
    assert "not here yet" not in (one / "comparison.html").read_text()
    assert len(rows_of(one)) == 4


def test_without_a_run_of_the_baseline_there_is_no_page_yet(
    run,  # noqa: F811
    tmp_path,
    capsys,
):
    folder = run("--shard=all")
    assert folder == tmp_path / "all"
    assert not list(folder.rglob("metrics.json"))
    said = capsys.readouterr().out
    assert "6 of 6 runs are not here yet" in said
    assert "no page without a run of the baseline" in said


def test_two_shards_at_once_make_the_page_of_the_whole(lines, shared):  # noqa: F811
    drive = [sys.executable, shared / "drive.py", shared / "stand_in.py"]
    machines = [
        subprocess.Popen(
            [*drive, *lines("--seeds=2", f"--shard={number}/2")],
            env=os.environ | {"PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE,
            text=True,
        )
        for number in (1, 2)
    ]
    said = [machine.communicate(timeout=300)[0] for machine in machines]
    assert [machine.returncode for machine in machines] == [0, 0]
    assert any("not here yet" not in each for each in said)
    [folder] = [
        pathlib.Path(line.removeprefix("--workdir="))
        for line in lines()
        if line.startswith("--workdir=")
    ]
    assert len(born(folder)) == len(rows_of(folder)) == 4


def test_what_arrives_while_a_page_is_written_is_on_it_too(
    run,  # noqa: F811
    monkeypatch,
):
    """Or a page without it could be the last one that is written."""
    really = report.write_report

    def write_late(*given):
        monkeypatch.setattr(report, "write_report", really)
        run("--seeds=2", "--shard=2/2")
        return really(*given)

    monkeypatch.setattr(report, "write_report", write_late)
    page = run("--seeds=2", "--shard=1/2")
    assert len(rows_of(page.parent)) == 4


def test_a_run_that_failed_is_an_error_though_there_is_no_page(
    run,  # noqa: F811
    monkeypatch,
):
    monkeypatch.setenv("FAIL", "plain/seed0")
    with pytest.raises(UserError, match=r"1 of 1 runs failed \(plain seed 0\)"):
        run("--seeds=1", "--shard=2/2")


def test_what_others_train_stays_theirs(run, tmp_path, capsys):  # noqa: F811
    """Half of another shard's run, or another plan's, is not here yet."""
    folder = tmp_path / "all"
    run("--seeds=1", "--shard=1/2")
    [own] = born(folder)
    other = {"plain/seed0": "grown", "grown/seed0": "plain"}[own]
    directory = folder / other / "seed0"
    directory.mkdir(parents=True)
    (directory / "plan.json").write_text("")
    capsys.readouterr()
    run("--seeds=1", "--shard=1/2")
    said = capsys.readouterr().out
    assert f"--shard=2/2: {other} seed 0" in said
    (directory / "metrics.json").write_text('{"val_accuracy": 0.5}')
    run("--seeds=1", "--shard=all", "--restart")
    assert (directory / "metrics.json").exists()
