"""Functions for the cells of the notebooks in colab/, in Colab or elsewhere.

The program runs as a separate process: the notebook does not import Keras,
which would hold the accelerator. Paths are relative to the notebook's folder.
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
# Colab's FAQ: a free notebook runs at most this long, less when idle.
SESSION_HOURS = 12
HEIGHT = 800  # pixels of a page within a notebook


class Stop(UserError):
    """Ends a cell, and with it 'Run all', with a one-line message."""

    def _render_traceback_(self) -> list[str]:
        # IPython shows this instead of a traceback.
        return [f"Stopped: {self}"]


# The form


def local_folder() -> pathlib.Path:
    """Returns the folder on the machine's own disk, and makes it if missing."""
    folder = pathlib.Path(LOCAL).absolute()
    folder.mkdir(exist_ok=True)
    return folder


def find_config(hypothesis: str, dataset: str) -> pathlib.Path:
    """Returns a hypothesis's flagfile, for the dataset if there is one.

    Raises:
      Stop: the hypothesis has no flagfile.
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
    **flags,
) -> pathlib.Path:
    """Writes a form as a flagfile on the local disk, and prints it.

    Args:
      folder: of the run, on Drive.
      *parts: lines that come first.
      further: flags as typed; they come last.
      **flags: by name; those that are None or empty are left out.

    Returns:
      The flagfile's path.
    """
    try:
        typed = shlex.split(further)
    except ValueError as error:
        raise Stop(f"FURTHER_FLAGS is {further!r}: {error}") from None
    if any(re.match(r"--?restart\b(?!=(false|0))", word) for word in typed):
        raise Stop(
            "--restart in FURTHER_FLAGS would delete the run at every 'Run "
            f"all'; choose another RUN_NAME, or delete {folder} on Drive"
        )
    lines = [
        *(line for part in parts for line in part),
        f"--workdir={folder}",
        f"--cache_dir={local_folder()}",
        *(
            f"--{name}={value}"
            for name, value in flags.items()
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
    """Runs the program, and shows its output line by line.

    Raises:
      Stop: with the program's own message.
      KeyboardInterrupt: the cell was stopped; the program has saved first.
    """
    _program(flags)


def _program(flags: Sequence[str]) -> list[str]:
    program = [sys.executable, "-u", "-m", "smartgrowth.main", *flags]
    return stream(program, "the program", os.environ | backend())


def backend() -> dict[str, str]:
    """Returns environment variables for the Keras backend: JAX on a TPU."""
    try:
        importlib.metadata.version("libtpu")
    except importlib.metadata.PackageNotFoundError:
        return {}
    return {"KERAS_BACKEND": "jax"}


def forecast(*flags: str, runs: int = 1) -> None:
    """Prints how long a run will take, and if a Colab session is long enough.

    Args:
      *flags: of the run.
      runs: how many such runs follow one another.
    """
    lines = _program([*flags, "--mode=plan", "--measure"])
    measured = re.search(r"on this machine \(measured: (\d+) s", lines[-1])
    if measured:
        say(session_note(runs * int(measured[1]), runs))


def session_note(seconds: int, runs: int = 1) -> str:
    """Returns a sentence comparing the duration to a free Colab session."""
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
    """Runs a command; prints its lines as they appear, and returns them.

    Args:
      command: program and arguments.
      what: its name, for the message that it was killed.
      environment: all variables of the process.

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
        # A group of its own: a notebook's stop button may interrupt the
        # kernel's whole group, and the program would be stopped twice.
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
    """Returns why a command failed, in one line."""
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
    """Shows a page of the program in a frame in the notebook.

    Raises:
      Stop: there is no such page.
    """
    from IPython import display

    if not page.exists():
        raise Stop(f"there is no {page}; the cells above make it")
    display.display(display.HTML(frame(page.read_text("utf-8"))))
    say(f"{page} opens in any browser, and needs nothing beside it")


def frame(page: str) -> str:
    """Returns HTML that shows a page in a frame.

    There its styles do not affect the notebook. With srcdoc, it is saved in the
    notebook.
    """
    # Or its links to its own parts would lead to the notebook's address.
    page = page.replace("<head>", '<head><base href="about:srcdoc">', 1)
    return (
        f'<div><iframe srcdoc="{html.escape(page, quote=True)}" style="width: '
        f'100%; height: {HEIGHT}px; border: 1px solid #8884"></iframe></div>'
    )
