"""A finished run that lost a file is mended, or says what is lost."""

import dataclasses
import errno
import json
import pathlib
import shutil

import pytest

from smartgrowth import UserError
from smartgrowth.experiment import make_experiment
from smartgrowth.runs import damage
from smartgrowth.training import learner, train


@pytest.fixture(scope="module")
def whole(tiny_data, tiny_store, tmp_path_factory):
    """The config of a finished run: look, do not touch."""
    from conftest import make_config

    config = make_config(
        tmp_path_factory.mktemp("whole") / "run",
        model="mlp",
        cache_dir=str(tiny_store.parents[1]),
    )
    train.train(make_experiment(config, tiny_data))
    return config


@pytest.fixture
def finished(whole, tmp_path):
    """The config of a copy of it."""
    shutil.copytree(whole.workdir, tmp_path / "run")
    return dataclasses.replace(whole, workdir=str(tmp_path / "run"))


def tear(path: pathlib.Path, how: str) -> None:
    content = path.read_bytes()
    if how == "missing":
        path.unlink()
    elif how == "empty":
        path.write_bytes(b"")
    else:
        path.write_bytes(content[: len(content) // 2])


NAMES = [
    "plan.json",
    "flags.txt",
    "log.csv",
    "final.keras",
    "classes.txt",
    "predictions.npz",
    "metrics.json",
]


@pytest.mark.parametrize("how", ["missing", "empty", "torn"])
@pytest.mark.parametrize("name", NAMES)
def test_every_lost_file_is_found(finished, tiny_data, name, how):
    description = make_experiment(finished, tiny_data).description
    directory = pathlib.Path(finished.workdir)
    assert damage.find_damage(directory, description) == {}
    tear(directory / name, how)
    found = damage.find_damage(directory, description)
    assert found.keys() == {name}
    assert found[name]
    if how == "empty":
        assert found[name] == "it is empty"


def test_a_drive_that_does_not_read_damages_nothing(
    finished, tiny_data, monkeypatch
):
    def fail(*_):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(damage, "read_records", fail)
    description = make_experiment(finished, tiny_data).description
    with pytest.raises(UserError, match="log.csv cannot be read now"):
        damage.find_damage(pathlib.Path(finished.workdir), description)


def test_flags_cut_between_two_lines_are_found(finished, tiny_data):
    path = pathlib.Path(finished.workdir) / "flags.txt"
    lines = path.read_text().splitlines(keepends=True)
    index = next(i for i, line in enumerate(lines) if "--seed=" in line)
    path.write_text("".join(lines[:index]))
    description = make_experiment(finished, tiny_data).description
    (reason,) = damage.find_damage(path.parent, description).values()
    assert reason.startswith("it has no --")


def without_times(directory: pathlib.Path) -> dict:
    values = json.loads((directory / "metrics.json").read_text())
    return {k: v for k, v in values.items() if k != "wall_seconds"}


def test_lost_results_are_written_again_from_the_last_checkpoint(
    whole, finished, tiny_data, monkeypatch, capsys
):
    directory = pathlib.Path(finished.workdir)
    for name, how in (
        ("metrics.json", "empty"),
        ("final.keras", "torn"),
        ("classes.txt", "missing"),
        ("log.csv", "torn"),
        ("flags.txt", "empty"),
    ):
        tear(directory / name, how)
    monkeypatch.setattr(learner.Learner, "fit", None)  # all is learned
    train.train(make_experiment(finished, tiny_data))
    output = capsys.readouterr().out
    assert (
        "is finished, but damaged (flags.txt: it is empty; log.csv: " in output
    )
    assert "its results are written again from its last checkpoint" in output
    old = pathlib.Path(whole.workdir)
    assert without_times(directory) == without_times(old)
    for name in ("classes.txt", "log.csv", "predictions.npz"):
        assert (directory / name).read_bytes() == (old / name).read_bytes()
    description = make_experiment(finished, tiny_data).description
    assert damage.find_damage(directory, description) == {}


@pytest.mark.parametrize("name", ["plan.json", "flags.txt"])
def test_plan_and_flags_need_no_network(
    whole, finished, tiny_data, monkeypatch, capsys, name
):
    directory = pathlib.Path(finished.workdir)
    tear(directory / name, "empty")
    monkeypatch.setattr(learner.Learner, "build", None)
    train.train(make_experiment(finished, tiny_data))
    output = capsys.readouterr().out
    assert f"mends the finished run in {directory} ({name}: it is em" in output
    assert f"{directory} is finished" in output
    text = (pathlib.Path(whole.workdir) / name).read_text()
    expected = text.replace(whole.workdir, finished.workdir)
    assert (directory / name).read_text() == expected


@pytest.mark.parametrize("name", NAMES)
def test_what_no_checkpoint_brings_back_is_named(finished, tiny_data, name):
    directory = pathlib.Path(finished.workdir)
    shutil.rmtree(directory / "checkpoints")
    tear(directory / name, "empty")
    experiment = make_experiment(finished, tiny_data)
    if name == "flags.txt":
        train.train(experiment)
        assert (directory / name).exists()
        return
    before = {p: p.read_bytes() for p in directory.glob("*") if p.is_file()}
    del before[directory / "lease.json"]
    with pytest.raises(UserError, match=f"(?s){name}.*--restart"):
        train.train(experiment)
    assert (
        before.items()
        <= {
            p: p.read_bytes() for p in directory.glob("*") if p.is_file()
        }.items()
    )
