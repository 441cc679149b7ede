"""Worker processes give what one process gives, or one line that says why."""

import functools
import itertools
import os
import subprocess
import sys

import pytest

from smartgrowth import UserError
from smartgrowth.data import workers

HELPER = """
import os, signal
def pids(items):
    print("printed lines come between no results")
    return [(item, os.getpid()) for item in items]
def die(items, first):
    if os.getpid() != first:
        os.kill(os.getpid(), signal.SIGKILL)
    return items
def fail(items, first):
    if os.getpid() != first:
        raise ValueError("no such item")
    return items
"""


@pytest.fixture
def helper(tmp_path, monkeypatch):
    """A module that workers import too; two of them start at once."""
    (tmp_path / "helper_of_workers.py").write_text(HELPER)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(workers, "PATIENCE", 0)
    monkeypatch.setattr(workers, "count_cores", lambda: 2)
    import helper_of_workers

    yield helper_of_workers
    sys.modules.pop("helper_of_workers")


def test_results_come_in_order_from_workers_of_bounded_memory(helper):
    taken = itertools.count()
    stream = workers.map_in_order(helper.pids, taken)
    seen = set()
    for count in itertools.count():
        item, pid = next(stream)
        assert item == count
        seen.add(pid)
        if len(seen) == 3:
            break
    assert os.getpid() in seen  # while the others were starting
    assert next(taken) - count <= (2 * 2 + 1) * workers.CHUNK
    stream.close()
    for pid in seen - {os.getpid()}:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


def test_all_items_are_answered_at_the_end(helper, monkeypatch):
    count = 3 * workers.CHUNK + 5
    monkeypatch.setattr(workers, "CHUNK", 1)
    found = list(workers.map_in_order(helper.pids, range(count)))
    assert [item for item, _ in found] == list(range(count))
    assert list(workers.map_in_order(helper.pids, [])) == []


def test_heavy_items_go_alone(monkeypatch):
    monkeypatch.setattr(workers, "HEAVY", 10)
    monkeypatch.setattr(workers, "CHUNK", 3)
    parts = list(workers._chunks([1, 2, 3, 4, 9, 12, 5], lambda item: item))
    assert parts == [[1, 2, 3], [4, 9], [12], [5]]


def test_few_items_and_one_core_start_no_process(helper, monkeypatch):
    monkeypatch.setattr(subprocess, "Popen", None)
    monkeypatch.setattr(workers, "PATIENCE", 60)
    assert len(list(workers.map_in_order(helper.pids, range(9)))) == 9
    monkeypatch.setattr(workers, "PATIENCE", 0)
    monkeypatch.setattr(workers, "count_cores", lambda: 1)
    assert len(list(workers.map_in_order(helper.pids, range(99)))) == 99


def bind(function):
    return functools.partial(function, first=os.getpid())


def exhaust(function):
    for _ in workers.map_in_order(function, itertools.count()):
        pass


def test_the_death_of_a_worker_is_one_line(helper):
    with pytest.raises(UserError) as caught:
        exhaust(bind(helper.die))
    assert str(caught.value) == (
        "a process that prepares images ended with status -9; it may have "
        "been killed, or the memory was full: start again"
    )


def test_a_worker_that_cannot_start_says_its_last_line(helper, monkeypatch):
    command = (sys.executable, "-c", "import no_such_module")
    monkeypatch.setattr(workers, "COMMAND", command)
    with pytest.raises(UserError, match="status 1: ModuleNotFoundError") as e:
        exhaust(helper.pids)
    assert "\n" not in str(e.value)


def test_a_machine_without_room_for_a_process_says_so(helper, monkeypatch):
    monkeypatch.setattr(workers, "COMMAND", ("/no/such/python",))
    with pytest.raises(UserError, match="no process can be started to prep"):
        exhaust(helper.pids)


def test_an_error_in_a_worker_is_raised_here(helper):
    with pytest.raises(ValueError, match="no such item"):
        exhaust(bind(helper.fail))
