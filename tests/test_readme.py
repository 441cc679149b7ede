"""The README shows what is there, and nothing that is not."""

import pathlib
import re

ROOT = pathlib.Path(__file__).parents[1]
TEXT = (ROOT / "README.md").read_text("utf-8")
TREE = TEXT.split("## Files")[1].split("## ")[0]


def test_the_file_tree_has_every_module_and_no_other():
    shown = set(re.findall(r"\w+\.py", TREE))
    folders = [ROOT / "smartgrowth", ROOT / "benchmarks"]
    there = {path.name for folder in folders for path in folder.rglob("*.py")}
    # An __init__ that holds no more than a docstring needs no line.
    assert shown == there


def test_no_place_is_still_to_be_filled():
    assert not re.findall(r"^[A-Z_]{4,}$", TEXT, re.MULTILINE)


def test_every_file_that_is_named_exists():
    named = re.findall(r"configs/[\w/]+\.flags|benchmarks/\w+\.\w+", TEXT)
    assert len(set(named)) > 7
    for name in named:
        assert (ROOT / name).exists(), name


def test_two_commands_do_everything():
    commands = re.findall("^python3 -m venv .*", TEXT, re.MULTILINE)
    assert len(commands) == 2
    assert commands[0].endswith("--flagfile=configs/h3.flags")
    assert commands[1].endswith("-m pytest")
