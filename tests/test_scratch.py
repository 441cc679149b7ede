"""What is on its way lies on the local disk, and not for ever."""

import os
import platform
import subprocess
import sys
import tempfile

import pytest

from smartgrowth.runtime import scratch

KILLED = """
import os, signal
from smartgrowth.runtime.scratch import scratch_folder
with scratch_folder() as folder:
    (folder / "archive").write_text("large")
    print(folder, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture
def local(tmp_path, monkeypatch):
    """A temporary folder of this test's own."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def names(folder) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_a_folder_is_there_while_it_is_used(local):
    with scratch.scratch_folder() as folder:
        assert folder.is_dir() and folder.parent == local
        assert str(os.getpid()) in folder.name
    assert names(local) == set()


@pytest.mark.skipif(os.name != "posix", reason="processes are killed")
def test_what_a_killed_process_left_is_swept(local):
    done = subprocess.run(
        [sys.executable, "-c", KILLED],
        env=os.environ | {"TMPDIR": str(local)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == -9
    assert [str(path) for path in local.iterdir()] == [done.stdout.strip()]
    scratch.sweep()
    assert names(local) == set()


@pytest.mark.skipif(os.name != "posix", reason="processes are asked for")
def test_what_others_use_or_own_is_not_swept(local):
    """Those of living processes, of other machines, of other programs."""
    here = platform.node()
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    prefix, own, living = scratch.PREFIX, os.getpid(), os.getppid()
    swept = {
        f"{prefix}{dead.pid}_{here}_0a_bcd12",
        f"{prefix}{own}_{here}_0a_bcd12",  # of one that had this number
    }
    kept = {
        f"{prefix}{living}_{here}_0a_bcd12",
        f"{prefix}{dead.pid}_other-{here}_0a_bcd12",
        f"{prefix}{dead.pid}_{here}-2_0a_bcd12",
        f"{prefix}notes",
        "smartgrowth_0a_bcd12",
        "tmp0a_bcd12",
    }
    for name in swept | kept:
        (local / name).mkdir()
        (local / name / "archive").write_text("large")
    scratch.sweep()
    assert names(local) == kept
