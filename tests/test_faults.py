"""A run directory on a disk that refuses, is slow, goes and comes back."""

import itertools
import os
import pathlib
import shutil
import tempfile
import threading

import keras
import numpy as np
import pytest
from faults import REASONS, Faults

from smartgrowth import UserError
from smartgrowth.experiment import make_experiment
from smartgrowth.runs import checkpoint
from smartgrowth.runs.lease import Lease
from smartgrowth.stages import Plan, Stage
from smartgrowth.training import checkpointing, learner, train
from smartgrowth.training.checkpointing import CheckpointManager
from smartgrowth.training.progress import Progress

PLAN = Plan((Stage(0, steps=100),), None, ())


class Clock:
    """Seconds that pass when they are told to."""

    def __init__(self, monkeypatch):
        self.now, self.naps = 1000.0, []
        monkeypatch.setattr(checkpointing.time, "monotonic", lambda: self.now)
        monkeypatch.setattr(checkpointing.time, "sleep", self.naps.append)


@pytest.fixture
def clock(monkeypatch) -> Clock:
    return Clock(monkeypatch)


@pytest.fixture
def faults(tmp_path, monkeypatch) -> Faults:
    (tmp_path / "drive").mkdir()
    (tmp_path / "local").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "local"))
    return Faults(tmp_path / "drive", monkeypatch)


@pytest.fixture
def make_manager(tmp_path, monkeypatch, clock, faults):
    """Managers of one directory; each has variables of its own."""
    monkeypatch.setattr(
        checkpointing,
        "group_variables",
        lambda model, accuracy: {
            "model": [keras.Variable(np.zeros(3), name="kernel")],
            "optimizer": [keras.Variable(0, dtype="int32", name="iteration")],
            "loss_scale": [],
            "metrics": [],
        },
    )
    leases = []

    def make(save_seconds=300.0) -> CheckpointManager:
        for lease in leases:
            lease.__exit__()
        leases.append(Lease(tmp_path / "drive" / "run", "aa").__enter__())
        return CheckpointManager(
            tmp_path / "drive" / "run",
            leases[-1],
            None,
            None,
            {},
            save_seconds,
            rescue=tmp_path / "rescued",
        )

    yield make
    faults.state = None
    leases[-1].__exit__()


def save(manager, step: int) -> None:
    manager.variables["optimizer"][0].assign(step)
    manager.save(Progress([0.0], [0.0], step=step))
    manager.settle()


def steps(folder: pathlib.Path) -> list[int]:
    return [facts["step"] for facts in checkpoint.read_facts(folder)]


@pytest.mark.parametrize("state", REASONS)
def test_what_a_disk_refuses_is_kept_here_and_tried_at_growing_pauses(
    make_manager, faults, clock, tmp_path, capsys, state
):
    manager = make_manager(save_seconds=35.0)
    save(manager, 1)
    drive = tmp_path / "drive" / "run" / "checkpoints"
    assert steps(drive) == [1]
    faults.state = state
    capsys.readouterr()
    for step, pause in zip((2, 3, 4, 5, 6), (5, 10, 20, 35, 35), strict=True):
        clock.now += 1000
        assert manager.due()
        clock.naps.clear()
        save(manager, step)
        (line,) = capsys.readouterr().out.splitlines()
        assert f"warning: no checkpoint written at step {step}" in line
        assert f"({os.strerror(REASONS[state])})" in line
        assert f"next try comes in {pause:.1f} s" in line
        assert f"until then it is kept in {tmp_path / 'rescued'}" in line
        assert steps(tmp_path / "rescued")[0] == step
        # Only the first one waits, for a drive that answers late.
        assert sum(clock.naps) <= (3 if step == 2 else 0)
        clock.now += pause - 0.1
        assert not manager.due()
    # Back again: what it missed lands there.
    faults.state = None
    clock.now += 0.2
    assert manager.due()
    save(manager, 7)
    assert "takes checkpoints again" in capsys.readouterr().out
    assert steps(drive) == [7, 1]
    assert not (tmp_path / "rescued").exists()
    assert list((tmp_path / "local").iterdir()) == []
    clock.now += 34
    assert not manager.due()
    clock.now += 1
    assert manager.due()


def test_a_process_that_ends_meanwhile_loses_nothing(
    make_manager, faults, tmp_path, capsys
):
    manager = make_manager()
    save(manager, 1)
    faults.state = "gone"
    save(manager, 2)
    faults.state = None
    again = make_manager()
    progress = again.restore(tmp_path / "drive" / "run", PLAN)
    assert progress.step == 2
    assert int(again.variables["optimizer"][0].numpy()) == 2
    assert "takes up the checkpoint that was kept in" in capsys.readouterr().out


def test_a_disk_that_refuses_everywhere_still_stops_nothing(
    make_manager, faults, tmp_path, capsys
):
    manager = make_manager()
    (tmp_path / "rescued").write_text("in the way")
    faults.state = "full"
    save(manager, 1)
    output = capsys.readouterr().out
    assert "training goes on" in output and "kept in" not in output


def test_a_folder_that_comes_back_empty_is_written_again(
    make_manager, faults, tmp_path
):
    manager = make_manager()
    save(manager, 1)
    faults.state = "missing"
    save(manager, 2)
    faults.state = None
    shutil.rmtree(tmp_path / "drive" / "run")
    save(manager, 3)
    assert steps(tmp_path / "drive" / "run" / "checkpoints") == [3]
    assert (tmp_path / "drive" / "run" / "lease.json").exists()


def test_a_drive_that_answers_late_is_asked_again(
    make_manager, faults, clock, tmp_path, capsys
):
    manager = make_manager()
    faults.late[".npz"] = 1
    save(manager, 1)
    assert steps(tmp_path / "drive" / "run" / "checkpoints") == [1]
    assert clock.naps == [1.0]
    assert capsys.readouterr().out == ""


def test_a_slow_drive_is_waited_for(make_manager, faults, clock, tmp_path):
    manager = make_manager()
    faults.slow = 0.7
    save(manager, 1)
    assert steps(tmp_path / "drive" / "run" / "checkpoints") == [1]
    # Each costs on a drive; this is what a checkpoint and its rotation take.
    assert set(clock.naps) == {0.7} and len(clock.naps) < 60


def test_a_checkpoint_that_the_drive_lost_pushes_out_no_whole_one(
    make_manager, tmp_path
):
    manager = make_manager()
    drive = tmp_path / "drive" / "run" / "checkpoints"

    def lose(step):
        (archive,) = drive.glob(f"step_{step:09d}_*.npz")
        archive.unlink()

    for step in (10, 20):
        save(manager, step)
    lose(20)
    save(manager, 30)
    lose(30)
    _, facts = checkpoint.load(drive)
    assert facts["step"] == 10


# Whole runs


@pytest.fixture
def begin_fault(faults):
    """Has the state of the disk change as the training goes on."""

    def begin(patch, *states) -> None:
        left = itertools.chain(states, itertools.repeat(states[-1]))
        fit = learner.Learner.fit

        def fit_after(self, stage, end):
            faults.state = next(left)
            return fit(self, stage, end)

        patch.setattr(learner.Learner, "fit", fit_after)
        patch.setattr(checkpoint.time, "sleep", lambda seconds: None)

    return begin


@pytest.mark.parametrize("state", ["gone", "full"])
def test_a_run_whose_disk_goes_says_where_it_is_kept_and_ends_later(
    tiny_config, tiny_data, tmp_path, faults, begin_fault, capsys, state
):
    config = tiny_config(
        workdir=str(tmp_path / "drive" / "run"),
        cache_dir=str(tmp_path / "cache"),
        model="mlp",
    )
    with pytest.MonkeyPatch.context() as patch:
        begin_fault(patch, None, state)
        with pytest.raises(UserError) as caught:
            train.train(make_experiment(config, tiny_data))
    (kept,) = (tmp_path / "cache" / "rescued").iterdir()
    assert os.strerror(REASONS[state]) in str(caught.value)
    assert str(caught.value).endswith(
        f"is kept to its last step, 8, on this machine in {kept}"
    )
    output = capsys.readouterr().out
    assert "warning: no log written at step 8" in output
    assert "warning: no checkpoint written at step 8" in output
    faults.state = None
    train.train(make_experiment(config, tiny_data))
    assert "resuming at step 8 of 8" in capsys.readouterr().out
    assert (tmp_path / "drive" / "run" / "metrics.json").exists()
    assert not kept.exists()


def test_a_run_whose_disk_comes_back_ends_as_if_it_had_not_gone(
    tiny_config, tiny_data, tmp_path, begin_fault, capsys
):
    config = tiny_config(
        workdir=str(tmp_path / "drive" / "run"),
        cache_dir=str(tmp_path / "cache"),
        model="mlp",
    )
    with pytest.MonkeyPatch.context() as patch:
        begin_fault(patch, "gone", None)
        directory = train.train(make_experiment(config, tiny_data))
    output = capsys.readouterr().out
    assert "warning: no checkpoint written at step 4" in output
    assert "takes checkpoints again" in output
    assert steps(directory / "checkpoints") == [8]
    rows = (directory / "log.csv").read_text().splitlines()
    assert [row.split(",")[0] for row in rows] == ["step", "4", "8"]
    assert not any((tmp_path / "cache" / "rescued").glob("*"))


def test_a_checkpoint_is_written_beside_training(
    make_manager, tmp_path, monkeypatch
):
    """Of what was when it was asked for; the next one waits for its end."""
    goes_on, write = threading.Event(), checkpoint.save

    def write_slowly(*arguments, **how):
        assert goes_on.wait(60)
        write(*arguments, **how)

    monkeypatch.setattr(checkpoint, "save", write_slowly)
    manager = make_manager()
    [weights] = manager.variables["model"]
    with manager:
        manager.save(Progress([0.0], [0.0], step=0))
        assert not manager.writing.done() and not manager.due()
        weights.assign([7.0, 8.0, 9.0])
        threading.Timer(0.2, goes_on.set).start()
        save(manager, 1)
        drive = tmp_path / "drive" / "run" / "checkpoints"
        arrays, facts = checkpoint.load(drive)
        assert facts["step"] == 1
        assert list(arrays["model/0000/kernel"]) == [7.0, 8.0, 9.0]
        [older] = drive.glob("step_000000000_*.npz")
        with np.load(older) as arrays:
            assert list(arrays["model/0000/kernel"]) == [0.0, 0.0, 0.0]
        manager.save(Progress([0.0], [0.0], step=2))
    assert steps(drive) == [2, 1]  # the end of the context has waited
