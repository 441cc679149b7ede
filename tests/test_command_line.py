"""--help is read from top to bottom; a flagfile holds a run's flags alone."""

import dataclasses
import re

import pytest

from smartgrowth import UserError
from smartgrowth.command_line import format_help, from_flag_lines
from smartgrowth.compare.settings import Comparison
from smartgrowth.config import GROUPS, Config

ALL_GROUPS = GROUPS | {"Comparison": Comparison}
FIELDS = (*dataclasses.fields(Config), *dataclasses.fields(Comparison))


@pytest.fixture(scope="module")
def text() -> str:
    return format_help(ALL_GROUPS)


def test_the_groups_come_in_their_order_essentials_first(text):
    headings = re.findall(r"^(\w.*):$", text, re.MULTILINE)
    assert headings == [
        "Essentials",
        "Growth",
        "Curriculum",
        "Model",
        "Training",
        "Augmentation",
        "Evaluation and checkpoints",
        "Machine",
        "Comparison",
    ]


def test_every_flag_is_there_once_and_below_its_group(text):
    parts = re.split(r"^(\w.*):$", text, flags=re.MULTILINE)[1:]
    listed = {
        heading: re.findall(r"^  --(\w+)=", body, re.MULTILINE)
        for heading, body in zip(parts[::2], parts[1::2], strict=True)
    }
    assert listed.pop("Essentials")[:3] == ["flagfile", "mode", "dataset"]
    for heading, names in listed.items():
        fields = dataclasses.fields(ALL_GROUPS[heading])
        assert names == [field.name for field in fields]
    names = re.findall(r"^  --(\w+)=", text, re.MULTILINE)
    assert sorted(names) == sorted(["flagfile", *(f.name for f in FIELDS)])


def test_a_flag_is_shown_with_its_default_and_its_choices(text):
    assert "  --label_smoothing=0.0\n" in text
    assert "  --grow_samples=all\n" in text
    assert "  --restart=false\n" in text
    assert "  --data_dir=\n" in text
    assert "  --optimizer=adamw\n" in text
    words = " ".join(text.split())
    for field in FIELDS:
        assert field.metadata["help"] in words
        if choices := field.metadata["choices"]:
            assert f"One of {', '.join(choices)}." in words


def test_help_has_two_levels_and_fits_a_terminal(text):
    lines = text.splitlines()
    assert max(map(len, lines)) <= 80
    indents = {len(line) - len(line.lstrip()) for line in lines}
    assert indents == {0, 2, 6}


def test_a_run_s_flagfile_holds_no_flags_of_a_comparison():
    with pytest.raises(UserError, match="seeds"):
        from_flag_lines(["--seeds=3"])
