"""One process trains in a run directory, and who lost it writes nothing."""

import dataclasses
import errno
import json
import os
import pathlib
import signal
import subprocess
import sys
import time

import pytest

from smartgrowth import UserError
from smartgrowth.experiment import make_experiment
from smartgrowth.runs import checkpoint
from smartgrowth.runs import directory as run_directory
from smartgrowth.runs import lease as module
from smartgrowth.runs import owner as owners
from smartgrowth.runs.lease import Lease
from smartgrowth.runs.owner import Owner, State, System, judge, read_owner
from smartgrowth.runtime import file_lock, process
from smartgrowth.runtime.process import Process

NEAR, FAR = "boot 1 pid:[1]", "boot 2 pid:[1]"
START = 1_000_000.0


class Machine:
    """A machine whose clock moves only when someone waits."""

    def __init__(self, place=NEAR, pid=10, started="5", now=START):
        self.process = Process("colab", place, pid, started)
        self.now, self.living, self.waiting = now, set(), []

    def system(self) -> System:
        return System(self.process, self.is_alive, lambda: self.now, self.sleep)

    def is_alive(self, other: Process) -> bool | None:
        if other.place != self.process.place:
            return None
        return other in self.living

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        for act in self.waiting:
            act(self.now)


@pytest.fixture
def no_locks(monkeypatch):
    """As on a mounted drive, or on two machines."""
    monkeypatch.setattr(file_lock, "fcntl", None)


def crash(lease: Lease) -> None:
    """Ends it as a killed process does."""
    lease._ended.set()
    lease._lock._close()
    lease.own = None


def crashed(directory, machine: Machine, plan="aa") -> None:
    crash(Lease(directory, plan, system=machine.system()).__enter__())


def contents(directory) -> dict[str, bytes]:
    return {
        str(path.relative_to(directory)): path.read_bytes()
        for path in directory.rglob("*")
        if path.is_file()
    }


# Taking and giving back


def test_the_number_grows_by_one_at_every_taking(tmp_path, capsys):
    for number in (1, 2, 3):
        with Lease(tmp_path / "run", "aa") as lease:
            found = read_owner(tmp_path / "run")
            assert (found.number, found.released) == (number, False)
            assert found.process == process.this_process()
            assert (found.plan, found.token) == ("aa", lease.own.token)
            assert set(contents(tmp_path / "run")) == {
                "lease.json",
                "lease.lock",
                "lease_beat.txt",
            }
            lease.check()
        assert set(contents(tmp_path / "run")) == {"lease.json"}
        assert read_owner(tmp_path / "run").released
    assert capsys.readouterr().out == ""


def test_a_living_owner_is_named_with_the_ways_out(tmp_path):
    with Lease(tmp_path, "aa") as lease:
        before = contents(tmp_path)
        machine = Machine()
        machine.living.add(lease.own.process)
        for attempt in (Lease.__enter__, Lease.refuse_early):
            with pytest.raises(UserError) as caught:
                attempt(Lease(tmp_path, "bb", system=machine.system()))
            own = lease.own.process
            since = time.localtime(lease.own.since)
            assert str(caught.value) == (
                f"--workdir={tmp_path} is being trained by process {own.pid} "
                f"on {own.host}, since "
                f"{time.strftime('%Y-%m-%d %H:%M', since)}; wait for it to "
                "end, name another --workdir, stop that process, or give "
                "--take_over, which takes the run from it"
            )
        assert contents(tmp_path) == before
        lease.check()


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(UserError, match="name a folder that can be written"):
        Lease(tmp_path / "file" / "run", "aa").__enter__()


def test_a_killed_process_is_followed_at_once(tmp_path, capsys):
    machine = Machine()
    crashed(tmp_path, machine)
    other = Machine(pid=11)
    with Lease(tmp_path, "aa", system=other.system()) as lease:
        assert lease.own.number == 2
    assert other.now == START
    assert capsys.readouterr().out == (
        "takes over the run of process 10 on colab, which has ended without "
        "giving it back\n"
    )


def test_a_process_that_could_not_give_it_back_takes_it_again(
    tmp_path, monkeypatch
):
    """As a notebook, which outlives the run that it trained."""

    def refuse(path, value):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch, Lease(tmp_path, "aa"):
        patch.setattr(module.files, "write_json", refuse)
    assert not read_owner(tmp_path).released
    assert not owners.is_trained(tmp_path)
    with Lease(tmp_path, "aa") as lease:
        assert lease.own.number == 2


def test_a_process_that_is_just_ending_is_waited_for(tmp_path):
    lease = Lease(tmp_path, "aa", system=Machine().system()).__enter__()
    other = Machine(pid=11)
    other.waiting.append(lambda now: lease.own and lease.__exit__())
    with Lease(tmp_path, "aa", system=other.system()):
        assert START < other.now <= START + module.GRACE_SECONDS


ELSEWHERE = Process("colab", FAR, 10, "5")
HERE = Process("colab", NEAR, 12, "5")


@pytest.mark.parametrize(
    ("who", "locked", "silence", "living", "expected"),
    [
        (None, True, 0, (), State.FREE),
        (None, None, 0, (), State.FREE),
        (None, False, 0, (), State.ALIVE),  # someone is just taking it
        (HERE, True, 0, (), State.DEAD),
        (HERE, None, 0, (), State.DEAD),
        (HERE, None, 9999, (HERE,), State.ALIVE),  # a laptop that slept
        (HERE, True, 0, (HERE,), State.ALIVE),  # its lock file was deleted
        (HERE, False, 0, (), State.ALIVE),
        (ELSEWHERE, True, 10, (), State.UNKNOWN),  # locks may be local
        (ELSEWHERE, None, 299, (), State.UNKNOWN),
        (ELSEWHERE, None, 301, (), State.SILENT),
        (ELSEWHERE, None, -9999, (), State.UNKNOWN),  # its clock is ahead
        (ELSEWHERE, False, 9999, (), State.ALIVE),  # locks are shared
    ],
)
def test_what_is_known_of_an_owner(who, locked, silence, living, expected):
    machine = Machine()
    machine.living |= set(living)
    owner = who and Owner(who, 1, "t", "aa", START)
    assert judge(owner, locked, silence, machine.system()) is expected


def test_where_starts_are_unknown_the_lock_decides():
    system = dataclasses.replace(Machine().system(), is_alive=lambda _: None)
    owner = Owner(HERE, 1, "t", "aa", START)
    assert judge(owner, True, 0, system) is State.DEAD
    assert judge(owner, False, 0, system) is State.ALIVE
    assert judge(owner, None, 0, system) is State.UNKNOWN


# Another machine


def test_an_owner_elsewhere_that_beats_is_not_disturbed(
    tmp_path, no_locks, capsys
):
    """Though it has this machine's name, and its number is nobody's here."""
    owner = Machine(FAR)
    lease = Lease(tmp_path, "aa", system=owner.system()).__enter__()
    here = Machine(now=START + 20)

    def beat(now):
        owner.now = now
        if now > START + 75:
            lease._beat(lease.own.token, 1)

    here.waiting.append(beat)
    with pytest.raises(UserError, match="being trained by process 10 on colab"):
        Lease(tmp_path, "aa", system=here.system()).__enter__()
    assert START + 75 < here.now < START + 90
    assert "watches for up to 2 min 30 s" in capsys.readouterr().out
    lease.check()
    crash(lease)


def test_an_owner_elsewhere_that_does_not_beat_is_followed(
    tmp_path, no_locks, capsys
):
    crashed(tmp_path, Machine(FAR))
    here = Machine(now=START + 20)
    with Lease(tmp_path, "aa", system=here.system()) as lease:
        assert lease.own.number == 2
    assert here.now == START + 20 + module.WATCH_SECONDS
    assert "which shows no sign of life for 2 min 30 s" in (
        capsys.readouterr().out
    )


def test_an_owner_elsewhere_that_is_long_silent_is_followed_at_once(
    tmp_path, no_locks, capsys
):
    crashed(tmp_path, Machine(FAR))
    here = Machine(now=START + 600)
    with Lease(tmp_path, "aa", system=here.system()):
        assert here.now == START + 600
    assert "no sign of life for 10 min" in capsys.readouterr().out


def test_an_owner_elsewhere_that_gives_it_back_is_followed(tmp_path, no_locks):
    lease = Lease(tmp_path, "aa", system=Machine(FAR).system()).__enter__()
    here = Machine()
    here.waiting.append(lambda now: lease.own and lease.__exit__())
    with Lease(tmp_path, "aa", system=here.system()) as taken:
        assert taken.own.number == 2
        assert here.now == START + module.LOOK_SECONDS


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b'{"number": 1}', b"\xff"]
)
def test_a_torn_lease_is_watched_then_followed(
    tmp_path, no_locks, content, capsys
):
    crashed(tmp_path, Machine(FAR))
    (tmp_path / "lease.json").write_bytes(content)
    here = Machine()
    with Lease(tmp_path, "aa", system=here.system()):
        assert here.now == START + module.WATCH_SECONDS
    assert "an unknown process (its lease.json is torn)" in (
        capsys.readouterr().out
    )


def test_take_over_takes_it_from_a_living_one(tmp_path, capsys):
    first = Lease(tmp_path, "aa").__enter__()
    with Lease(tmp_path, "aa", take_over=True) as second:
        assert second.own.number == 2
        assert second._lock.held
        assert capsys.readouterr().out == (
            f"--take_over: takes the run from {first.own.words}\n"
        )
        before = contents(tmp_path)
        with pytest.raises(UserError, match="taken it over; this process sto"):
            first.check()
        first.__exit__()
        assert contents(tmp_path) == before
        second.check()


# Before a write


@pytest.fixture
def lease(tmp_path):
    with Lease(tmp_path / "run", "aa") as taken:
        yield taken


def test_a_process_that_took_nothing_checks_nothing(tmp_path):
    Lease(tmp_path / "run", "aa").check()
    assert not (tmp_path / "run").exists()


def test_another_plan_stops_it(lease):
    (lease.directory / "plan.json").write_text('{"hash": "aa"}')
    lease.check()
    for text in ("", "{", "[]", "{}"):  # to be mended
        (lease.directory / "plan.json").write_text(text)
        lease.check()
    (lease.directory / "plan.json").write_text('{"hash": "bb"}')
    before = contents(lease.directory)
    with pytest.raises(UserError, match="plan.json is another run's now"):
        lease.check()
    assert contents(lease.directory) == before


@pytest.mark.parametrize("lost", ["folder", "file", "torn"])
def test_what_was_lost_is_claimed_again(lease, lost, tmp_path):
    before = contents(lease.directory)
    if lost == "folder":
        (tmp_path / "run").rename(tmp_path / "away")
    elif lost == "file":
        (lease.directory / "lease.json").unlink()
    else:
        (lease.directory / "lease.json").write_text("")
    lease.check()
    assert contents(lease.directory).keys() == before.keys()
    assert read_owner(lease.directory) == lease.own
    assert lease._lock.held
    # When the folder comes back, with what it had, it is still its owner's.
    (lease.directory / "lease.json").write_bytes(before["lease.json"])
    lease.check()


def test_a_lost_lease_is_not_claimed_beside_another_plan(lease):
    (lease.directory / "lease.json").unlink()
    (lease.directory / "plan.json").write_text('{"hash": "bb"}')
    with pytest.raises(UserError, match="another run's"):
        lease.check()
    assert read_owner(lease.directory) is None


def test_a_disk_that_is_away_is_no_loss(lease, monkeypatch):
    def refuse(path):
        raise OSError(errno.ENOTCONN, "Transport endpoint is not connected")

    with monkeypatch.context() as patch:
        patch.setattr(pathlib.Path, "read_bytes", refuse)
        with pytest.raises(OSError, match="not connected"):
            lease.check()
    lease.check()


def wait_until(condition) -> None:
    for _ in range(3000):
        if condition():
            return
        time.sleep(0.01)
    raise AssertionError("it did not come")


def test_the_owner_beats_whatever_its_disk_does(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "BEAT_SECONDS", 0.01)
    path = tmp_path / "run" / "lease_beat.txt"

    def beats() -> int:
        try:
            return int(path.read_text().split()[1])
        except (OSError, IndexError):
            return 0

    with Lease(tmp_path / "run", "aa") as lease:
        wait_until(lambda: beats() > 2)
        (tmp_path / "run").rename(tmp_path / "away")
        (tmp_path / "run").write_text("no folder")
        time.sleep(0.1)
        (tmp_path / "run").unlink()
        (tmp_path / "away").rename(tmp_path / "run")
        last = beats()
        wait_until(lambda: beats() > last + 2)
        # Another process takes it: not one beat more.
        taken = dataclasses.replace(lease.own, number=2, token="other")
        text = json.dumps(taken.to_json())
        (tmp_path / "run" / "lease.json").write_text(text)
        time.sleep(0.1)
        path.write_text("other 0 1\n")
        time.sleep(0.1)
        assert path.read_text() == "other 0 1\n"
    assert read_owner(tmp_path / "run") == taken


# The run directory


def describe(hash="aa") -> dict:
    stage = {"index": 0, "steps": 10, "image_size": 16, "gflops": 1.5}
    return {"hash": hash, "gflops": 1.5, "stages": [stage], "identity": {}}


def test_a_restart_keeps_the_lease_and_its_number(tiny_config, tmp_path):
    for number, restart in ((1, False), (2, True)):
        config = tiny_config(restart=restart, take_over=True)
        with Lease(tmp_path / "run", "aa") as lease:
            run_directory.claim(config, describe())
            assert read_owner(tmp_path / "run").number == number
            lease.check()
    flags = (tmp_path / "run" / "flags.txt").read_text()
    assert "--take_over=false\n" in flags


@pytest.mark.parametrize("is_checked", [True, False])
def test_a_training_that_lost_its_folder_touches_nothing_of_the_next_one(
    tiny_config, tiny_data, monkeypatch, is_checked
):
    """Without the check, it spoils everything: what is tested can fail."""
    from smartgrowth.training import learner, train

    first = tiny_config(model="mlp")
    second = dataclasses.replace(first, seed=1, restart=True, take_over=True)
    directory = pathlib.Path(first.workdir)
    evaluate, between = learner.Learner.evaluate, []

    def evaluate_then_lose(self, stage, training):
        evaluate(self, stage, training)
        if not between:
            between.append("now")
            train.train(make_experiment(second, tiny_data))
            between.append(contents(directory))

    monkeypatch.setattr(learner.Learner, "evaluate", evaluate_then_lose)
    if not is_checked:
        monkeypatch.setattr(Lease, "check", lambda self: None)
        train.train(make_experiment(first, tiny_data))
        after = contents(directory)
        for name in ("log.csv", "final.keras", "metrics.json"):
            assert after[name] != between[1][name]
        assert after["plan.json"] == between[1]["plan.json"]
        return
    with pytest.raises(UserError, match="has taken it over; this process stop"):
        train.train(make_experiment(first, tiny_data))
    assert contents(directory) == between[1]
    assert "--seed=1" in (directory / "flags.txt").read_text()


# Processes


def test_a_process_is_alive_until_it_has_ended():
    own = process.this_process()
    assert process.is_alive(own) is True
    if own.started:
        again = dataclasses.replace(own, started="1")  # its number, again
        assert process.is_alive(again) is False
    elsewhere = dataclasses.replace(own, place=FAR)
    assert process.is_alive(elsewhere) is None


@pytest.mark.skipif(
    not pathlib.Path("/proc/self/stat").exists(), reason="starts are read there"
)
def test_a_killed_process_is_dead_before_its_parent_knows():
    child = subprocess.Popen(
        [sys.executable, "-c", "import time; time.sleep(60)"]
    )
    state = process._state_and_start(child.pid)
    other = dataclasses.replace(
        process.this_process(), pid=child.pid, started=state[1]
    )
    assert process.is_alive(other) is True
    child.send_signal(signal.SIGSTOP)
    assert process.is_alive(other) is True
    child.kill()
    wait_until(lambda: process.is_alive(other) is False)
    child.wait()
    assert process.is_alive(other) is False


def test_a_lock_is_free_again_and_can_be_taken_from_a_process(tmp_path):
    path = tmp_path / "lock"
    one, two = file_lock.FileLock(path), file_lock.FileLock(path)
    if one.acquire() is None:
        pytest.skip("no locks here")
    assert (two.acquire(), one.acquire()) == (False, True)
    two.steal()
    assert two.held and one.acquire() is False
    one.release()
    assert path.exists()  # it was not its own
    two.release()
    assert not path.exists()
    assert one.acquire() is True
    path.unlink()
    assert two.acquire() is True and one.acquire() is False


def test_who_trains_is_found_by_another_program(tmp_path):
    assert not owners.is_trained(tmp_path)
    with Lease(tmp_path, "aa"):
        assert owners.is_trained(tmp_path)
        assert (tmp_path / "lease.lock").exists()
    assert not owners.is_trained(tmp_path)
    crashed(tmp_path, Machine(FAR))
    assert not owners.is_trained(tmp_path)  # not for sure


@pytest.mark.parametrize("earlier", [True, False])
def test_who_writes_into_a_finished_run_hears_that_it_was_taken(
    tmp_path, earlier
):
    if earlier:
        with Lease(tmp_path, "aa"):
            pass
    before = read_owner(tmp_path)
    owners.check_untaken(tmp_path, before)
    with (
        Lease(tmp_path, "aa"),
        pytest.raises(UserError, match="another process has begun to train"),
    ):
        owners.check_untaken(tmp_path, before)
    with pytest.raises(UserError, match="another process"):
        owners.check_untaken(tmp_path, before)


# What a training does to its folder, without a network.
TRAINING = """
import json, pathlib, sys, time
import numpy as np
from smartgrowth import UserError
from smartgrowth.config import Config
from smartgrowth.runs import checkpoint, directory
from smartgrowth.runs.lease import Lease

config = Config(**json.loads(sys.argv[1]))
stage = {"index": 0, "steps": 9, "image_size": 16, "gflops": 1.5}
plan = {
    "hash": f"of seed {config.seed}",
    "gflops": 1.5,
    "stages": [stage],
    "identity": {"seed": config.seed},
}
workdir = pathlib.Path(config.workdir)
lease = Lease(workdir, directory.plan_hash(config, plan), config.take_over)
if config.tensorboard:  # stands for a training that checks nothing
    lease.check = lambda: None
try:
    with lease:
        directory.claim(config, plan)
        found = checkpoint.load(workdir / "checkpoints")
        step = found[1]["step"] if found else 0
        print("begins at", step, flush=True)
        while True:
            step += 1
            lease.check()
            checkpoint.save(
                workdir / "checkpoints",
                {"seed": np.array(config.seed)},
                {"step": step, "plan": plan["hash"]},
                check_owner=lease.check,
            )
            time.sleep(0.01)
except UserError as error:
    sys.exit(f"error: {error}")
"""


@pytest.fixture
def start(tmp_path):
    """Starts a process that saves a checkpoint every few milliseconds."""
    children = []

    def start(**flags) -> subprocess.Popen:
        flags = {
            "workdir": str(tmp_path / "run"),
            "deterministic": True,
        } | flags
        child = subprocess.Popen(
            [sys.executable, "-c", TRAINING, json.dumps(flags)],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        children.append(child)
        return child

    yield start
    for child in children:
        child.kill()
        child.wait()
        child.stdout.close()


def steps(directory: pathlib.Path) -> list[int]:
    found = checkpoint.read_facts(directory / "checkpoints")
    return sorted(facts["step"] for facts in found)


def plans(directory: pathlib.Path) -> set[str]:
    found = checkpoint.read_facts(directory / "checkpoints")
    return {facts["plan"] for facts in found}


def stop(child: subprocess.Popen) -> None:
    """Sends it to sleep, and waits until it does."""
    child.send_signal(signal.SIGSTOP)
    os.waitid(os.P_PID, child.pid, os.WSTOPPED | os.WNOWAIT)


needs_signals = pytest.mark.skipif(
    os.name != "posix", reason="processes are stopped"
)


@needs_signals
def test_beside_a_process_that_trains_another_is_refused(start, tmp_path):
    first = start()
    wait_until(lambda: steps(tmp_path / "run"))
    for flags in ({}, {"seed": 1, "restart": True}):
        other = start(**flags)
        output, _ = other.communicate(timeout=60)
        assert other.returncode == 1
        assert f"is being trained by process {first.pid} on" in output
    assert first.poll() is None
    first.kill()
    first.communicate()
    (last, *_) = steps(tmp_path / "run")[::-1]
    next_one = start()
    wait_until(lambda: max(steps(tmp_path / "run")) > last)
    next_one.send_signal(signal.SIGINT)
    output, _ = next_one.communicate(timeout=60)
    assert output.startswith(f"takes over the run of process {first.pid} on")
    assert f"\nbegins at {last}\n" in output
    assert read_owner(tmp_path / "run").released
    # Which the one after that does not have to mention.
    after = start()
    while not (line := after.stdout.readline()).startswith("begins at"):
        assert "skipping the damaged checkpoint" in line


@needs_signals
@pytest.mark.parametrize("is_checked", [True, False])
def test_a_process_that_slept_while_its_run_was_taken_writes_nothing(
    start, tmp_path, is_checked
):
    """One that does not check, for comparison, spoils the run of the other."""
    directory = tmp_path / "run"
    orphan = start(tensorboard=not is_checked)
    wait_until(lambda: steps(directory))
    stop(orphan)
    new = start(seed=1, restart=True, take_over=True)
    wait_until(lambda: plans(directory) == {"of seed 1"})
    stop(new)
    before = contents(directory)
    orphan.send_signal(signal.SIGCONT)
    if not is_checked:
        wait_until(lambda: contents(directory) != before)
        wait_until(
            lambda: (
                "of seed 0"
                in {
                    f["plan"]
                    for f in checkpoint.read_facts(directory / "checkpoints")
                }
            )
        )
        return
    output, _ = orphan.communicate(timeout=60)
    assert orphan.returncode == 1
    assert f"process {new.pid} on" in output.splitlines()[-1]
    assert "has taken it over; this process stops" in output
    assert contents(directory) == before
    new.send_signal(signal.SIGCONT)
    last = max(steps(directory))
    wait_until(lambda: max(steps(directory)) > last)
