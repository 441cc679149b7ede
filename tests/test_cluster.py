"""Comparisons on a Dask cluster: here, two workers of this machine."""

import builtins
import contextlib
import json
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
from smartgrowth.comparison import cluster, runner, worker
from smartgrowth.comparison.arms import Trial
from smartgrowth.comparison.cluster import ClusterPool
from smartgrowth.comparison.settings import Comparison
from smartgrowth.config import Config
from smartgrowth.runs.lease import Lease
from smartgrowth.runs.owner import read_owner

distributed = pytest.importorskip("distributed")
SESSION = "this comparison"


@pytest.fixture
def pool(shared, monkeypatch):  # noqa: F811
    """Has `run` train on two workers, with the stand-in as the program."""
    monkeypatch.setattr(cluster, "WAIT_SECONDS", 3)

    def make(address, folder):
        return ClusterPool(address, folder, [str(shared / "stand_in.py")])

    monkeypatch.setattr("smartgrowth.comparison.run.ClusterPool", make)


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
        ClusterPool("local:2", pathlib.Path())


def test_a_scheduler_that_is_not_there_is_an_error_soon(monkeypatch):
    monkeypatch.setattr(cluster, "CONNECT_SECONDS", 2)
    began = time.monotonic()
    with pytest.raises(
        UserError, match="--cluster=tcp://127.0.0.1:9: no sched"
    ):
        ClusterPool("tcp://127.0.0.1:9", pathlib.Path()).__enter__()
    assert time.monotonic() - began < 20


def test_a_cluster_without_workers_is_an_error_after_a_while(
    monkeypatch, tmp_path
):
    monkeypatch.setattr(cluster, "WAIT_SECONDS", 1)
    with pytest.raises(UserError, match="no worker has joined for 1 s"):
        ClusterPool("local:0", tmp_path).__enter__()


@pytest.fixture
def trial(tmp_path):
    """A trial whose process sleeps for a minute."""
    program = tmp_path / "sleeper.py"
    program.write_text("import time\ntime.sleep(60)\n")
    directory = tmp_path / "run"
    description = {"gflops": 1.0, "hash": "a plan"}
    config = Config(workdir=str(directory))
    return Trial("a", 0, 1.0, directory, description, config), program


def train_one(trial, address, folder):
    """Has a pool train it; returns the pool and the failed trials."""
    chosen, program = trial
    with ClusterPool(address, folder, [str(program)]) as pool:  # noqa: F811
        return pool, runner.train_all([chosen], pool, runner.Forecast())


def end_of(folder: pathlib.Path) -> None:
    """Ends the process of a trial that outlived its worker."""
    for path in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            if str(folder / "sleeper.py") in path.read_text():
                os.kill(int(path.parent.name), signal.SIGKILL)


@pytest.mark.slow
def test_when_all_workers_or_the_scheduler_are_lost_nobody_waits_for_ever(
    trial, tmp_path, monkeypatch
):
    monkeypatch.setattr(cluster, "WAIT_SECONDS", 2)
    cluster_of = distributed.LocalCluster(
        n_workers=1, threads_per_worker=1, dashboard_address=":0"
    )
    lost = threading.Thread(
        target=lambda: (
            wait_for(trial[0].directory / worker.TASK),
            cluster_of.scale(0),
        )
    )
    lost.start()
    began = time.monotonic()
    with pytest.raises(UserError, match="no worker has joined for 2 s"):
        train_one(trial, cluster_of.scheduler_address, tmp_path)
    assert time.monotonic() - began < 40
    lost.join()
    (trial[0].directory / worker.TASK).unlink()
    end_of(tmp_path)
    monkeypatch.setattr(cluster, "WAIT_SECONDS", 60)
    cluster_of.scale(1)
    gone = threading.Thread(
        target=lambda: (
            wait_for(trial[0].directory / worker.TASK),
            cluster_of.close(),
        )
    )
    gone.start()
    with pytest.raises(UserError, match="the scheduler is gone"):
        train_one(trial, cluster_of.scheduler_address, tmp_path)
    gone.join()
    end_of(tmp_path)


@pytest.mark.slow
def test_only_workers_with_gpus_get_runs_where_some_declare_them(tmp_path):
    with (
        distributed.LocalCluster(
            n_workers=1,
            threads_per_worker=1,
            dashboard_address=":0",
            resources={"GPU": 2},
        ) as one,
        ClusterPool(one.scheduler_address, tmp_path) as pool,  # noqa: F811
    ):
        assert pool.has_gpus
        assert pool.capacity == 1  # it has a thread for one
        pool.workers = {"a": {"nthreads": 4}, "b": {"nthreads": 2}}
        pool.workers["b"]["resources"] = {"GPU": 2.0}
        pool.asked = float("inf")
        assert pool.capacity == 2
        del pool.workers["b"]
        assert pool.capacity == 0  # not those without


def test_a_worker_that_sees_other_folders_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(worker, "introduce", introduce_nothing)
    with pytest.raises(UserError, match="does not see .*cluster.txt"):
        ClusterPool("local:1", tmp_path).__enter__()


def introduce_nothing(path):
    from smartgrowth import __version__

    return __version__, ""


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
    settings = {"plan": "a plan", "gpus": 0, "session": SESSION} | options
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
            "import sys; from smartgrowth.comparison import worker;"
            "worker.train([f'--workdir={sys.argv[2]}'], sys.argv[2],"
            " '/', sys.argv[3], 'a plan', 0, lambda: False,"
            " program=[sys.argv[1]])",
            *(str(program), str(run), SESSION),
        ]
    )
    wait_for(run / "written.txt")
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


def wait_for(path: pathlib.Path) -> None:
    for _ in range(1200):
        if path.exists():
            return
        time.sleep(0.1)
    raise AssertionError(f"{path} does not come")


def wait_for_end(pid: int) -> None:
    for _ in range(600):
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
        assert train(tmp_path / "none.py", run, stops=lambda: True) == 130


def test_a_stop_ends_the_process_and_a_kill_is_tried_again(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(worker, "LOOK_SECONDS", 0.05)
    program = tmp_path / "sleeper.py"
    program.write_text("import time\ntime.sleep(60)\n")
    stopped = train(program, tmp_path / "one", stops=lambda: True)
    assert stopped == -signal.SIGTERM
    program.write_text("import os\nos.kill(os.getpid(), 9)\n")
    with pytest.raises(worker.ProcessKilled, match="status -9"):
        train(program, tmp_path / "two")
    # Slurm, say, asked it to stop.
    program.write_text("import sys\nsys.exit(130)\n")
    with pytest.raises(worker.ProcessKilled, match="status 130"):
        train(program, tmp_path / "three")


def test_what_restart_deletes_is_deleted_once(tmp_path):
    """Though another worker gets the task, after the plan was claimed."""
    program = tmp_path / "say.py"
    program.write_text(
        "import pathlib, sys\n"
        "run = sys.argv[1].partition('=')[2]\n"
        "pathlib.Path(run, 'said.txt').write_text(' '.join(sys.argv[2:]))\n"
    )
    run = tmp_path / "run"  # noqa: F811
    flags = [f"--workdir={run}", "--restart=true"]

    def said():
        worker.train(
            flags, str(run), "/", SESSION, "a plan", 0, lambda: False,
            program=[str(program)],
        )  # fmt: skip
        return (run / "said.txt").read_text()

    assert said() == "--restart=true"
    assert said() == "--restart=true --take_over"
    plan = {"hash": "a plan", "stages": [{"steps": 1, "image_size": 8}]}
    (run / "plan.json").write_text(json.dumps(plan))
    assert said() == "--take_over"


def test_a_process_that_had_only_just_begun_is_waited_for(
    tmp_path, monkeypatch
):
    """It had no lease yet when the run was looked at."""
    monkeypatch.setattr(worker, "LOOK_SECONDS", 0.05)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    run, program = tmp_path / "run", tmp_path / "late.py"  # noqa: F811
    program.write_text("import sys\nsys.exit(1)\n")
    states = iter([False, True, True, False])  # it has begun, and ended
    monkeypatch.setattr(worker, "_is_trained", lambda run: next(states))
    seen = iter([False, False, True])  # before ours, after ours, at its end
    monkeypatch.setattr(worker, "is_finished", lambda run: next(seen))
    assert train(program, run) == 0


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
from smartgrowth.comparison import run
from smartgrowth.comparison.cluster import ClusterPool
run.ClusterPool = lambda *of: ClusterPool(*of, [sys.argv[1]])
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
        processes.append(process)
        wait_for(folder / "plain/seed0/lease.json")
        return process, folder, read_owner(folder / "plain/seed0")

    processes = []
    yield begin
    for process in processes:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@pytest.mark.slow
def test_a_run_goes_on_when_its_worker_is_killed(begun):
    """Dask gives its task to another worker; the run ends like any other."""
    process, folder, owner = begun(10)
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
    assert process.wait(120) == 130
    wait_for_end(owner.process.pid)
