"""What surrounds the program changes no figure, and stops it in one line."""

import io
import os
import pathlib
import subprocess
import sys

import pytest

from smartgrowth import UserError
from smartgrowth.rendering.figure import render
from smartgrowth.runtime import surroundings


@pytest.fixture
def settle(monkeypatch):
    """Settles the surroundings that a test makes; those of others stay."""

    def settle(**variables):
        for name in (*surroundings.OVERRULED, *surroundings.COMPILER_FLAGS):
            monkeypatch.delenv(name, raising=False)
        # Noted by monkeypatch, which puts them back.
        for name in ("KERAS_HOME", "KERAS_BACKEND", "MPLBACKEND"):
            monkeypatch.setenv(name, "")
        monkeypatch.setenv("MPLCONFIGDIR", "kept")
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        surroundings.settle()

    return settle


def test_keras_starts_as_it_comes(settle, capsys):
    settle(KERAS_HOME="mine", KERAS_MAX_STEPS_PER_EPOCH="1", MPLBACKEND="qt")
    assert os.environ["KERAS_BACKEND"] == "tensorflow"
    assert not (pathlib.Path(os.environ["KERAS_HOME"]) / "keras.json").exists()
    assert "KERAS_MAX_STEPS_PER_EPOCH" not in os.environ
    assert os.environ["MPLBACKEND"] == "agg"
    output = capsys.readouterr().out
    assert output.startswith("warning: KERAS_MAX_STEPS_PER_EPOCH is ignored")


def test_flags_of_the_compiler_are_told(settle, capsys):
    """It may end the process at one that it does not know."""
    settle(XLA_FLAGS="--xla_foo")
    assert "XLA_FLAGS=--xla_foo is set" in capsys.readouterr().out


def test_a_backend_that_trains_here_is_kept(settle):
    settle(KERAS_BACKEND="jax")
    assert os.environ["KERAS_BACKEND"] == "jax"


@pytest.mark.parametrize("backend", ["torch", "numpy", "TensorFlow"])
def test_another_backend_is_named(settle, backend):
    with pytest.raises(UserError, match=f"KERAS_BACKEND={backend}: must be"):
        settle(KERAS_BACKEND=backend)


def test_a_backend_that_is_not_installed_is_named(settle, monkeypatch):
    monkeypatch.setattr(
        surroundings.importlib.util, "find_spec", lambda _: None
    )
    with pytest.raises(
        UserError, match="jax is not installed; pip install jax"
    ):
        settle(KERAS_BACKEND="jax")


def test_a_character_that_the_locale_lacks_is_replaced(settle, monkeypatch):
    stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", stream)
    settle()
    print("12 \u00b1 3")
    stream.flush()
    assert stream.buffer.getvalue() == b"12 ? 3\n"


def test_matplotlib_has_a_folder_without_a_home(settle, monkeypatch):
    def home():
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(pathlib.Path, "home", home)
    registered = []
    monkeypatch.setattr(
        surroundings.atexit,
        "register",
        lambda *call, **options: registered.append(call),
    )
    settle()
    assert os.environ["MPLCONFIGDIR"] == "kept"
    monkeypatch.delenv("MPLCONFIGDIR")
    surroundings._settle_home()
    [(remove, folder)] = registered
    assert os.environ["MPLCONFIGDIR"] == folder
    remove(folder)
    assert not pathlib.Path(folder).exists()


def test_a_figure_looks_the_same_whatever_the_user_s_own_look_like():
    import matplotlib

    def draw(figure):
        figure.subplots().plot([1, 2, 0])
        return "a line"

    expected, _ = render(draw, "light")
    with matplotlib.rc_context({"lines.linewidth": 9, "axes.grid": True}):
        assert render(draw, "light")[0] == expected
        assert matplotlib.rcParams["lines.linewidth"] == 9


def test_keras_takes_nothing_of_the_user_s_keras_json(tmp_path):
    """As a process: Keras reads the file when it is imported.

    A module of the working directory does not pass for Python's own either.
    """
    (tmp_path / "keras.json").write_text(
        '{"floatx": "float16", "epsilon": 0.5, "backend": "torch", '
        '"image_data_format": "channels_first", "max_epochs": 1}'
    )
    (tmp_path / "random.py").write_text("raise SystemExit('shadowed')")
    site = tmp_path / "site"
    site.mkdir()
    (site / "sitecustomize.py").write_text(
        "import atexit, sys\n"
        "def tell():\n"
        "    config = sys.modules['keras'].config\n"
        "    print(config.backend(), config.floatx(), config.epsilon(),\n"
        "          config.image_data_format())\n"
        "atexit.register(tell)\n"
    )
    done = subprocess.run(
        [
            *(sys.executable, "-m", "smartgrowth.main", "--mode=predict"),
            *("--images=none.png", f"--workdir={tmp_path}"),
        ],
        env={k: v for k, v in os.environ.items() if k != "KERAS_BACKEND"}
        | {
            "KERAS_HOME": str(tmp_path),
            "PYTHONPATH": f"{pathlib.Path(__file__).parents[1]}:{site}",
        },
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.stdout == "tensorflow float32 1e-07 channels_last\n", done
    assert done.stderr == (
        f"error: --workdir={tmp_path} holds no run; train one there first\n"
    )
