"""Any name that a file system takes survives to the end."""

import csv
import io
import os
import pathlib
import re
import shutil
import sys
import types
import unicodedata

import numpy as np
import pytest
from conftest import make_config
from html_page import Page
from PIL import Image

from smartgrowth import UserError, command_line, names
from smartgrowth.comparison import plots
from smartgrowth.comparison import run as compare
from smartgrowth.comparison.settings import Comparison
from smartgrowth.curriculum import choose
from smartgrowth.data import class_names, load, user_csv
from smartgrowth.data.sources import folder
from smartgrowth.evaluation import evaluate_run, predict
from smartgrowth.experiment import make_experiment
from smartgrowth.explore import pictures, write
from smartgrowth.rendering import contact_sheet, figure, html
from smartgrowth.runs import (
    directory,
    files,
    finished,
    parse,
    predictions,
    reader,
)
from smartgrowth.runtime.reporter import Reporter
from smartgrowth.training import lr_curve
from smartgrowth.training.train import train

BYTES = b"\xbf\xcd\xce".decode("utf-8", "surrogateescape")
COMPOSED, DECOMPOSED = "caf\u00e9", "cafe\u0301"
# As the file system has it -> as text.
NASTY = {
    "price_$10_$20": "price_$10_$20",
    "$": "$",
    "_hidden": "_hidden",
    BYTES: r"\udcbf\udccd\udcce",
    "a\nb\tc": r"a\nb\tc",
    r"a\nb\tc": r"a\\nb\\tc",
    "a\\": "a\\",
    "a\\\n": r"a\\\n",
    r"C:\data": r"C:\data",
    "\x1b[31mred\x9b": r"\x1b[31mred\x9b",
    "line\u2028\x85": r"line\u2028\x85",
    "evil\u202egnp": r"evil\u202egnp",
    "\ud800": r"\ud800",  # half a character, as Windows takes it
    ' lead, "quoted" ': ' lead, "quoted" ',
    "<b>&amp;</b>": "<b>&amp;</b>",
    "=1+1": "=1+1",
    "'=1+1": "'=1+1",
    "-x": "-x",
    "@": "@",
    "-0.5": "-0.5",
    "x" * 250: "x" * 250,
    "שלום": "שלום",
    "😀": "😀",
    COMPOSED: COMPOSED,
    DECOMPOSED: DECOMPOSED,
}
CLEAN = tuple(NASTY.values())


# Coming in


@pytest.mark.parametrize("name", NASTY)
def test_a_name_becomes_a_line_of_text(name):
    assert names.clean(name) == NASTY[name]
    assert len(NASTY[name].encode().decode().splitlines()) == 1


def test_different_names_stay_different():
    random = np.random.default_rng(0)
    letters = ["\\", "n", "\n", "x", "0", "a", "\udc0a", "\udcff", "u"]
    made = {"".join(random.choice(letters, 4)) for _ in range(3000)}
    assert len({names.clean(name) for name in made}) == len(made)


def test_a_name_is_the_same_under_any_locale():
    read_byte_by_byte = COMPOSED.encode().decode("ascii", "surrogateescape")
    assert names.clean(read_byte_by_byte) == COMPOSED
    assert names.printable(read_byte_by_byte) == COMPOSED


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        (COMPOSED, DECOMPOSED),
        (BYTES, NASTY[BYTES]),
        (NASTY[BYTES], NASTY[BYTES]),
        ("a\nb\tc", r"a\nb\tc"),
        (r"a\nb\tc", r"a\nb\tc"),
    ],
)
def test_a_class_is_found_as_typed_as_shown_and_as_on_disk(wanted, found):
    known = ["rook", DECOMPOSED, NASTY[BYTES], r"a\nb\tc"]
    assert class_names.find_classes(wanted, known) == [known.index(found)]


def test_equal_names_are_one_class_in_both_splits(tmp_path):
    inside = [f"train/{COMPOSED}", f"train/{BYTES}", f"val/{DECOMPOSED}"]
    make_images(tmp_path, inside)
    source = folder.load_folder(str(tmp_path), f"folder:{tmp_path}")
    assert source.class_names == (NASTY[BYTES], COMPOSED)
    labels = [example.label for example in source.examples()]
    assert labels == [0] * 4 + [1] * 4 + [1] * 4


def test_a_comma_in_a_class_name_is_explained():
    known = ["Corn,_sweet", "Pepper,_bell", "Tomato"]
    with pytest.raises(UserError, match="double quotes") as caught:
        class_names.choose_classes(["Pepper", "_bell", "Tomato"], known)
    entry = re.search("--classes='(.*),...'", str(caught.value))[1]
    assert next(csv.reader([f"{entry},Tomato"])) == ["Pepper,_bell", "Tomato"]
    with pytest.raises(UserError) as caught:
        class_names.choose_classes(["Potato"], ["Pepper", "Tomato"])
    assert "quotes" not in str(caught.value)


# Tables


@pytest.mark.parametrize("text", [*CLEAN, "''@", "\t=1", " ", "'", "'a"])
def test_a_cell_gives_its_text_back_and_is_no_formula(text):
    cell = names.to_cell(text)
    assert names.from_cell(cell) == text
    assert not re.match(r"\s*[=+\-@]", cell) or re.fullmatch(r"-[\d.]+", cell)


@pytest.mark.parametrize("number", ["-0.5", "+3", "-1e-05", "-.5"])
def test_a_number_stays_a_number(number):
    assert names.to_cell(number) == number


def test_a_table_is_read_back_exactly(tmp_path):
    rows = [{"image": f"{n}/0.png", "class": n, "gap": -0.5} for n in CLEAN]
    columns = ("image", "class", "gap")
    path = tmp_path / "hard_train.csv"
    files.write_csv(path, columns, rows)
    read = parse.read_records(path, columns)
    assert [row["class"] for row in read] == list(CLEAN)
    assert {row["gap"] for row in read} == {"-0.5"}
    listed = user_csv.read_rows("--flag", str(path), ("image", "class"))
    assert [row for _, row in listed] == [(f"{n}/0.png", n) for n in CLEAN]
    for row in csv.reader(path.read_text("utf-8").splitlines()[1:]):
        assert not re.match(r"[=+@\t\r]|-(?!0\.5)", row[1])


def test_a_list_of_images_is_found_however_it_is_composed(tmp_path):
    ids = [f"{DECOMPOSED}/0.png", " lead/1.png", "lead/1.png", "b/2.png"]
    rows = [{"image": f"{COMPOSED}/0.png"}, {"image": " lead/1.png"}]
    path = tmp_path / "list.csv"
    files.write_csv(path, ("image",), rows)
    train = types.SimpleNamespace(ids=ids, digests=np.zeros((4, 16), np.uint8))
    data = types.SimpleNamespace(train=train)
    assert choose._listed_images(str(path), data).tolist() == [0, 1]


def test_a_table_with_a_line_break_in_quotes_is_read(tmp_path):
    path = tmp_path / "groups.csv"
    path.write_bytes(b'class,group\r\n"a\nb\tc",letters\r\nrook,chess\r\n')
    rows = user_csv.read_rows("--taxonomy", str(path), ("class", "group"))
    assert rows[1] == (4, ("rook", "chess"))
    assert class_names.find_classes(rows[0][1][0], CLEAN) == [
        CLEAN.index(r"a\nb\tc")
    ]


# Text files


def test_class_names_are_read_back_exactly(tmp_path):
    files.write_classes(tmp_path, CLEAN)
    assert parse.read_lines(tmp_path / files.CLASSES) == list(CLEAN)


def test_flags_keep_a_path_of_any_bytes(tmp_path):
    lines = [f"--dataset=folder:/{BYTES}\x85\u2028$", "--seed=1"]
    files.write_flags(tmp_path, lines)
    assert (
        (tmp_path / "flags.txt")
        .read_bytes()
        .startswith(b"--dataset=folder:/\xbf\xcd\xce\xc2\x85")
    )
    assert reader.read_flag_lines(tmp_path) == lines


def test_a_flagfile_is_utf8_and_keeps_a_path_of_any_bytes(tmp_path):
    outer, inner = tmp_path / "outer é.flags", tmp_path / "inner.flags"
    text = f"\ufeff# é\r\n--seed=1\r\n\r\n--flagfile={inner}\n// end\n"
    outer.write_bytes(text.encode())
    inner.write_bytes(b"--dataset=folder:/caf\xc3\xa9/\xbf\xcd\xce\n--seed=2")
    lines = command_line.expand_flagfiles(
        ["--seed=0", f"--flagfile={outer}", "--workdir=x"]
    )
    dataset = f"folder:/{COMPOSED}/{BYTES}"
    expected = ["--seed=1", f"--dataset={dataset}", "--seed=2"]
    assert lines == ["--seed=0", *expected, "--workdir=x"]
    assert (
        command_line.expand_flagfiles(["--flagfile", str(inner)]) == lines[2:4]
    )
    config = command_line.from_flag_lines([f"--flagfile={outer}"])
    assert (config.dataset, config.seed) == (dataset, 2)


def test_a_path_is_read_as_a_system_of_ascii_gives_it(tmp_path, monkeypatch):
    line = f"--dataset=folder:/{COMPOSED}{BYTES}"
    files.write_flags(tmp_path, [line])
    assert reader.read_flag_lines(tmp_path) == [line]
    monkeypatch.setattr(sys, "getfilesystemencoding", lambda: "ascii")
    [read] = reader.read_flag_lines(tmp_path)
    assert read == line.encode("utf-8", "surrogateescape").decode(
        "ascii", "surrogateescape"
    )
    files.write_flags(tmp_path, [read])  # and back
    monkeypatch.undo()
    assert reader.read_flag_lines(tmp_path) == [line]


def test_a_line_break_that_no_flagfile_holds_is_refused(tmp_path):
    config = make_config(tmp_path / "a\nb")
    with pytest.raises(UserError, match=r"--workdir=.*a\\nb.*rename"):
        directory.check(config, {})
    assert not any(tmp_path.iterdir())


def test_a_class_typed_with_a_line_break_is_written_as_it_is_shown():
    lines = ['--classes="a\nb","c,""d"']
    config = command_line.from_flag_lines(lines)
    assert config.classes == (r"a\nb", 'c,"d')
    assert command_line.from_flag_lines(config.flag_lines()) == config


def test_a_long_name_leaves_room_for_a_key(tmp_path):
    config = make_config(tmp_path / ("é" * 125), cache_dir=str(tmp_path))
    name = directory.rescue_folder(config).name
    assert len(name.encode()) < 255
    other = make_config(tmp_path / ("é" * 124), cache_dir=str(tmp_path))
    assert directory.rescue_folder(other).name != name


# Terminals


class Terminal(io.TextIOWrapper):
    """A stream that encodes strictly, as a terminal's does."""

    def __init__(self, encoding: str):
        super().__init__(io.BytesIO(), encoding, write_through=True)

    def text(self) -> str:
        return self.buffer.getvalue().decode(self.encoding)


@pytest.mark.parametrize("encoding", ["utf-8", "cp1252", "ascii"])
def test_a_terminal_shows_every_name_and_obeys_none(encoding):
    terminal = Terminal(encoding)
    Reporter(terminal).say("\n".join(f"/{name}" for name in NASTY))
    shown = terminal.text().replace("\r\n", "\n")
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]", shown)
    assert r"/\x1b[31mred\x9b" in shown
    assert NASTY[BYTES] in shown
    emoji = {"utf-8": "/😀\n"}.get(encoding, "/\\U0001f600\n")
    assert emoji in shown
    eacute = {"ascii": "/caf\\xe9\n"}.get(encoding, f"/{COMPOSED}\n")
    assert eacute in shown


def test_a_plain_terminal_gets_plain_signs():
    assert names.for_stream("gap −0.5 ± 1 …", "ascii") == "gap -0.5 +- 1 ..."
    assert names.for_stream("gap −0.5", "utf-8") == "gap −0.5"
    assert names.for_stream("é", None) == r"\xe9"
    assert names.for_stream("é", "no such") == r"\xe9"


def broken():
    raise BrokenPipeError


@pytest.mark.parametrize("kind", ["closed", "missing", "broken"])
def test_a_stream_that_is_gone_ends_nothing(kind, monkeypatch):
    terminal = Terminal("utf-8")
    if kind == "closed":
        terminal.close()
    monkeypatch.setattr(terminal, "flush", broken)
    gone = None if kind == "missing" else terminal
    monkeypatch.setattr(sys, "stdout", gone)
    monkeypatch.setattr(sys, "stderr", gone)
    reporter = Reporter(other_seconds=0)
    reporter.say("a line")
    reporter.progress("how far")
    reporter.complain("error: one")
    # One that comes later is written to.
    later = io.StringIO()
    monkeypatch.setattr(sys, "stdout", later)
    reporter.say("another")
    assert later.getvalue() == "another\n"


# Plots and pages


def test_a_name_is_no_formula_on_a_plot():
    def draw(figure):
        axis = figure.subplots()
        axis.set_xticks(range(len(CLEAN)), CLEAN)
        for name in ("_hidden", "$a$", "plain"):
            axis.plot([0, 1], label=names.for_legend(name))
        legend = figure.legend()
        kept = [text.get_text() for text in legend.get_texts()]
        assert kept == ["\u200b_hidden", "$a$", "plain"]
        assert not any(text.get_parse_math() for text in legend.get_texts())
        return "alt"

    # Warnings are errors here: neither a font nor a label gives one.
    png, alt = figure.render(draw, "light")
    assert png[:4] == b"\x89PNG"
    assert alt == "alt"


def test_every_arm_has_a_label_that_fits():
    figures = types.SimpleNamespace(
        arms=["_base", "$a$b", "x" * 120 + "y" * 120],
        curve=lambda *_: (np.array([0.0, 1.0]), np.array([[0.1, 0.2]] * 2)),
    )

    def draw(figure):
        plots.draw_accuracy(figure, figures, "gflops", "val_accuracy")
        [legend] = figure.legends
        labels = [text.get_text() for text in legend.get_texts()]
        assert labels == ["\u200b_base", "$a$b", f"{'x' * 30}…{'y' * 29}"]

    figure.render(draw, "dark")


@pytest.mark.parametrize("ends", [(1e-5, 10), (0.02, 0.05)])
def test_the_axis_of_rates_has_no_formulas(ends, monkeypatch):
    monkeypatch.setattr(lr_curve, "summary", lambda curve: "alt")
    rates = np.geomspace(*ends, 50)
    curve = types.SimpleNamespace(
        rates=rates, losses=rates, smoothed=rates, suggestions={}, fell=True
    )

    def draw(figure):
        lr_curve.draw(figure, curve)
        figure.draw_without_rendering()
        [axis] = figure.axes
        ticks = {
            text.get_text()
            for which in ("major", "minor")
            for text in axis.get_xticklabels(which=which)
        }
        assert len(ticks) > 2
        assert not any("$" in tick for tick in ticks)
        return "alt"

    figure.render(draw, "light")


def test_a_font_is_looked_for_where_one_lacks_a_character():
    # DejaVu Sans Mono is always there; a private character in no font.
    assert figure._fonts_with(frozenset()) == []
    assert figure._fonts_with(frozenset({0x2603})) != []
    assert figure._fonts_with(frozenset({0x10FFFE})) == []


def test_captions_have_letters_of_other_languages():
    def sheet(caption):
        image = np.zeros((1, 8, 8, 3), np.uint8)
        return contact_sheet.grid(image, [caption], 1)

    letters = [sheet(letter) for letter in "éжαğא"]
    assert len(set(letters)) == len(letters)


def test_a_page_shows_every_name_as_text():
    template = html.environment().from_string(
        "{% for name in names %}<td>{{ name }}</td>"
        "<td>{{ name | breakable }}</td>{% endfor %}"
    )
    text = template.render(names=NASTY)
    text.encode("utf-8")
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]", text)
    cells = text.replace("<wbr>", "").split("</td><td>")
    assert len(cells) == 2 * len(NASTY)
    assert "&lt;b&gt;&amp;amp;" in text
    assert NASTY[BYTES] in text


# End to end

FOLDERS = ("$10_$20", BYTES, DECOMPOSED, "_\x1b[31m", "=a\nb", ' ,"<&>')
SHOWN = sorted(map(names.clean, FOLDERS))


def make_images(root: pathlib.Path, inside) -> None:
    random = np.random.default_rng(0)
    for name in inside:
        (root / name).mkdir(parents=True)
        for file in ("0.png", f"{BYTES}.png", "=2\n.png", "-😀.png"):
            pixels = random.integers(0, 256, (8, 8, 3), np.uint8)
            with (root / name / file).open("wb") as stream:
                Image.fromarray(pixels).save(stream, "PNG")


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="other names are refused")
def test_a_run_whose_names_are_nasty_reaches_the_end(tmp_path, monkeypatch):
    root = tmp_path / f"data $1 {BYTES}"
    for split in ("train", "val"):
        make_images(root / split, FOLDERS)
    # Made on a Mac, and copied.
    composed = unicodedata.normalize("NFC", DECOMPOSED)
    (root / "val" / DECOMPOSED).rename(root / "val" / composed)
    terminal = Terminal("cp1252")
    monkeypatch.setattr(sys, "stdout", terminal)
    settings = {
        "dataset": f"folder:{root}",
        "cache_dir": str(tmp_path / "cache"),
        "grow_size": (8,),
        "stage_steps": (1,),
        "evals": 1,
        "report": True,
    }
    workdir = tmp_path / f"run $ {BYTES}"
    config = make_config(workdir, **settings)
    data = load.open_data(config)
    assert data.class_names == tuple(SHOWN)
    run = train(make_experiment(config, data))

    assert predictions.read_classes(run) == SHOWN
    assert finished.load_config(str(run))[1].dataset == f"folder:{root}"
    report = Page((run / files.REPORT).read_text("utf-8"))
    assert r"\udcbf\udccd\udcce" in report.text
    assert {row[0].strip() for row in report.rows if row} >= {
        name.strip() for name in SHOWN
    }
    # What was got wrong is read back, by reports and by a later run.
    hard = parse.read_records(run / "hard_train.csv", ("image", "class"))
    assert {row["class"] for row in hard} <= set(SHOWN)
    listed = choose._listed_images(str(run / "hard_train.csv"), data)
    assert [data.train.ids[i] for i in listed] == [r["image"] for r in hard]

    photos = dict.fromkeys(["photos"])
    make_images(tmp_path / "album", photos)
    asked = make_config(
        run, images=str(tmp_path / "album"), cache_dir=config.cache_dir
    )
    labels = predict.label_images(asked)
    rows = parse.read_records(labels, ("image", "label"))
    assert [pathlib.Path(row["image"]).name for row in rows] == [
        "-😀.png",
        "0.png",
        r"=2\n.png",
        r"\udcbf\udccd\udcce.png",
    ]
    assert {row["label"] for row in rows} <= set(SHOWN)

    evaluate_run.evaluate_run(asked)

    monkeypatch.setattr(pictures, "augmentation", lambda experiment: [])
    page = write.explore(make_experiment(config, write.open_data(config)))
    assert r"\udcbf\udccd\udcce" in Page(page.read_text("utf-8")).text

    arms = [tmp_path / f"_arm $1 {BYTES}", tmp_path / "=1\n$"]
    for arm in arms:
        shutil.copytree(run, arm)
    out = tmp_path / "out"
    comparison = Comparison(arms=tuple(map(str, arms)), seeds=1)
    page = compare.compare(make_config(out), comparison, [f"--workdir={out}"])
    shown = [names.clean(arm.name) for arm in arms]
    assert all(name in Page(page.read_text("utf-8")).text for name in shown)
    rows = parse.read_records(out / "comparison.csv", ("arm", "seed"))
    assert [row["arm"] for row in rows] == shown

    said = terminal.text()
    assert not re.search(r"[\x00-\x09\x0b\x0c\x0e-\x1f]", said)
    assert os.fsdecode(r"\udcbf\udccd\udcce.png: ") in said
