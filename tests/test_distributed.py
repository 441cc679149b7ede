"""One device or two, one process or two, either engine: the same training.

Every training is a process of its own, because the number of devices, the
engine and the processes are settled before it starts.
"""

import csv
import json
import os
import pathlib
import socket
import subprocess
import sys
import time

import numpy as np
import pytest

from smartgrowth import UserError
from smartgrowth.runtime import distributed
from smartgrowth.runtime.distribution import SINGLE_DEVICE, Distribution
from smartgrowth.stages import Plan, Stage

HERE = pathlib.Path(__file__).parent
STEPS = 50
# Smoothed labels: without them the network knows the images by heart after 30
# steps, and then rounding alone moves a loss by 0.001.
CONFIG = {
    "grow_size": (16, 16),
    "stage_steps": (STEPS, 6),
    "augment": ("none",),
    "label_smoothing": 0.1,
    "optimizer": "sgd",
    "lr": 0.01,
    "schedule": "constant",
    "ema": 0.9,  # its averages too are the same
    "evals": 1,
    "devices": "all",
}


def start(folder, tiny_store, engine, count=1, process=None, **overrides):
    """A training in `folder`/run; `process`: its number and an address."""
    folder.mkdir(exist_ok=True)
    env = os.environ | {
        "KERAS_BACKEND": engine,
        "PYTHONPATH": os.pathsep.join([str(HERE.parent), str(HERE)]),
        "PYTHONUNBUFFERED": "1",
    }
    if process is not None:
        number, address = process
        env |= {
            "KERAS_DISTRIBUTION_JOB_ADDRESSES": address,
            "KERAS_DISTRIBUTION_NUM_PROCESSES": "2",
            "KERAS_DISTRIBUTION_PROCESS_ID": str(number),
        }
    extra = {
        name: overrides.pop(name)
        for name in ("steps_per_execution", "stop_at")
        if name in overrides
    }
    spec = {
        "devices": count,
        "store": str(tiny_store),
        "config": CONFIG | {"workdir": str(folder / "run")} | overrides,
    }
    return subprocess.Popen(
        [sys.executable, HERE / "distributed_run.py", json.dumps(spec | extra)],
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def run(folder, *arguments, **overrides) -> str:
    """A training to its end; what it printed."""
    process = start(folder, *arguments, **overrides)
    output, _ = process.communicate(timeout=300)
    assert process.returncode == 0, output
    return output


def stop(folder, *arguments, **overrides) -> str:
    """A training up to `stop_at`; what it printed."""
    process = start(folder, *arguments, **overrides)
    output, _ = process.communicate(timeout=300)
    assert process.returncode == 1, output
    return output


def losses_of(folder) -> np.ndarray:
    """The loss of each of the first stage's steps."""
    means = np.loadtxt(folder / "losses.txt")[:STEPS]
    return np.diff(means * np.arange(1, STEPS + 1), prepend=0.0)


def read_log(folder) -> list[dict]:
    with (folder / "run" / "log.csv").open() as file:
        return list(csv.DictReader(file))


def figures(folder) -> list[dict]:
    """The log but for its seconds."""
    return [
        {name: value for name, value in row.items() if "seconds" not in name}
        for row in read_log(folder)
    ]


def wait_for_losses(process, folder, count: int) -> None:
    for _ in range(6000):
        path = folder / "losses.txt"
        if path.exists() and path.read_text().count("\n") >= count:
            return
        assert process.poll() is None, process.communicate()[0]
        time.sleep(0.02)
    raise AssertionError(f"no {count} losses came")


@pytest.fixture(scope="module")
def single(tiny_store, tmp_path_factory):
    """Of an engine, the folder of a training on one device; made once."""
    made = {}

    def folder(engine) -> pathlib.Path:
        if engine not in made:
            made[engine] = tmp_path_factory.mktemp("single") / engine
            run(made[engine], tiny_store, engine)
        return made[engine]

    return folder


ENGINES = pytest.mark.parametrize("engine", ["tensorflow", "jax"])


@pytest.mark.slow
@ENGINES
def test_two_devices_learn_what_one_does(engine, single, tiny_store, tmp_path):
    output = run(tmp_path / "two", tiny_store, engine, 2)
    assert "on 2 devices" in output
    one, two = losses_of(single(engine)), losses_of(tmp_path / "two")
    assert one[0] - one[-8:].mean() > 0.3  # there was something to learn
    np.testing.assert_allclose(two, one, atol=1e-4)
    for a, b in zip(
        read_log(single(engine)), read_log(tmp_path / "two"), strict=True
    ):
        assert float(a["val_loss"]) == pytest.approx(
            float(b["val_loss"]), abs=1e-4
        )


@pytest.mark.slow
@ENGINES
def test_several_steps_per_execution_log_the_same_rows(
    engine, single, tiny_store, tmp_path
):
    """Three at a time, which divides neither segment, with a stop between."""
    folder, three = tmp_path / "three", {"steps_per_execution": 3}
    output = stop(folder, tiny_store, engine, stop_at=20, **three)
    run(folder, tiny_store, engine, **three)
    assert "stopped" in output
    assert figures(folder) == figures(single(engine))


@pytest.mark.slow
@pytest.mark.parametrize(
    "engines", [("tensorflow", "jax"), ("jax", "tensorflow")]
)
def test_a_run_of_one_engine_goes_on_with_the_other(
    engines, tiny_store, tmp_path
):
    """Stopped at the end of the first stage."""
    before, after = engines
    stop(tmp_path, tiny_store, before, stop_at=STEPS)
    row = read_log(tmp_path)[-1]
    output = run(tmp_path, tiny_store, after)
    assert f"resuming at step {STEPS} of {STEPS + 6}, stage 2" in output
    step, loss, accuracy = json.loads((tmp_path / "resumed.json").read_text())
    assert step == int(row["step"]) == STEPS
    assert loss == pytest.approx(float(row["val_loss"]), abs=1e-4)
    assert accuracy == pytest.approx(float(row["val_accuracy"]), abs=1e-4)
    rows = read_log(tmp_path)
    assert [int(row["step"]) for row in rows] == [STEPS, STEPS + 6]
    assert (tmp_path / "run" / "metrics.json").exists()


# Several processes


@pytest.fixture
def pair(tiny_store, tmp_path):
    """Starts two processes on this machine that train one run."""
    started = []

    def begin(**overrides) -> list[subprocess.Popen]:
        with socket.socket() as found:
            found.bind(("127.0.0.1", 0))
            address = f"127.0.0.1:{found.getsockname()[1]}"
        processes = [
            start(
                tmp_path,
                tiny_store,
                "jax",
                process=(number, address),
                # Far more steps than there is time for.
                stage_steps=(STEPS, 100_000),
                checkpoint_minutes=1e-9,
                **overrides,
            )
            for number in (0, 1)
        ]
        started.extend(processes)
        return processes

    yield begin
    for process in started:
        process.kill()
        process.wait()
        process.stdout.close()


@pytest.mark.slow
def test_two_processes_learn_what_one_does_and_end_and_go_on_together(
    pair, single, tmp_path
):
    first, second = pair()
    wait_for_losses(first, tmp_path, STEPS + 1)
    np.testing.assert_allclose(
        losses_of(tmp_path), losses_of(single("jax")), atol=1e-4
    )
    wait_for_losses(first, tmp_path, STEPS + 2)  # with a checkpoint
    second.kill()
    killed = time.monotonic()
    output, _ = first.communicate(timeout=60)
    assert time.monotonic() - killed < 60
    assert first.returncode not in (0, None)
    assert "another process of this run has ended" in output
    (tmp_path / "losses.txt").unlink()
    first, second = pair()
    wait_for_losses(first, tmp_path, 5)
    first.kill()  # this time the one that leads
    output, _ = second.communicate(timeout=60)
    assert second.returncode not in (0, None)
    assert "another process of this run has ended" in output
    assert "resuming at step" in first.communicate()[0]
    assert "resuming at step" not in output  # the first one speaks for both


# What is refused


def plan_of(*batches, images=100, jitter=()) -> Plan:
    stages = [
        Stage(i, batch_size=batch, num_images=images, jitter_sizes=jitter)
        for i, batch in enumerate(batches)
    ]
    return Plan(tuple(stages), (1,) * len(stages))


def test_batches_that_the_devices_divide_are_taken():
    Distribution(4).check_plan(plan_of(8, 12))
    SINGLE_DEVICE.check_plan(plan_of(7))


@pytest.mark.parametrize(
    ("devices", "batch", "images", "words"),
    [
        (4, 10, 100, "stage 2 has batches of 10.*at 8 or 12"),
        (4, 3, 100, "at 4$"),
        (4, 10, 10, "10, all the images that it has.*at 8$"),
        (4, 3, 3, "fewer devices than 4"),
    ],
)
def test_other_batches_are_refused_with_the_nearest(
    devices, batch, images, words
):
    with pytest.raises(UserError, match=words):
        Distribution(devices).check_plan(plan_of(8, batch, images=images))


def test_sizes_in_turn_are_refused_where_they_cannot_be_had():
    plan = plan_of(8, jitter=(16, 24))
    Distribution(2).check_plan(plan)  # JAX
    with pytest.raises(UserError, match="--size_jitter"):
        Distribution(2, strategy=object()).check_plan(plan)


def test_validation_batches_are_rounded_up():
    assert SINGLE_DEVICE.round_up_batch(128) == 128
    assert Distribution(3).round_up_batch(128) == 129
    assert Distribution(8).round_up_batch(128) == 128


VARIABLES = (distributed.ADDRESSES, distributed.PROCESSES, distributed.RANK)


@pytest.mark.parametrize(
    ("values", "wanted", "engine", "words"),
    [
        (("host:1", "2", None), "all", "jax", "set all three"),
        (("host:1", "2", "2"), "all", "jax", "must be below"),
        (("host:1", "two", "0"), "all", "jax", "whole number"),
        (("host:1", "2", "0"), "all", "tensorflow", "KERAS_BACKEND=jax"),
        (("host:1", "2", "0"), "auto", "jax", "give --devices=all"),
        (("host", "2", "0"), "all", "jax", "host:port"),
    ],
)
def test_what_names_no_group_of_processes_is_refused(
    values, wanted, engine, words, monkeypatch
):
    monkeypatch.setattr(distributed.keras.backend, "backend", lambda: engine)
    for name, value in zip(VARIABLES, values, strict=True):
        if value is not None:
            monkeypatch.setenv(name, value)
    with pytest.raises(UserError, match=words):
        distributed.join(wanted)


def test_a_process_that_is_told_of_no_other_joins_none(monkeypatch):
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    distributed.join("auto")


@pytest.mark.parametrize(
    ("wanted", "found", "said"),
    [
        ("auto", ["gpu:0", "gpu:1"], ["one of 2 accelerators"]),
        ("auto", ["gpu:0"], []),
        ("auto", ["cpu:0", "cpu:1"], []),
        ("1", ["gpu:0", "gpu:1"], []),
    ],
)
def test_one_device_trains_unless_all_are_asked_for(
    wanted, found, said, monkeypatch, capsys
):
    monkeypatch.setattr(distributed, "_devices", lambda name: found)
    assert distributed.make_distribution(wanted) is SINGLE_DEVICE
    lines = capsys.readouterr().out.splitlines()
    assert (
        [line for line in lines if said[0] in line] == lines
        if said
        else (not lines)
    )
