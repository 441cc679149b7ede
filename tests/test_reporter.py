"""What a person is told: how often, where, and by which process."""

import io
import os
import pathlib
import subprocess
import sys

import pytest

from smartgrowth.runtime import reporter
from smartgrowth.runtime.reporter import Reporter

ROOT = pathlib.Path(__file__).parents[1]


class Clock:
    """Seconds that pass when a test says so."""

    def __init__(self):
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def terminal(monkeypatch) -> Terminal:
    """Of 20 columns."""
    monkeypatch.setattr(
        reporter.shutil,
        "get_terminal_size",
        lambda: os.terminal_size((20, 24)),
    )
    return Terminal()


def never() -> str:
    raise AssertionError("was computed, though not due")


def test_a_line_is_written_whole_and_at_once():
    class Stream(io.StringIO):
        flushed = ""

        def flush(self):
            self.flushed = self.getvalue()

    stream = Stream()
    Reporter(stream).say("one")
    Reporter(stream).say()
    assert stream.flushed == "one\n\n"


def test_an_interrupted_line_silences_no_later_one():
    class Interrupted(io.StringIO):
        def write(self, text):
            super().write(text)
            if text == "one\n":
                raise KeyboardInterrupt

    stream = Interrupted()
    heard = Reporter(stream)
    with pytest.raises(KeyboardInterrupt):
        heard.say("one")
    heard.say("two")
    assert stream.getvalue() == "one\ntwo\n"


def test_what_stdout_is_at_the_call_is_written_to(capsys, monkeypatch):
    reporter.say("here")
    assert capsys.readouterr().out == "here\n"
    monkeypatch.setattr(sys, "stdout", io.StringIO())
    reporter.say("there")
    assert sys.stdout.getvalue() == "there\n"
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("seconds", [10.0, 60.0])
def test_progress_in_a_file_is_a_line_now_and_then(clock, seconds):
    stream = io.StringIO()
    made = Reporter(stream, other_seconds=seconds, clock=clock)
    for step in range(int(4 * seconds)):  # seconds apart
        made.progress(f"step {step}")
        clock.now += 1
    lines = stream.getvalue().splitlines()
    assert lines == [f"step {round(i * seconds)}" for i in (1, 2, 3)]


def test_progress_waits_after_a_line_too(clock):
    stream = io.StringIO()
    made = Reporter(stream, clock=clock)
    clock.now += 9
    made.say("begins")
    clock.now += 9
    made.progress("too early")
    clock.now += 1
    made.progress("in time")
    assert stream.getvalue() == "begins\nin time\n"


def test_progress_is_computed_only_when_due(clock):
    stream = io.StringIO()
    made = Reporter(stream, clock=clock)
    clock.now += 9.9
    assert not made.due()
    made.progress(never)
    clock.now += 0.1
    assert made.due()
    made.progress(lambda: "now")
    assert stream.getvalue() == "now\n"
    assert not made.due()


def test_progress_on_a_terminal_is_written_over(clock, terminal):
    made = Reporter(terminal, clock=clock)
    made.progress(never)
    for text in ("first", "second"):
        clock.now += 0.5
        made.progress(text)
    assert terminal.getvalue() == "first\r\033[Ksecond"
    made.say("done")
    made.say("more")
    assert terminal.getvalue() == "first\r\033[Ksecond\r\033[Kdone\nmore\n"


def test_progress_is_cut_to_the_terminal(clock, terminal):
    made = Reporter(terminal, clock=clock)
    clock.now += 1
    made.progress("x" * 50)
    assert terminal.getvalue() == "x" * 19
    made.clear()
    made.clear()
    assert terminal.getvalue() == "x" * 19 + "\r\033[K"
    made.say("y" * 50)  # a line may wrap
    assert terminal.getvalue().endswith("\r\033[K" + "y" * 50 + "\n")


def test_progress_in_a_file_is_not_cut(clock):
    stream = io.StringIO()
    made = Reporter(stream, clock=clock)
    clock.now += 10
    made.progress("x" * 5000)
    assert stream.getvalue() == "x" * 5000 + "\n"


def test_a_countdown_says_how_much_and_how_long(clock):
    stream = io.StringIO()
    count = Reporter(stream, clock=clock).countdown("described", 2000)
    count(0)
    for done in (500, 1000, 1500, 2000):
        clock.now += 45
        count(done)
    assert stream.getvalue().splitlines() == [
        "  described 500 of 2,000, left: 2 min 15 s",
        "  described 1,000 of 2,000, left: 1 min 30 s",
        "  described 1,500 of 2,000, left: 45.0 s",
    ]


def test_a_muted_process_says_nothing_and_computes_nothing(
    clock, capsys, monkeypatch
):
    made = Reporter(clock=clock)
    monkeypatch.setattr(reporter, "REPORTER", made)
    reporter.mute()
    clock.now += 1000
    made.say("a line")
    made.progress(never)
    assert not made.due()
    count = made.countdown("described", 10)
    clock.now += 1000
    count(5)
    assert capsys.readouterr().out == ""


def test_muting_reaches_every_say():
    """`say` is taken from the module before anybody is muted."""
    code = (
        "from smartgrowth.runtime.reporter import mute, say\n"
        "say('before'); mute(); say('after'); print('a print')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "before\na print\n"
