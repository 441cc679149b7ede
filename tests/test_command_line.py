"""--help is read from top to bottom; a flagfile holds a run's flags alone."""

import dataclasses
import re

import pytest

from smartgrowth import UserError
from smartgrowth.command_line import (
    expand_flagfiles,
    format_help,
    from_flag_lines,
)
from smartgrowth.comparison.settings import Comparison
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


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "  \n"])
def test_a_flagfile_may_come_from_any_editor(tmp_path, encoding, end):
    path = tmp_path / "a.flags"
    lines = ["--dataset=folder:Bäume", "", "# größer", "--width=16", ""]
    path.write_bytes(end.join(lines).encode(encoding))
    config = from_flag_lines([f"--flagfile={path}", "--depth=3"])
    assert (config.dataset, config.width) == ("folder:Bäume", 16)
    assert config.depth == 3


def test_a_flagfile_is_found_beside_the_one_that_names_it(
    tmp_path, monkeypatch
):
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "a.flags").write_text("--flagfile=b.flags\n--depth=3\n")
    (tmp_path / "sub" / "b.flags").write_text("--width=16\n")
    monkeypatch.chdir(tmp_path)
    expected = ["main", "--width=16", "--depth=3", "--lr=1", "--", "--flagfile"]
    rest = expected[3:]
    for given in (["--flagfile=sub/a.flags"], ["--flagfile", "sub/a.flags"]):
        assert expand_flagfiles(["main", *given, *rest]) == expected
    # From the working directory first, as absl does.
    (tmp_path / "b.flags").write_text("--width=24\n")
    assert "--width=24" in expand_flagfiles(["main", "--flagfile=sub/a.flags"])


@pytest.mark.parametrize(
    ("content", "part"),
    [
        (b"\xff\xfe-\0-", "cannot be read"),
        (b"--dataset=folder:a\0b", "cannot be read"),
        (b"--flagfile=a.flags", "names itself"),
        (b"--flagfile=none.flags", "none.flags cannot be read"),
        (b'--dataset="folder:my images"', "leave out the quotes"),
        (b"--lr='0.1'", "leave out the quotes"),
        (b'"--lr=0.1"', "leave out the quotes"),
        (b"--flagfile=~nobody42/a", "no home folder is known for ~nobody42"),
    ],
)
def test_a_flagfile_that_cannot_be_read_is_named(tmp_path, content, part):
    path = tmp_path / "a.flags"
    path.write_bytes(content)
    with pytest.raises(UserError, match=part) as error:
        from_flag_lines([f"--flagfile={path}"])
    assert "--flagfile=" in str(error.value)
    assert "\n" not in str(error.value)


def test_quotes_around_an_entry_with_a_comma_stay(tmp_path):
    path = tmp_path / "a.flags"
    path.write_text('--classes="a, b",c\n')
    config = from_flag_lines([f"--flagfile={path}"])
    assert config.classes == ("a, b", "c")


@pytest.mark.parametrize(
    "line",
    [
        "--workdir=~nobody42/run",
        "--dataset=folder:~nobody42/images",
        "--sample_order=hardest:~nobody42/run",
        "--replay_hard=~nobody42/run:0.5",
    ],
)
def test_a_home_that_is_not_known_is_named(line):
    with pytest.raises(UserError, match="no home folder .* ~nobody42; write"):
        from_flag_lines([line])


def test_a_run_s_flagfile_holds_no_flags_of_a_comparison():
    with pytest.raises(UserError, match="seeds"):
        from_flag_lines(["--seeds=3"])
