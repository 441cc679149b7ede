"""The notebooks in colab/, from the first cell to the last, as Colab runs them.

`google.colab` is a stand-in that notes what it is asked for. The package comes
from a clone of this checkout, installed by the notebook into an environment
that has all else.
"""

import csv
import importlib.metadata
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import sysconfig
import threading
import time
import types
import venv
import zipfile

import nbclient
import nbformat
import numpy as np
import psutil
import pytest
from PIL import Image

from smartgrowth.notebooks import cells, colab

ROOT = pathlib.Path(__file__).parents[1]
NOTEBOOKS = sorted((ROOT / "colab").glob("*.ipynb"))
TINY = "--width=8 --depth=1 --batch_size=16 --precision=float32 --evals=1"
DRIVE = '''"""Stands in for Colab's Drive: a folder, and a list of calls."""

import pathlib

CALLS = pathlib.Path("calls.txt")


def mount(path):
    (pathlib.Path(path) / "MyDrive").mkdir(parents=True, exist_ok=True)
    CALLS.open("a").write("mount\\n")


def flush_and_unmount():
    CALLS.open("a").write("flush_and_unmount\\n")
'''


# The machine


@pytest.fixture(scope="module")
def source(tmp_path_factory) -> str:
    """The address of a repository that holds this checkout as it is now."""
    folder = tmp_path_factory.mktemp("repository") / "smartgrowth"
    hidden = shutil.ignore_patterns("__pycache__", "*.egg-info")
    for name in ("smartgrowth", "configs"):
        shutil.copytree(ROOT / name, folder / name, ignore=hidden)
    for pattern in ("*.toml", "*.cfg", "*.txt", "*.md", "LICENSE"):
        for path in ROOT.glob(pattern):
            shutil.copy(path, folder)
    name = ("-c", "user.name=test", "-c", "user.email=test@localhost")
    for command in (("init", "-q"), ("add", "-A"), ("commit", "-qm", "all")):
        subprocess.run(["git", *name, *command], cwd=folder, check=True)
    return folder.as_uri()


@pytest.fixture(scope="module")
def machine(source, tmp_path_factory):
    """A kernel with all that is required, Colab's module, and not the package.

    Returns the environment in which clients find it.
    """
    folder = tmp_path_factory.mktemp("machine")
    venv.create(folder / "env")
    python = folder / "env/bin/python"
    (site,) = (folder / "env").rglob("site-packages")
    paths = sysconfig.get_paths()
    (site / "rest.pth").write_text(f"{paths['purelib']}\n{paths['platlib']}\n")
    google = site / "google/colab"
    google.mkdir(parents=True)
    (google.parent / "__init__.py").write_text(
        "__path__ = __import__('pkgutil').extend_path(__path__, __name__)\n"
    )
    (google / "__init__.py").write_text("")
    (google / "drive.py").write_text(DRIVE)
    spec = folder / "share/kernels/colab"
    spec.mkdir(parents=True)
    kernel = [str(python), "-m", "ipykernel_launcher", "-f"]
    spec.joinpath("kernel.json").write_text(
        json.dumps(
            {
                "argv": [*kernel, "{connection_file}"],
                "display_name": "Colab",
                "language": "python",
                "env": {
                    "SMARTGROWTH_SOURCE": source,
                    # With what the tests' environment has to build with.
                    "PIP_NO_BUILD_ISOLATION": "0",
                    "IPYTHONDIR": str(folder / "ipython"),
                    "PIP_DISABLE_PIP_VERSION_CHECK": "1",
                    "PYTHONPATH": "",
                    # Which a kernel leaves as it finds it.
                    "MPLBACKEND": "module://matplotlib_inline.backend_inline",
                },
            }
        )
    )
    return {
        "JUPYTER_PATH": str(folder / "share"),
        "JUPYTER_RUNTIME_DIR": str(folder / "runtime"),
        "JUPYTER_PLATFORM_DIRS": "1",
    }


@pytest.fixture(scope="module")
def cache(tmp_path_factory) -> str:
    """Where glyphs are stored, once for all."""
    return str(tmp_path_factory.mktemp("cache"))


@pytest.fixture
def run_all(machine, tmp_path, monkeypatch):
    """Fills in a notebook's form and runs it in a directory of its own."""
    for name, value in machine.items():
        monkeypatch.setenv(name, value)

    def run_all(name: str, **form):
        cells = read(ROOT / f"colab/{name}.ipynb")
        fill_in(cells, form)
        client = nbclient.NotebookClient(
            cells,
            timeout=300,
            kernel_name="colab",
            resources={"metadata": {"path": str(tmp_path)}},
        )
        try:
            client.execute()
        finally:
            nbformat.write(cells, tmp_path / f"{name}-executed.ipynb")
        return cells

    return run_all


def read(path: pathlib.Path):
    return nbformat.read(path, as_version=4)


def fill_in(cells, form: dict) -> None:
    """Sets fields of a notebook's form, as a user would."""
    left = dict(form)
    for cell in cells.cells:
        for field in list(left):
            line = re.compile(rf"^{field} = .*?(  # @param)", re.MULTILINE)
            if line.search(cell.source):
                value = repr(left.pop(field))
                cell.source = line.sub(
                    lambda found, field=field, value=value: (
                        f"{field} = {value}{found[1]}"
                    ),
                    cell.source,
                )
    assert not left, f"no such field: {left}"


def shown(cells) -> str:
    """What all cells printed."""
    return "".join(
        output.text
        for cell in cells.cells
        for output in cell.get("outputs", [])
        if output.output_type == "stream"
    )


def pages(cells) -> list[str]:
    """The HTML that cells show."""
    return [
        output.data["text/html"]
        for cell in cells.cells
        for output in cell.get("outputs", [])
        if "text/html" in output.get("data", {})
    ]


def kill_once(drive: pathlib.Path, name: str) -> threading.Thread:
    """Kills the training of a run as soon as it has saved a checkpoint."""
    folder = drive / "smartgrowth" / name
    argument = f"--flagfile={drive.parents[1]}/smartgrowth-data/{name}.flags"

    def wait_and_kill():
        end = time.monotonic() + 300
        while not list(folder.glob("checkpoints/step_*.json")):
            if time.monotonic() > end:
                return
            time.sleep(0.05)
        for process in psutil.process_iter(["cmdline"]):
            if argument in (process.info["cmdline"] or ()):
                process.send_signal(signal.SIGKILL)

    thread = threading.Thread(target=wait_and_kill, daemon=True)
    thread.start()
    return thread


# Run all


@pytest.mark.slow
def test_training_goes_on_after_a_kill_and_ends_with_its_report(
    run_all, tmp_path, cache
):
    form = {
        "HYPOTHESIS": "h3",
        "RUN_NAME": "mine",
        "FURTHER_FLAGS": f"{TINY} --grow_size=16,24 --stage_steps=6,80 "
        f"--classes=4 --cache_dir='{cache}'",
    }
    drive = tmp_path / "drive/MyDrive"
    killer = kill_once(drive, "mine")
    with pytest.raises(nbclient.exceptions.CellExecutionError) as stopped:
        run_all("train", **form)
    assert "was killed by SIGKILL" in str(stopped.value)
    killer.join()
    assert calls(tmp_path) == ["mount"]  # 'Run all' ended there
    folder = drive / "smartgrowth/mine"
    assert not (folder / "report.html").exists()

    again = run_all("train", **form)
    assert calls(tmp_path) == ["mount", "mount", "flush_and_unmount"]
    text = shown(again)
    assert "resuming at step 6 of 86, stage 2 of 2" in text
    assert "6 steps are done already" in text
    assert re.search(r"^about \d+ \w+ on this machine", text, re.MULTILINE)
    assert "this fits into one" in text
    with (folder / "log.csv").open() as file:
        steps = [int(row["step"]) for row in csv.DictReader(file)]
    assert steps == [6, 86]
    (page,) = pages(again)
    assert "<iframe srcdoc=" in page and "Validation accuracy" in page
    assert (tmp_path / "smartgrowth-data").exists()
    assert not list(drive.rglob("*.npy"))  # no store on Drive


def calls(folder: pathlib.Path) -> list[str]:
    """What was asked of Drive."""
    return (folder / "calls.txt").read_text().split()


@pytest.mark.slow
def test_a_run_of_other_settings_stops_run_all_with_the_difference(
    run_all, tmp_path, cache
):
    folder = tmp_path / "drive/MyDrive/smartgrowth/mine"
    folder.mkdir(parents=True)
    there = {
        "hash": "",
        "stages": [{"index": 0, "steps": 4, "image_size": 16}],
        "identity": {"augment": ["none"]},
    }
    (folder / "plan.json").write_text(json.dumps(there))
    with pytest.raises(nbclient.exceptions.CellExecutionError) as stopped:
        run_all(
            "train",
            RUN_NAME="mine",
            FURTHER_FLAGS=f"{TINY} --grow_size=16 --stage_steps=4 "
            f"--cache_dir={cache}",
        )
    message = str(stopped.value)
    assert f"Stopped: --workdir={folder} holds a run of another" in message
    assert "augment.0: none -> shift" in message
    assert "Traceback" not in message
    executed = read(tmp_path / "train-executed.ipynb")
    last = [cell for cell in executed.cells if cell.get("outputs")][-1]
    assert "cells.forecast" in last.source
    assert [path.name for path in folder.iterdir()] == ["plan.json"]


@pytest.mark.slow
def test_a_comparison_ends_with_its_page(run_all, tmp_path, cache):
    done = run_all(
        "compare",
        ARMS="baseline, h3",
        SEEDS=1,
        RUN_NAME="two",
        FURTHER_FLAGS=f"{TINY} --classes=4 --grow_size=16 --stage_steps=8 "
        f"--cache_dir={cache}",
    )
    text = shown(done)
    assert "comparing baseline, h3: 2 runs" in text
    assert "2 such runs: about" in text
    (page,) = pages(done)
    assert "<iframe srcdoc=" in page and "baseline" in page
    runs = tmp_path / "drive/MyDrive/smartgrowth/two"
    assert len(list(runs.rglob("metrics.json"))) == 2
    assert calls(tmp_path) == ["mount", "flush_and_unmount"]


@pytest.mark.slow
def test_own_images_are_unpacked_and_looked_at(run_all, tmp_path):
    drive = tmp_path / "drive/MyDrive"
    write_zip(drive / "pets.zip", "pets/")
    done = run_all(
        "explore",
        DATA="MyDrive/pets.zip",
        FURTHER_FLAGS=f"{TINY} --grow_size=16 --stage_steps=4",
    )
    (page,) = pages(done)
    assert "What there is to learn" in page and "cat" in page
    assert list((tmp_path / "smartgrowth-data").rglob("cat/0.png"))
    assert not (drive / "pets").exists()
    folder = drive / "smartgrowth/my-images"
    assert [path.name for path in folder.iterdir()] == ["explore.html"]
    assert calls(tmp_path) == ["mount", "flush_and_unmount"]


@pytest.mark.slow
def test_a_network_of_a_cell_is_trained_plotted_and_reported(run_all, tmp_path):
    """In the kernel's own process, which may have imported Keras before."""
    folder = tmp_path / "drive/MyDrive/smartgrowth/mine"
    done = run_all("python", STEPS=2, RUN_NAME="mine")
    text = shown(done)
    assert "__main__:network, " in text
    assert re.search(r"the best of this session: \d+\.\d% at step \d", text)
    results = [
        output.data
        for cell in done.cells
        for output in cell.get("outputs", [])
        if "data" in output
    ]
    assert sum("image/png" in data for data in results) == 1
    texts = [data["text/plain"] for data in results]
    assert any("total: 6 steps" in text for text in texts)
    assert f"Run('{folder}'): finished" in " ".join(texts)
    (page,) = pages(done)
    assert "<iframe srcdoc=" in page and "__main__:network" in page
    assert (folder / "metrics.json").exists()


def test_own_images_are_trained_on_as_any_others():
    """Line by line, what train.ipynb does."""

    def lines(name):
        return [
            line.strip()
            for cell in read(ROOT / f"colab/{name}.ipynb").cells
            if cell.cell_type == "code" and "cells." in cell.source
            for line in cell.source.splitlines()
        ]

    explore = lines("explore")
    assert explore.count("if TRAIN:") == 2
    trained = explore[explore.index("if TRAIN:") :]
    steps = [line for line in trained if line != "if TRAIN:"]
    assert steps == lines("train")[-3:]


def write_zip(path: pathlib.Path, inside: str = "") -> None:
    """A zip of two classes of eight small images each."""
    random = np.random.default_rng(0)
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as archive:
        for label in ("cat", "dog"):
            for index in range(8):
                pixels = random.integers(0, 256, (20, 20, 3), np.uint8)
                with archive.open(f"{inside}{label}/{index}.png", "w") as file:
                    Image.fromarray(pixels).save(file, "png")


# The files


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_stripped_explained_and_badged(path):
    cells = read(path).cells
    for before, cell in zip(cells, cells[1:], strict=False):
        if cell.cell_type == "code":
            assert before.cell_type == "markdown"
            assert cell.execution_count is None
            assert cell.outputs == []
            assert len(cell.source.splitlines()) <= 12
    repository = re.search('^REPOSITORY = "(.*)"', cells[2].source, re.M)[1]
    owner = repository.removeprefix("https://github.com/")
    badge = f"/github/{owner}/blob/main/colab/{path.name})"
    assert badge in cells[0].source


def test_there_are_four_notebooks():
    names = [path.stem for path in NOTEBOOKS]
    assert names == ["compare", "explore", "python", "train"]


# What the cells call

REQUIRED = ["keras>=3.13", "tensorflow>=2.20", "keras-cv", 'ruff; extra=="x"']


def test_an_image_that_has_everything_gets_nothing():
    image = {"keras": "3.13.0", "tensorflow": "2.20.0", "keras-cv": "0.9.0"}
    assert colab.missing(REQUIRED, image) == []


def test_an_image_gets_what_it_lacks_and_keeps_the_rest():
    image = {"keras": "3.13.0", "tensorflow": "2.20.0"}
    assert colab.missing(REQUIRED, image) == ["keras-cv"]
    assert colab.missing(REQUIRED, image | {"keras": "3.10.0"}) == [
        "keras>=3.13",
        "keras-cv",
    ]


def test_a_tpu_gets_tensorflow_for_cpus():
    image = {"keras": "3.13.0", "jax": "0.7.2", "libtpu": "0.0.21"}
    assert colab.missing(REQUIRED, image) == [
        "tensorflow-cpu>=2.20",
        "keras-cv",
    ]
    image |= {"tensorflow-cpu": "2.20.0", "keras-cv": "0.9.0"}
    assert colab.missing(REQUIRED, image) == []


def test_what_is_installed_leaves_the_image_s_own_as_they_are(
    monkeypatch, tmp_path
):
    monkeypatch.chdir(tmp_path)
    asked = []
    monkeypatch.setattr(colab, "stream", lambda *call: asked.append(call[0]))
    lines = ["keras>=3", "no-such-package>=2"]
    monkeypatch.setattr("importlib.metadata.requires", lambda name: lines)
    colab.install_missing()
    (command,) = asked
    assert "no-such-package>=2" in command and "keras>=3" not in command
    kept = pathlib.Path(command[-1].partition("=")[2]).read_text().split()
    keras = importlib.metadata.version("keras")
    assert f"keras=={keras}" in kept


def test_jax_trains_where_there_is_a_tpu(monkeypatch):
    assert cells.backend() == {}
    monkeypatch.setattr("importlib.metadata.version", lambda name: "1")
    assert cells.backend() == {"KERAS_BACKEND": "jax"}


def test_outside_colab_a_local_folder_is_drive(monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(tmp_path)
    drive = colab.mount_drive()
    colab.unmount_drive()
    assert drive == tmp_path / "drive/MyDrive" and drive.is_dir()
    assert "this is not Colab" in capsys.readouterr().out


@pytest.mark.parametrize("inside", ["", "pets/", "train/"])
def test_a_zip_of_images_is_unpacked_once(monkeypatch, tmp_path, inside):
    monkeypatch.chdir(tmp_path)
    write_zip(tmp_path / "pets.zip", inside)
    (flag,) = colab.find_data(tmp_path, "folder", "pets.zip")
    folder = pathlib.Path(flag.removeprefix("--dataset=folder:"))
    classes = folder / "train" if inside == "train/" else folder
    assert (classes / "dog/7.png").exists()
    (classes / "dog/7.png").unlink()
    assert colab.find_data(tmp_path, "folder", "pets.zip") == [flag]
    assert not (classes / "dog/7.png").exists()  # it was there already
    write_zip(tmp_path / "pets.zip", f"{inside}new/")
    assert colab.find_data(tmp_path, "folder", "pets.zip") != [flag]


def test_a_zip_of_a_dataset_comes_to_the_local_disk(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "drive").mkdir()
    write_zip(tmp_path / "drive/t.zip")
    flags = colab.find_data(
        tmp_path / "drive", "tiny_imagenet", "MyDrive/t.zip"
    )
    assert flags[0] == "--dataset=tiny_imagenet"
    copy = pathlib.Path(flags[1].removeprefix("--data_dir="))
    assert copy.read_bytes() == (tmp_path / "drive/t.zip").read_bytes()
    assert copy.is_relative_to(tmp_path / "smartgrowth-data")


@pytest.mark.parametrize(
    ("dataset", "data", "message"),
    [
        ("folder", "", "DATA is empty"),
        ("glyphs", "MyDrive/no.zip", "DATA is 'MyDrive/no.zip', but there is"),
        ("folder", "broken.zip", "broken.zip cannot be read"),
        ("folder", "large.zip", r"large.zip cannot be read \(it unpacks to"),
    ],
)
def test_data_that_cannot_be_used_is_named(
    monkeypatch, tmp_path, dataset, data, message
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "broken.zip").write_text("404")
    write_zip(tmp_path / "large.zip")
    full = types.SimpleNamespace(free=1000)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: full)
    with pytest.raises(cells.Stop, match=message):
        colab.find_data(tmp_path, dataset, data)


def test_a_run_s_name_is_one_folder(tmp_path):
    assert colab.run_folder(tmp_path, "a b") == tmp_path / "smartgrowth/a b"
    for name in ("", ".", "..", "a/b", "/a"):
        with pytest.raises(cells.Stop, match="RUN_NAME"):
            colab.run_folder(tmp_path, name)


def test_a_form_becomes_a_flagfile_that_what_is_typed_may_overrule(
    monkeypatch, tmp_path, capsys
):
    monkeypatch.chdir(tmp_path)
    path = cells.write_flags(
        tmp_path / "mine",
        ["--dataset=glyphs"],
        further="--seed=2 --classes='a b,c'",
        seed=1,
        budget_gflops="",
    )
    lines = path.read_text().splitlines()
    assert lines[0] == "--dataset=glyphs"
    assert lines[-3:] == ["--seed=1", "--seed=2", "--classes=a b,c"]
    assert "budget_gflops" not in path.read_text()
    assert capsys.readouterr().out == path.read_text()
    with pytest.raises(cells.Stop, match="FURTHER_FLAGS"):
        cells.write_flags(tmp_path / "mine", further="--classes='a")
    for further in ("--restart", "--lr=1 --restart=true"):
        with pytest.raises(cells.Stop, match="at every 'Run all'"):
            cells.write_flags(tmp_path / "mine", further=further)
    cells.write_flags(tmp_path / "mine", further="--restart=false")


def test_a_dataset_s_own_flagfile_goes_before_the_common_one(
    monkeypatch, tmp_path
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / cells.SOURCE).symlink_to(ROOT)
    common = cells.find_config("h3", "glyphs")
    assert common.relative_to(tmp_path / cells.SOURCE).parts == (
        "configs",
        "h3.flags",
    )
    own = cells.find_config("h3", "cifar10")
    assert own.parent.name == "cifar10"
    with pytest.raises(cells.Stop, match="h1, h123, h1_auto, h2, h3"):
        cells.find_config("h4", "glyphs")


def test_a_killed_command_says_so():
    code = "import os; os.kill(os.getpid(), 9)"
    with pytest.raises(cells.Stop, match="^it was killed by SIGKILL"):
        cells.stream([sys.executable, "-c", code], "it", os.environ)


def test_a_failed_command_gives_its_last_error(capfd):
    code = "print('step 1'); print('error: no room'); exit(3)"
    with pytest.raises(cells.Stop, match="^no room$"):
        cells.stream([sys.executable, "-c", code], "it", os.environ)
    with pytest.raises(cells.Stop, match="exit status 3"):
        cells.stream([sys.executable, "-c", "exit(3)"], "it", os.environ)
    assert "step 1" in capfd.readouterr().out


STOPPED = """
import os, sys
from smartgrowth.notebooks import cells

child = '''
import time
import types
try:
    print("training", flush=True)
    time.sleep(60)
except KeyboardInterrupt:
    print("saved", flush=True)
    raise SystemExit(130)
'''
try:
    cells.stream([sys.executable, "-c", child], "it", os.environ)
except KeyboardInterrupt:
    print("the cell stopped", flush=True)
"""


def test_the_stop_button_lets_the_program_save_first():
    with subprocess.Popen(
        [sys.executable, "-c", STOPPED],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    ) as cell:
        assert cell.stdout.readline() == "training\n"
        cell.send_signal(signal.SIGINT)
        assert cell.stdout.read() == "saved\nthe cell stopped\n"


def test_long_runs_take_several_sessions():
    assert "this fits into one" in cells.session_note(12 * 3600)
    note = cells.session_note(13 * 3600, runs=5)
    assert "5 such runs: about 13 h 0 min" in note
    assert "this takes 2 or more" in note
