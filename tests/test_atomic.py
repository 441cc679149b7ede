"""Files that are there whole or not at all."""

import os
import pathlib
import signal
import subprocess
import sys
import time

import pytest

from smartgrowth.runtime import atomic
from smartgrowth.runtime.atomic import atomic_path, atomic_write

ROOT = pathlib.Path(__file__).parents[1]


def names(directory) -> list[str]:
    """Hidden ones as well."""
    return sorted(path.name for path in directory.iterdir())


def test_text_is_utf_8(tmp_path):
    with atomic_write(tmp_path / "a.txt") as file:
        file.write("größer\n")
    assert (tmp_path / "a.txt").read_bytes() == "größer\n".encode()
    assert names(tmp_path) == ["a.txt"]


def test_bytes_may_be_written_out_of_order(tmp_path):
    path = tmp_path / "a.bin"
    with atomic_write(path, "wb") as file:
        file.write(b"????\xff\x00")
        file.seek(0)
        file.write(b"head")
    assert path.read_bytes() == b"head\xff\x00"


def test_the_old_content_is_there_until_the_end(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")
    with atomic_write(path) as file:
        file.write("new")
        file.flush()
        assert path.read_text() == "old"
        assert not list(tmp_path.glob("a*"))[1:]  # what is partial is hidden
    assert path.read_text() == "new"
    assert names(tmp_path) == ["a.txt"]


@pytest.mark.parametrize("mode", ["w", "wb"])
@pytest.mark.parametrize("error", [OSError, ValueError, KeyboardInterrupt])
def test_an_interrupted_write_leaves_the_old_content_alone(
    tmp_path, mode, error
):
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(error), atomic_write(path, mode) as file:
        file.write("ne" if mode == "w" else b"ne")
        raise error
    assert path.read_text() == "old"
    assert names(tmp_path) == ["a.txt"]


@pytest.mark.parametrize("function", ["fsync", "replace"])
def test_a_disk_that_fails_at_the_end_leaves_the_old_content(
    tmp_path, monkeypatch, function
):
    path = tmp_path / "a.txt"
    path.write_text("old")

    def fail(*arguments):
        raise OSError(28, "No space left on device")

    owner = atomic.os if function == "fsync" else pathlib.Path
    monkeypatch.setattr(owner, function, fail)
    with pytest.raises(OSError, match="No space"), atomic_write(path) as file:
        file.write("new")
    assert path.read_text() == "old"
    assert names(tmp_path) == ["a.txt"]


def test_the_disk_has_it_before_it_takes_the_place(tmp_path, monkeypatch):
    path, content = tmp_path / "a.txt", []
    path.write_text("old")

    def fsync(descriptor):
        content.append((os.fstat(descriptor).st_size, path.read_text()))

    monkeypatch.setattr(atomic.os, "fsync", fsync)
    with atomic_write(path) as file:
        file.write("newer")
    assert content == [(5, "old")]


def test_a_folder_that_is_not_there_is_an_error(tmp_path):
    with (
        pytest.raises(FileNotFoundError),
        atomic_write(tmp_path / "none" / "a.txt"),
    ):
        pass


def test_a_path_keeps_its_ending(tmp_path):
    path = tmp_path / "final.keras"
    path.write_text("old")
    with atomic_path(path) as partial:
        assert partial.suffix == ".keras"
        assert partial.parent == tmp_path
        partial.write_text("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"
    assert names(tmp_path) == ["final.keras"]


def test_a_path_that_nothing_was_written_to_is_an_error(tmp_path):
    path = tmp_path / "final.keras"
    path.write_text("old")
    with pytest.raises(FileNotFoundError), atomic_path(path):
        pass
    assert path.read_text() == "old"


def test_a_folder_is_filled_before_it_is_there(tmp_path):
    folder = tmp_path / "images"
    with atomic_path(folder) as partial:
        (partial / "cats").mkdir(parents=True)
        (partial / "cats" / "1.png").write_text("1")
        assert not folder.exists()
    assert (folder / "cats" / "1.png").read_text() == "1"
    assert names(tmp_path) == ["images"]


def test_a_folder_that_is_not_filled_is_removed(tmp_path):
    with pytest.raises(ValueError), atomic_path(tmp_path / "images") as partial:
        partial.mkdir()
        (partial / "1.png").write_text("1")
        raise ValueError
    assert names(tmp_path) == []


def test_two_writers_do_not_disturb_each_other(tmp_path):
    """Of one process: two of them differ no more than that."""
    path = tmp_path / "a.txt"
    with atomic_write(path) as one:
        with atomic_write(path) as two:
            one.write("one")
            two.write("two")
        assert path.read_text() == "two"
    assert path.read_text() == "one"


WRITER = """
import pathlib, sys
from smartgrowth.runtime.atomic import atomic_write
for _ in range(40):
    with atomic_write(pathlib.Path(sys.argv[1])) as file:
        for _ in range(20):
            file.write(sys.argv[2] * 1000)
"""


def test_two_processes_write_one_file_and_it_is_always_whole(tmp_path):
    path = tmp_path / "a.txt"
    processes = [
        subprocess.Popen([sys.executable, "-c", WRITER, path, sign], cwd=ROOT)
        for sign in "ab"
    ]
    seen = set()
    while any(process.poll() is None for process in processes):
        if path.exists():
            text = path.read_text()
            assert text in ("a" * 20_000, "b" * 20_000)
            seen.add(text[0])
        time.sleep(0.001)
    assert [process.returncode for process in processes] == [0, 0]
    assert seen
    assert names(tmp_path) == ["a.txt"]


def test_what_a_killed_process_left_can_be_removed(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")
    code = WRITER.replace("file.write(", "print(flush=True), input(), (")
    process = subprocess.Popen(
        [sys.executable, "-c", code, path, "a"],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    process.stdout.readline()
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert len(names(tmp_path)) == 2
    assert path.read_text() == "old"
    atomic.remove_partial(tmp_path)
    assert names(tmp_path) == ["a.txt"]
