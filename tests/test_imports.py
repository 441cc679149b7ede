"""Imports go one way, and what answers at once imports no TensorFlow."""

import ast
import functools
import graphlib
import json
import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

import smartgrowth

PACKAGE = pathlib.Path(smartgrowth.__file__).parent
# A module imports from the rows above its own, or from its own row. A folder's
# modules stand where the folder does.
ROWS = (
    {"smartgrowth"},
    {"names"},
    {"rendering", "metrics"},
    {"flags", "growth"},
    {"config"},
    {"command_line", "runtime", "models", "notebooks"},
    {"stages", "planning", "boundaries"},
    {"optim", "data", "runs"},
    {"curriculum", "report"},
    {"experiment"},
    {"evaluation", "comparison"},
    {"training"},
    {"explore"},
    {"modes"},
    {"main", "api"},
)
SLOW = {"tensorflow", "keras", "tensorflow_datasets", "keras_cv", "jax"}


@functools.cache
def modules() -> dict[str, pathlib.Path]:
    """Every module of the package, by its full name."""
    found = {}
    for path in PACKAGE.rglob("*.py"):
        parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
        found[".".join(parts).removesuffix(".__init__")] = path
    return found


def row_of(module: str) -> int:
    """The row of a module's first part below the package."""
    part = [*module.split("."), "smartgrowth"][1] if "." in module else module
    (row,) = (index for index, row in enumerate(ROWS) if part in row)
    return row


def statements(tree, lazy: bool):
    """Import statements; lazy: those within functions too."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield node
        elif isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(
            node.test
        ):
            continue
        elif lazy or not isinstance(
            node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda
        ):
            yield from statements(node, lazy)


@functools.cache
def imports(module: str, lazy: bool) -> frozenset[str]:
    """Full names of the modules that a module imports."""
    found = set()
    tree = ast.parse(modules()[module].read_text("utf-8"))
    for node in statements(tree, lazy):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
            continue
        assert not node.level, f"a relative import in {module}"
        for alias in node.names:
            inner = f"{node.module}.{alias.name}"
            found.add(inner if inner in modules() else node.module)
    return frozenset(found)


def inside(module: str, lazy: bool) -> set[str]:
    return {name for name in imports(module, lazy) if name in modules()}


def loaded_with(module: str) -> set[str]:
    """All that importing a module imports, the foreign ones by first name."""
    wanted, seen = [module], set()
    while wanted:
        name = wanted.pop()
        if name in seen:
            continue
        seen.add(name)
        if name in modules():
            parent = name.rpartition(".")[0]
            wanted += [
                *imports(name, lazy=False),
                *([parent] if parent else []),
            ]
    return {name if name in modules() else name.split(".")[0] for name in seen}


def test_the_imports_are_read():
    """What the other tests rest on: that the statements are found."""
    assert "smartgrowth.models.network" in inside(
        "smartgrowth.planning", lazy=False
    )
    assert "smartgrowth.training.train" not in inside(
        "smartgrowth.modes", lazy=False
    )
    assert "smartgrowth.training.train" in inside(
        "smartgrowth.modes", lazy=True
    )
    assert "keras" in loaded_with("smartgrowth.training.callbacks")
    assert "tensorflow" in loaded_with("smartgrowth.evaluation.evaluator")
    assert "keras" in loaded_with("smartgrowth.models.keras_layers")


def test_every_module_has_its_row():
    for module in modules():
        part = module.split(".")[1] if "." in module else module
        rows = [row for row in ROWS if part in row]
        assert len(rows) == 1, f"give {module} a place in ROWS"


@pytest.mark.parametrize("module", sorted(modules()))
def test_imports_go_one_way(module):
    for other in inside(module, lazy=True):
        assert row_of(other) <= row_of(module), f"{module} imports {other}"


def test_no_module_imports_itself_around_corners():
    """Nor lazily: a cycle is a module too many."""
    graph = {module: inside(module, lazy=True) for module in modules()}
    for module, others in graph.items():
        # A folder imports its modules, not they the folder.
        folder = module.rpartition(".")[0]
        assert folder == "smartgrowth" or folder not in others, module
    list(graphlib.TopologicalSorter(graph).static_order())  # raises on one


@pytest.mark.parametrize(
    "module",
    [
        "main",
        "modes",
        "config",
        "growth",
        "experiment",
        "runtime.backend",
        "optim.schedules",
        "optim.rates",
        "models.network",
        "curriculum.choose",
        "curriculum.classical",
        "curriculum.descriptors",
        "curriculum.orders",
        "plan",
        "data.load",
        "data.store",
        "data.sources.folder",
        "data.sources.glyphs",
        "data.sources.tiny_imagenet_files",
        "evaluation.predict_page",
        "runs.checkpoint",
        "runs.directory",
        "runs.reader",
        "rendering.contact_sheet",
        "rendering.figure",
        "rendering.html",
        "explore.write",
        "notebooks.cells",
        "notebooks.colab",
        "report.write",
        "comparison.run",
        "compare.report",
        "compare.runner",
        "training.summary",
    ],
)
def test_what_answers_at_once_imports_nothing_slow(module):
    assert not loaded_with(f"smartgrowth.{module}") & SLOW


@pytest.mark.parametrize("module", sorted(modules()))
def test_a_module_has_at_most_300_lines(module):
    assert len(modules()[module].read_text("utf-8").splitlines()) <= 300


def test_main_is_short():
    text = modules()["smartgrowth.main"].read_text("utf-8")
    assert len(text.splitlines()) < 80


def reads_flags(tree) -> bool:
    """Whether `flags.FLAGS` is there, but as an argument's default."""
    defaults = {
        id(default)
        for node in ast.walk(tree)
        if isinstance(node, ast.arguments)
        for default in node.defaults
    }
    return any(
        isinstance(node, ast.Attribute)
        and ast.unparse(node) == "flags.FLAGS"
        and id(node) not in defaults
        for node in ast.walk(tree)
    )


def test_main_alone_reads_the_flags():
    readers = {
        module
        for module, path in modules().items()
        if reads_flags(ast.parse(path.read_text("utf-8")))
    }
    assert readers == {"smartgrowth.main"}


# As a process

REPORT = """
import atexit, json, pathlib, sys

def write():
    first = {name.partition(".")[0] for name in sys.modules}
    ours = {name for name in sys.modules if name.startswith("smartgrowth")}
    pathlib.Path("modules.json").write_text(json.dumps(sorted(first | ours)))

atexit.register(write)
"""
RUN = """
import runpy
sys.argv = json.loads(sys.argv[1])
runpy.run_module("smartgrowth.main", run_name="__main__", alter_sys=True)
"""


def loaded_by(code: str, folder, *arguments, status: int = 0):
    """Runs Python code; the modules that it had at its end, and its output."""
    done = subprocess.run(
        [sys.executable, "-c", REPORT + code, *arguments],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(PACKAGE.parent)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == status, done.stderr
    found = json.loads((folder / "modules.json").read_text())
    return set(found), done.stdout


def run_main(folder, *flags, status: int = 0):
    arguments = json.dumps(["smartgrowth", *flags])
    return loaded_by(RUN, folder, arguments, status=status)


def test_help_imports_nothing_slow(tmp_path):
    found, output = run_main(tmp_path, "--help", status=1)  # absl's own
    assert "--grow_size" in output
    assert "smartgrowth.config" in found
    assert not found & SLOW


def test_a_plan_is_made_without_anything_slow(tmp_path):
    random = np.random.default_rng(0)
    for split, count in (("train", 6), ("val", 2)):
        for label in ("cat", "dog"):
            folder = tmp_path / "pets" / split / label
            folder.mkdir(parents=True)
            for index in range(count):
                pixels = random.integers(0, 256, (16, 16, 3), np.uint8)
                Image.fromarray(pixels).save(folder / f"{index}.png")
    flags = (
        "--mode=plan",
        "--dataset=folder:pets",
        "--cache_dir=cache",
        "--grow_size=8,16",
        "--stage_steps=5,7",
        "--batch_size=4",
    )
    for already in (False, True):
        found, output = run_main(tmp_path, *flags)
        assert "12 steps, 48 images" in output
        assert "smartgrowth.stages" in found
        assert "smartgrowth.data.store" in found
        assert not found & SLOW
        # The second time it is there, and only opened.
        assert ("images stored" in output) != already


def test_a_mistake_is_told_without_anything_slow(tmp_path):
    found, _ = run_main(tmp_path, "--grow_size=20", status=1)
    assert not found & SLOW


@pytest.mark.parametrize(
    "module", ["report.write", "runs.directory", "comparison.run"]
)
def test_reading_a_run_imports_nothing_slow(tmp_path, module):
    found, _ = loaded_by(f"import smartgrowth.{module}", tmp_path)
    assert f"smartgrowth.{module}" in found
    assert not found & SLOW


def test_the_probe_sees_what_is_slow(tmp_path):
    """The other tests can fail."""
    found, _ = loaded_by("import smartgrowth.training.callbacks", tmp_path)
    assert {"keras", "tensorflow"} <= found
