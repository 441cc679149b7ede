"""The READMEs show what is there, and nothing that is not."""

import pathlib
import re

import pytest

ROOT = pathlib.Path(__file__).parents[1]
README = ROOT / "README.md"
PACKAGE = ROOT / "smartgrowth"
READMES = [
    README,
    *(ROOT / folder / "README.md" for folder in ("benchmarks", "colab")),
    *(ROOT / folder / "README.md" for folder in ("configs", "smartgrowth")),
]
LINK = re.compile(r"\]\(([^)\s]+)\)")


def read(path: pathlib.Path) -> str:
    return path.read_text("utf-8")


def prose(path: pathlib.Path) -> str:
    """A README without its blocks of code."""
    return re.sub(r"^```.*?^```", "", read(path), flags=re.M | re.S)


def anchors(path: pathlib.Path) -> set[str]:
    """The headings of a README as GitHub links to them."""
    headings = re.findall(r"^#+ (.+)$", prose(path), re.MULTILINE)
    return {
        re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
        for heading in headings
    }


def tree() -> set[str]:
    """The files of the package's tree, as paths from its folder."""
    block = read(PACKAGE / "README.md").split("```\nsmartgrowth/\n")[1]
    folders, files = [], set()
    for line in block.split("```")[0].splitlines():
        indent, name = re.match(r"( +)(\S+)", line).groups()
        folders = folders[: len(indent) // 2 - 1]
        if name.endswith("/"):
            folders.append(name)
        else:
            files.add("".join(folders) + name)
    return files


def named_functions() -> list[tuple[str, str]]:
    """(file, function) of the path of one image."""
    path = read(PACKAGE / "README.md").split("## The path of one image")[1]
    pairs, file = [], None
    for name in re.findall(r"`([^`]+)`", path.split("\n## ")[0]):
        if name.endswith(".py"):
            file = name
        elif file and re.fullmatch(r"[a-z]+(_[a-z]+)*", name):
            pairs.append((file, name))
    return pairs


@pytest.mark.parametrize("path", READMES, ids=lambda path: path.parent.name)
def test_every_link_and_image_of_a_readme_leads_somewhere(path):
    links = LINK.findall(prose(path))
    assert links
    for link in links:
        if re.match("https?:", link):
            continue
        name, _, anchor = link.partition("#")
        target = (path.parent / name) if name else path
        assert target.exists(), link
        if anchor:
            page = target / "README.md" if target.is_dir() else target
            assert anchor in anchors(page), link


def test_every_readme_is_linked_from_the_main_one():
    links = set(LINK.findall(prose(README)))
    for path in READMES[1:]:
        assert path.relative_to(ROOT).as_posix() in links


def test_every_readme_of_a_folder_is_checked_here():
    found = [README, *ROOT.glob("[!.]*/README.md")]
    assert sorted(found) == sorted(READMES)


def test_the_tree_has_every_module_of_the_package():
    modules = {
        path.relative_to(PACKAGE).as_posix()
        for path in PACKAGE.rglob("*.py")
        # Those of the folders hold nothing.
        if path.name != "__init__.py" or path.parent == PACKAGE
    }
    assert len(modules) > 90
    assert modules == {name for name in tree() if name.endswith(".py")}


def test_the_path_of_one_image_names_functions_that_exist():
    pairs = named_functions()
    assert len(pairs) > 20
    for file, name in pairs:
        if name in ("train_loss", "train_accuracy"):
            continue  # columns of log.csv
        source = read(PACKAGE / file)
        assert re.search(rf"^ *def {name}\(", source, re.M), f"{file}: {name}"


def test_every_flagfile_has_a_row_and_every_row_a_flagfile():
    rows = re.findall(
        r"^\| `(configs/\S+\.flags)` \| (.+)$",
        read(ROOT / "configs/README.md"),
        re.MULTILINE,
    )
    names = [name for name, _ in rows]
    flagfiles = {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "configs").rglob("*.flags")
    }
    assert sorted(names) == sorted(flagfiles)
    for name, row in rows:
        assert "not yet measured" in row or "%" in row, name


def test_every_script_and_picture_of_the_benchmarks_is_described():
    text = read(ROOT / "benchmarks/README.md")
    for path in (ROOT / "benchmarks").iterdir():
        if path.suffix in (".py", ".png"):
            assert f"benchmarks/{path.name}" in text


def test_every_notebook_is_described():
    text = read(ROOT / "colab/README.md")
    for path in (ROOT / "colab").glob("*.ipynb"):
        assert f"({path.name})" in text


@pytest.mark.parametrize("path", READMES, ids=lambda path: path.parent.name)
def test_no_place_is_still_to_be_filled(path):
    assert not re.findall(r"^[A-Z_]{4,}$", read(path), re.MULTILINE)


@pytest.mark.parametrize("path", READMES, ids=lambda path: path.parent.name)
def test_every_file_that_is_named_exists(path):
    for name in re.findall(
        r"(?:configs|benchmarks|colab|smartgrowth)/[\w/]+\.\w+", read(path)
    ):
        assert (ROOT / name).exists(), name


def test_no_readme_concludes_what_its_p_values_do_not_carry():
    """As in a comparison: at 0.05 and above, no difference was seen."""
    verdicts = r"\b(help(s|ed)|hurts?|best|better|worse|(no )?gain|should)\b"
    checked = 0
    for path in READMES:
        for section in re.split(r"^(?:## |\*\*)", prose(path), flags=re.M):
            for row in section.splitlines():
                values = [float(p) for p in re.findall(r"\bp (0\.\d+)", row)]
                if values and min(values) >= 0.05:
                    assert not re.search(verdicts, row, re.I), row
            values = [float(p) for p in re.findall(r"\bp (0\.\d+)", section)]
            if values and min(values) >= 0.05:
                checked += 1
                assert "no difference seen" in section.lower(), section
                assert not re.search(verdicts, section, re.I), section
    assert checked >= 2


def test_two_commands_do_everything():
    commands = re.findall("^python3 -m venv .*", read(README), re.MULTILINE)
    assert len(commands) == 2
    assert commands[0].endswith("--flagfile=configs/h3.flags")
    assert commands[1].endswith("-m pytest")


def test_the_main_readme_is_short():
    assert len(read(README).splitlines()) <= 220
