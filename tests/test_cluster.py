"""Comparisons on a Dask cluster: here, two workers of this machine."""

import builtins
import os
import pathlib
import signal
import subprocess
import sys
import threading
import time

import pytest
from test_compare import ROOT, lines, rows_of, run, shared  # noqa: F401

from smartgrowth import UserError
from smartgrowth.compare import cluster, worker
from smartgrowth.compare.cluster import ClusterPool
from smartgrowth.compare.settings import Comparison
from smartgrowth.runs.lease import Lease
from smartgrowth.runs.owner import read_owner

pytest.importorskip("distributed")
SESSION = "this comparison"


@pytest.fixture
def pool(shared, monkeypatch):  # noqa: F811
    """Has `run` train on two workers, with the stand-in as the program."""
    monkeypatch.setattr(cluster, "WAIT_SECONDS", 3)

    def make(address):
        return ClusterPool(address, [str(shared / "stand_in.py")])

    monkeypatch.setattr("smartgrowth.compare.run.ClusterPool", make)


def same(folder: pathlib.Path, name: str) -> list[dict]:
    """A table without what names folders and seconds."""
    return [
        {
            key: value
            for key, value in row.items()
            if key != "directory" and not key.startswith("seconds")
        }
        for row in rows_of(folder, name)
    ]


def test_a_cluster_makes_the_same_figures(run, pool, tmp_path, capsys):  # noqa: F811
    flags = ("--seeds=2", f"--workdir={tmp_path / 'here'}")
    here = run(*flags).parent
    there = run("--seeds=2", "--cluster=local:2").parent
    said = capsys.readouterr().out
    assert "local:2: 2 workers" in said
    assert "4 left, 2 at once" in said
    for name in ("comparison.csv", "comparison_arms.csv"):
        assert same(there, name) == same(here, name)
    # Nothing is left: no cluster is asked.
    run("--seeds=2", "--cluster=local:2")
    assert "workers" not in capsys.readouterr().out


def test_what_failed_is_named_and_the_others_go_on(
    run,  # noqa: F811
    pool,
    monkeypatch,
    capsys,
):
    monkeypatch.setenv("FAIL", "grown/seed1")
    with pytest.raises(UserError, match="1 of 4 runs failed"):
        run("--seeds=2", "--cluster=local:2")
    said = capsys.readouterr().out
    assert "grown seed 1 failed (exit status 3)" in said
    assert "is not a number" in said


def test_without_dask_a_line_says_what_to_install(monkeypatch):
    real = builtins.__import__

    def without(name, *arguments):
        if name == "distributed":
            raise ImportError(name)
        return real(name, *arguments)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(
        UserError, match=r"pip install 'smartgrowth\[cluster\]'"
    ):
        ClusterPool("local:2")


def test_a_scheduler_that_is_not_there_is_an_error_soon(monkeypatch):
    monkeypatch.setattr(cluster, "CONNECT_SECONDS", 2)
    began = time.monotonic()
    with pytest.raises(
        UserError, match="--cluster=tcp://127.0.0.1:9: no sched"
    ):
        ClusterPool("tcp://127.0.0.1:9").__enter__()
    assert time.monotonic() - began < 20


def test_a_cluster_without_workers_is_an_error_after_a_while(monkeypatch):
    monkeypatch.setattr(cluster, "WAIT_SECONDS", 1)
    with pytest.raises(UserError, match="no worker has joined for 1 s"):
        ClusterPool("local:0").__enter__()


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ({"cluster": "local:"}, "must be the address of a scheduler"),
        ({"cluster": "local:2", "jobs": 2}, "leave --jobs out"),
        ({"cluster": "local:2", "equal": "seconds"}, "--equal=gflops"),
    ],
)
def test_flags_that_a_cluster_cannot_follow_are_errors(flags, words):
    with pytest.raises(UserError, match=words):
        Comparison(arms=("a",), **flags)


# A worker that is lost


STUBBORN = """
import pathlib, sys, time
from smartgrowth.command_line import from_flag_lines
from smartgrowth.runs import files
from smartgrowth.runs.lease import Lease

config = from_flag_lines(sys.argv[1:])
run = pathlib.Path(config.workdir)
log = run / "written.txt"
checked = {checked}
with Lease(run, "a plan", config.take_over) as lease:
    for number in range(1000):
        if checked:
            lease.check()
        with log.open("a") as file:
            file.write(f"{{config.take_over}}\\n")
        if config.take_over and number == 20:
            files.write_json(run / files.METRICS, {{}})
            break
        time.sleep(0.1)
"""


def train(program, run, stops=lambda: False, **options):  # noqa: F811
    settings = {"sharing": 1, "gpus": 0, "session": SESSION} | options
    return worker.train(
        [f"--workdir={run}"], str(run), str(run.parent),
        stops=stops, program=[str(program)], **settings,
    )  # fmt: skip


@pytest.mark.parametrize("checked", [True, False])
def test_the_process_of_a_lost_worker_writes_no_more(
    tmp_path, monkeypatch, checked
):
    """Its worker was killed, it lives on, and another one has the task.

    Without the lease, the negative control, both write.
    """
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    program, run = tmp_path / "stubborn.py", tmp_path / "run"  # noqa: F811
    program.write_text(STUBBORN.format(checked=checked))
    run.mkdir()
    lost = subprocess.Popen(
        [
            *(sys.executable, "-c"),
            "import sys; from smartgrowth.compare import worker;"
            "worker.train([f'--workdir={sys.argv[2]}'], sys.argv[2],"
            " '/', sys.argv[3], 1, 0, lambda: False, [sys.argv[1]])",
            *(str(program), str(run), SESSION),
        ]
    )
    while not (run / "written.txt").exists():
        time.sleep(0.1)
    orphan = read_owner(run).process.pid
    lost.kill()
    lost.wait()
    os.kill(orphan, 0)  # it lives on
    try:
        assert train(program, run) == 0
        after = (run / "written.txt").read_text().split()
        first = after.index("True")
        later = after[first:].count("False")
        assert (later == 0) == checked
    finally:
        if not checked:
            os.kill(orphan, signal.SIGKILL)
        else:
            wait_for_end(orphan)


def wait_for_end(pid: int) -> None:
    for _ in range(100):
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return
        time.sleep(0.1)
    raise AssertionError(f"process {pid} lives on")


def test_a_process_of_another_comparison_is_waited_for(tmp_path, monkeypatch):
    monkeypatch.setattr(worker, "LOOK_SECONDS", 0.05)
    run, done = tmp_path / "run", []  # noqa: F811
    with Lease(run, "a plan"):
        thread = threading.Thread(
            target=lambda: done.append(train(tmp_path / "none.py", run))
        )
        thread.start()
        time.sleep(0.3)
        assert not done
        (run / "metrics.json").write_text("{}")
    thread.join(10)
    assert done == [0]


def test_what_waits_for_another_process_hears_a_stop(tmp_path):
    run = tmp_path / "run"  # noqa: F811
    with Lease(run, "a plan"):
        assert train(tmp_path / "none.py", run, stops=lambda: True) == 1


def test_a_stop_ends_the_process_and_a_kill_is_tried_again(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(worker, "LOOK_SECONDS", 0.05)
    program = tmp_path / "sleeper.py"
    program.write_text("import time\ntime.sleep(60)\n")
    stopped = train(program, tmp_path / "one", stops=lambda: True)
    assert stopped == -signal.SIGTERM
    program.write_text("import os\nos.kill(os.getpid(), 9)\n")
    with pytest.raises(worker.ProcessKilled, match="signal 9"):
        train(program, tmp_path / "two")


def test_each_process_sees_a_gpu_of_its_own(tmp_path, monkeypatch):
    program = tmp_path / "see.py"
    program.write_text(
        "import os, pathlib, sys\n"
        "run = sys.argv[1].partition('=')[2]\n"
        "name = os.environ.get('CUDA_VISIBLE_DEVICES', 'all')\n"
        "pathlib.Path(run, 'seen.txt').write_text(name)\n"
    )

    def seen(name, **options):
        train(program, tmp_path / name, **options)
        return (tmp_path / name / "seen.txt").read_text()

    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert seen("none", gpus=0) == "all"
    assert seen("counted", gpus=2) == "0"
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "5,7,6")
    assert seen("first", gpus=1) == "5"
    monkeypatch.setattr(worker, "_taken", {"5"})
    assert seen("second", gpus=2) == "7"
    assert worker._taken == {"5"}


@pytest.fixture
def begun(shared, lines, monkeypatch):  # noqa: F811
    """A comparison on two workers in a process group of its own, its folder,
    and the owner of its first run, which takes SLOW seconds.
    """
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    drive = f"""
import sys
from smartgrowth.compare import run
from smartgrowth.compare.cluster import ClusterPool
run.ClusterPool = lambda address: ClusterPool(address, [sys.argv[1]])
exec(open({str(shared / "drive.py")!r}).read())
"""
    flags = lines("--seeds=1", "--cluster=local:2")
    [folder] = [
        pathlib.Path(line.partition("=")[2])
        for line in flags
        if line.startswith("--workdir=")
    ]

    def begin(seconds):
        monkeypatch.setenv("SLOW", str(seconds))
        process = subprocess.Popen(
            [sys.executable, "-c", drive, str(shared / "stand_in.py"), *flags],
            process_group=0,
        )
        while not (owner := read_owner(folder / "plain/seed0")):
            time.sleep(0.1)
        return process, folder, owner

    return begin


@pytest.mark.slow
def test_a_run_goes_on_when_its_worker_is_killed(begun):
    """Dask gives its task to another worker; the run ends like any other."""
    process, folder, owner = begun(4)
    stat = pathlib.Path(f"/proc/{owner.process.pid}/stat").read_text()
    parent = int(stat.rpartition(")")[2].split()[1])
    assert parent != process.pid
    os.kill(parent, signal.SIGKILL)
    assert process.wait(120) == 0
    assert (folder / "comparison.html").exists()
    for arm in ("plain", "grown"):
        assert (folder / arm / "seed0/metrics.json").exists()
    assert read_owner(folder / "plain/seed0").number > owner.number


@pytest.mark.slow
def test_ctrl_c_stops_what_is_trained_and_then_the_workers(begun):
    """In a terminal it reaches every process of the comparison at once."""
    process, _, owner = begun(100)
    os.killpg(process.pid, signal.SIGINT)
    assert process.wait(60) == 130
    wait_for_end(owner.process.pid)
