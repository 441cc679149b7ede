"""What the cells of the notebooks in colab/ call, wherever they run.

The program is a process of its own: the notebook imports no Keras, which would
hold the accelerator. Paths are relative to where the notebook runs.
"""

import html
import importlib.metadata
import os
import pathlib
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Sequence

from smartgrowth import UserError
from smartgrowth.rendering.text import about
from smartgrowth.runtime.reporter import say

SOURCE = "smartgrowth-source"  # the clone that the first cell makes
LOCAL = "smartgrowth-data"  # on the machine's own disk: images, stores, flags
# Colab's FAQ: a free notebook runs at most that long, less when idle.
SESSION_HOURS = 12
HEIGHT = 800  # pixels of a page within a notebook


class Stop(UserError):
    """Ends a cell, and with it 'Run all', with one line for its user."""

    def _render_traceback_(self) -> list[str]:
        # What IPython shows in place of a traceback.
        return [f"Stopped: {self}"]


# The form


def local_folder() -> pathlib.Path:
    """Returns the folder on the machine's own disk, made where missing."""
    folder = pathlib.Path(LOCAL).absolute()
    folder.mkdir(exist_ok=True)
    return folder


def find_config(hypothesis: str, dataset: str) -> pathlib.Path:
    """Returns a hypothesis' flagfile, the one for the dataset if there is one.

    Raises:
      Stop: there is none.
    """
    folder = pathlib.Path(SOURCE).absolute() / "configs"
    for path in (folder / dataset, folder):
        if (path / f"{hypothesis}.flags").exists():
            return path / f"{hypothesis}.flags"
    known = ", ".join(sorted(path.stem for path in folder.glob("*.flags")))
    raise Stop(f"there is no hypothesis {hypothesis!r}; known: {known}")


def write_flags(
    folder: pathlib.Path,
    *parts: Sequence[str],
    further: str = "",
    **settings,
) -> pathlib.Path:
    """Writes a form as a flagfile on the local disk; shows and returns it.

    Args:
      folder: of the run, on Drive.
      parts: lines that go before. further: flags as typed, which go last.
      settings: flags by name; those that are None or empty are left out.
    """
    try:
        typed = shlex.split(further)
    except ValueError as error:
        raise Stop(f"FURTHER_FLAGS is {further!r}: {error}") from None
    lines = [
        *(line for part in parts for line in part),
        f"--workdir={folder}",
        f"--cache_dir={local_folder()}",
        *(
            f"--{name}={value}"
            for name, value in settings.items()
            if value not in (None, "")
        ),
        *typed,
    ]
    path = local_folder() / f"{folder.name}.flags"
    path.write_text("\n".join(lines) + "\n", "utf-8")
    say("\n".join(lines))
    return path


# The program


def run(*flags: str) -> None:
    """Runs the program; shows what it prints, line by line.

    Raises:
      Stop: with the program's own message.
      KeyboardInterrupt: the cell was stopped; the program has saved first.
    """
    _program(flags)


def _program(flags: Sequence[str]) -> list[str]:
    program = [sys.executable, "-u", "-m", "smartgrowth.main", *flags]
    return stream(program, "the program", os.environ | backend())


def backend() -> dict[str, str]:
    """Returns the variables that choose the Keras backend: on a TPU, JAX."""
    try:
        importlib.metadata.version("libtpu")
    except importlib.metadata.PackageNotFoundError:
        return {}
    return {"KERAS_BACKEND": "jax"}


def forecast(*flags: str, runs: int = 1) -> None:
    """Says how long a run will take, and whether a Colab session suffices.

    runs: that many, one after another, each as long as this one.
    """
    lines = _program([*flags, "--mode=plan", "--measure"])
    measured = re.search(r"on this machine \(measured: (\d+) s", lines[-1])
    if measured:
        say(session_note(runs * int(measured[1]), runs))


def session_note(seconds: int, runs: int = 1) -> str:
    """Returns what the duration means for a free session in Colab."""
    sessions = -(-seconds // (SESSION_HOURS * 3600))
    text = f"{runs} such runs: {about(seconds)}. " if runs > 1 else ""
    text += (
        f"A free Colab session usually lasts up to {SESSION_HOURS} hours, an "
        "idle one less: "
    )
    if sessions <= 1:
        return f"{text}this fits into one."
    return (
        f"{text}this takes {sessions} or more. Run all cells again in the "
        "next one, and it goes on where it stopped."
    )


def stream(command: Sequence[str], what: str, environment) -> list[str]:
    """Runs a command; prints its lines as they come, and returns them.

    what: its name, for the message that it was killed.

    Raises:
      Stop: it failed.
    """
    lines = []
    with subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        encoding="utf-8",
        errors="replace",
        env=environment,
        # A group of its own: a notebook's stop button may reach all of the
        # kernel's, and the program would be asked to stop twice.
        process_group=0,
    ) as process:
        try:
            _print_all(process.stdout, lines)
        except KeyboardInterrupt:
            process.send_signal(signal.SIGINT)
            _print_all(process.stdout, lines)  # while it saves
            raise
    if process.returncode:
        raise Stop(_reason(lines, process.returncode, what))
    return lines


def _print_all(stream, lines: list[str]) -> None:
    for line in stream:
        lines.append(line.rstrip("\n"))
        say(lines[-1])


def _reason(lines: Sequence[str], status: int, what: str) -> str:
    """Why a command failed, in a line."""
    if status < 0:
        return (
            f"{what} was killed by {signal.Signals(-status).name}, for want "
            "of memory perhaps; run all cells again to go on"
        )
    said = [line for line in lines if line.strip()] or [f"{what} said nothing"]
    for line in reversed(said):
        for start in ("error: ", "ERROR: ", "FATAL "):
            if line.startswith(start):
                return line.removeprefix(start)
    return f"{said[-1]} (exit status {status})"


# Pages


def show(page: pathlib.Path) -> None:
    """Shows a page of the program in the notebook, in a frame of its own.

    Raises:
      Stop: there is no such page.
    """
    from IPython import display

    if not page.exists():
        raise Stop(f"there is no {page}; the cells above make it")
    text = html.escape(page.read_text("utf-8"), quote=True)
    # srcdoc: a frame keeps the page's look to itself, and what is shown is
    # kept with the notebook.
    display.display(
        display.HTML(
            f'<div><iframe srcdoc="{text}" style="width: 100%; height: '
            f'{HEIGHT}px; border: 1px solid #8884"></iframe></div>'
        )
    )
    say(f"{page} opens in any browser, and needs nothing beside it")
