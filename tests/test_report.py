"""The report says what the files of a run directory say, to anyone, offline."""

import base64
import csv
import html
import io
import json
import re
import subprocess
import sys

import html_page
import numpy as np
import pytest
from PIL import Image

from smartgrowth import UserError
from smartgrowth.metrics.confusion import worst_pairs
from smartgrowth.rendering import contact_sheet
from smartgrowth.rendering.chart import Band
from smartgrowth.rendering.figure import make_plot
from smartgrowth.rendering.html import Frame, Gallery
from smartgrowth.rendering.text import shares
from smartgrowth.report import curves, errors
from smartgrowth.report.outcome import Outcome, draw_confusion
from smartgrowth.report.write import write_report
from smartgrowth.runs.files import write_npz
from smartgrowth.runs.reader import read_run

HEADER = (
    "step,stage,image_size,num_classes,num_images,batch_size,lr,momentum,"
    "train_loss,train_accuracy,val_loss,val_accuracy,val_top5,"
    "val_accuracy_at_size,stage_val_loss,stage_val_accuracy,images_seen,"
    "gflops,train_seconds,wall_seconds"
)
COLUMNS = HEADER.split(",")
STAGES = [
    {"index": 0, "steps": 100, "batch_size": 8, "image_size": 16}
    | {"num_classes": 2, "num_images": 20, "samples_per_class": 10}
    | {"augmentation": 0.5, "gflops": 1.0, "trainable": "all"},
    {"index": 1, "steps": 300, "batch_size": 8, "image_size": 24}
    | {"num_classes": 3, "num_images": 60, "samples_per_class": 20}
    | {"augmentation": 0.5, "gflops": 1.0, "trainable": "all"},
    {"index": 2, "steps": 500, "batch_size": 8, "image_size": 32}
    | {"num_classes": 3, "num_images": 1234, "samples_per_class": None}
    | {"augmentation": 0.5, "gflops": 1.0, "trainable": "all"},
]
METRICS = {
    "val_accuracy": 0.6132,
    "val_top5": 0.8764,
    "val_loss": 1.2344,
    "parameters": 903217,
    "gflops": 3.0,
    "train_seconds": 200.4,
    "wall_seconds": 250.0,
    "stage_seconds": [31.0, 62.0, 107.4],
    "boundary_seconds": [8.25, 4.5],
    "image_size": 32,
    "versions": {"keras": "3.15.1"},
}
PLOTS = ("loss", "accuracy", "loss_by_size", "learning_rate")
PLOTS += ("confusion", "class_accuracy", "reliability")


def row(step, stage, **values):
    """A row of log.csv; the losses fall and the accuracies rise."""
    fields = dict.fromkeys(COLUMNS, 0.5)
    fields |= {"step": step, "stage": stage, "lr": 0.003, "momentum": 0.9}
    fields["image_size"] = STAGES[stage]["image_size"]
    fields |= {"train_loss": 3 - step / 450, "val_loss": 4 - step / 450}
    fields |= {"val_accuracy": step / 1500, "train_accuracy": step / 1000}
    return fields | values


def write_log(directory, rows):
    with (directory / "log.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerows(rows)


def write_running(directory):
    """Writes what a run that is still going has written."""
    plan = {"hash": "ab", "gflops": 3.0, "stages": STAGES, "new_key": [1]}
    (directory / "plan.json").write_text(json.dumps(plan))
    (directory / "flags.txt").write_text(
        "--dataset=glyphs\n--model=resnet\n--lr=0.003\n--notest\n"
    )
    (directory / "classes.txt").write_text("rook\n<b>R&D</b>\nsun\n")
    write_log(directory, [row(50, 0), row(100, 0), row(340, 1)])
    return directory


def write_finished(directory):
    """Writes the same run at its end."""
    write_running(directory)
    rows = [row(100, 0), row(400, 1), row(600, 2), row(900, 2)]
    write_log(directory, rows)
    (directory / "metrics.json").write_text(json.dumps(METRICS))
    np.savez(
        directory / "predictions.npz",
        labels=np.array([0, 0, 0, 0, 1, 1, 2]),
        probabilities=np.eye(3, dtype="float32")[[1, 1, 1, 0, 1, 2, 2]],
        ids=np.array(list("abcdefg")),
    )
    return directory


@pytest.fixture
def running(tmp_path):
    return write_running(tmp_path)


@pytest.fixture
def finished(tmp_path):
    return write_finished(tmp_path)


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """The report of the finished run, as it stands."""
    return Page(write_finished(tmp_path_factory.mktemp("finished_run")))


class Page(html_page.Page):
    """The report of a run directory."""

    def __init__(self, directory):
        self.directory = directory
        super().__init__(write_report(directory).read_text(encoding="utf-8"))

    def stage_table(self):
        """Returns the stage table as a dict for each stage."""
        head = next(i for i, row in enumerate(self.rows) if row[0] == "Stage")
        rows = self.rows[head + 1 : head + 1 + len(STAGES)]
        return [dict(zip(self.rows[head], r, strict=True)) for r in rows]


def test_the_headline_shows_the_final_figures(page):
    assert "Validation accuracy 61.3%" in page.text
    assert "Top-5 accuracy 87.6%" in page.text
    assert "Validation loss 1.234" in page.text
    assert "Cost 3 GFLOPs" in page.text
    assert "Training time 3 min 20 s" in page.text
    assert "Parameters 903,217" in page.text


@pytest.mark.parametrize("count", [5, 6])
def test_top5_is_shown_only_of_more_than_five_classes(tmp_path, count):
    directory = write_finished(tmp_path)
    plan = json.loads((directory / "plan.json").read_text())
    plan["identity"] = {"num_classes": count}
    (directory / "plan.json").write_text(json.dumps(plan))
    (directory / "predictions.npz").unlink()  # of three classes
    page = Page(directory)
    # Among the headline's figures and the final ones.
    assert page.text.count("Top-5 accuracy") == (2 if count > 5 else 0)
    assert "val_top5" in (directory / "log.csv").read_text()


def test_the_headline_names_model_dataset_size_and_what_grew(page):
    assert "<h1>resnet on glyphs</h1>" in page.source
    assert "all classes, 32 px" in page.text
    assert (
        "What grew images per class 10 → 20 → all; classes 2 → 3; "
        "image size 16 px → 24 px → 32 px " in page.text
    )


def test_a_plan_of_one_stage_grew_nothing(running):
    plan = {"stages": STAGES[-1:]}
    (running / "plan.json").write_text(json.dumps(plan))
    write_log(running, [row(100, 2) | {"stage": 0}])
    assert "What grew nothing: a plain baseline" in Page(running).text


def test_every_metric_is_among_the_final_figures(page):
    assert ["Time with validation", "4 min 10 s"] in page.rows
    assert ["keras", "3.15.1"] in page.rows


def test_the_figures_hold_for_the_test_size_that_was_asked_for(running):
    with (running / "flags.txt").open("a") as file:
        file.write("--test_size=48\n")
    assert "all classes, 48 px" in Page(running).text


def test_a_run_that_is_still_going_says_so_and_shows_its_last_evaluation(
    running,
):
    page = Page(running)
    assert "still running: step 340 of 900" in page.text
    assert f"Validation accuracy {340 / 1500:.1%}" in page.text
    assert "Parameters –" in page.text


def test_a_finished_run_does_not_say_that_it_is_running(page):
    assert "still running" not in page.text
    assert "finished after 900 steps" in page.text


def test_a_plan_without_any_evaluation_gives_a_page(running):
    (running / "log.csv").unlink()
    page = Page(running)
    assert "still running: step 0 of 900" in page.text
    assert "no evaluation yet" in page.source
    assert len(page.stage_table()) == 3


def test_a_row_that_is_being_written_is_left_out(running):
    with (running / "log.csv").open("a") as file:
        file.write("380,1,24,3")
    assert "still running: step 340 of 900" in Page(running).text


def test_a_repeated_step_counts_once_and_the_later_row_wins(running):
    rows = [row(340, 1), row(340, 1, val_accuracy=0.4321)]
    write_log(running, rows)
    assert "Validation accuracy 43.2%" in Page(running).text


def test_every_plot_has_an_alt_text_with_its_figures(page):
    alt = [fields["alt"] for tag, fields in page.tags if tag == "img"]
    assert [text.partition(":")[0] for text in alt] == [
        "Confusion matrix",
        "Reliability",
    ]
    assert "rook predicted as <b>R&D</b> 3 times" in alt[0]
    # Always certain: of seven images three were recognized.
    assert "expected calibration error 57.1%, overconfident on" in alt[1]
    assert "43% accurate at 100% confidence" in alt[1]
    charts = [
        fields["aria-label"]
        for tag, fields in page.tags
        if tag == "svg" and fields.get("role") == "img"
    ]
    assert len(charts) == 4 * 4 + 1
    for axis in ("step", "images shown", "training cost", "training time"):
        [accuracy] = [t for t in charts if f"Accuracy against {axis}" in t]
        assert "training from 10.0% to 90.0%" in accuracy
        [loss] = [t for t in charts if f"Loss against {axis}" in t]
        assert "training from 2.778 to 1.000" in loss
        assert "validation at 32 px from 3.778 to 2.000" in loss
    [by_size] = [text for text in charts if "Loss against image size" in text]
    assert "training from 2.778" in by_size
    assert "learning rate from 0.003 to 0.003" in " ".join(charts)


def test_the_plots_are_also_files_and_differ_on_dark_screens(page):
    for name in PLOTS:
        png = (page.directory / f"{name}.png").read_bytes()
        assert png.startswith(b"\x89PNG\r\n\x1a\n")
    pictures = re.findall(r"image/png;base64,([\w+/=]+)", page.source)
    assert len(set(pictures)) == 2 * 2


def test_the_axis_is_chosen_by_labeled_radio_buttons(page):
    radios = [f for tag, f in page.tags if f.get("type") == "radio"]
    assert [radio["id"] for radio in radios] == [
        "axis-step",
        "axis-images",
        "axis-gflops",
        "axis-seconds",
    ]
    assert ["checked" in radio for radio in radios] == [True] + 3 * [False]
    labels = [fields["for"] for tag, fields in page.tags if tag == "label"]
    assert labels == [radio["id"] for radio in radios]


@pytest.mark.parametrize(
    ("axis", "expected"),
    [
        ("step", [0, 50, 100, 400, 900]),
        ("images", [0, 400, 800, 3200, 7200]),
        ("gflops", [0, 0.5, 1, 2, 3]),
        ("seconds", [0, 10, 20, 80, np.nan]),
    ],
)
def test_steps_lie_where_an_axis_has_them(running, axis, expected):
    """Eight images a batch, a GFLOP a stage, five steps a second so far."""
    rows = [row(50, 0, train_seconds=10), row(400, 1, train_seconds=80)]
    write_log(running, rows)
    at = curves.places(read_run(running), axis, [0, 50, 100, 400, 900])
    np.testing.assert_allclose(at, expected)


def test_a_band_ends_where_the_seconds_do(running):
    rows = [row(50, 0, train_seconds=10), row(300, 1, train_seconds=60)]
    write_log(running, rows)
    assert curves.stage_bands(read_run(running), "seconds") == [
        Band(0, 20, "1", "16 px, 2 classes, 10 images each"),
        Band(20, 60, "2", "24 px, 3 classes, 20 images each"),
    ]


def test_the_classes_have_bars_the_least_accurate_first(page):
    bars = re.findall(r"<i style=\"--share: (.*?)\">", page.source)
    assert bars == ["25%", "50%", "100%"]
    assert ["rook", "4", "25.0%", "100.0%", "<b>R&D</b> (3)"] in page.rows


def test_many_classes_are_drawn_in_clusters_without_their_names(finished):
    """Seventy classes, of which each is predicted as its twin."""
    labels = np.repeat(np.arange(70), 2)
    guesses = np.where(np.arange(140) % 2, labels, labels ^ 1)
    np.savez(
        finished / "predictions.npz",
        labels=labels,
        probabilities=np.eye(70, dtype="float32")[guesses],
    )
    names = "".join(f"class {label}\n" for label in range(70))
    (finished / "classes.txt").write_text(names)
    page = Page(finished)
    assert "the 30 least of 70" in page.text
    assert "class 69" in page.text
    assert "Calibration error 50.0%" in page.text


def write_hardest(directory, count, predicted="predicted"):
    """A list and a contact sheet of images that are one gray each.

    predicted: the name of that column.
    """
    lines = [
        f"val/{k}.png,n02123045 tabby,<i>cat,0.{99 - k},0.01"
        for k in range(count)
    ]
    table = "\n".join(
        [f"image,class,{predicted},confidence,probability_of_class", *lines]
    )
    (directory / "hard_validation.csv").write_text(table)
    images = [np.full((8, 8, 3), 9 * k, np.uint8) for k in range(count)]
    (directory / "hard_validation.png").write_bytes(
        contact_sheet.grid(np.stack(images), ["a", *["b\nc"] * (count - 1)], 10)
    )


def write_confused(directory, indices):
    """Small pictures of these of the finished run's seven images."""
    jpegs = [
        contact_sheet.jpeg(np.full((8, 8, 3), 30 * k, np.uint8), 8)
        for k in range(len(indices))
    ]
    write_npz(
        directory / "confused_images.npz",
        indices=np.array(indices, np.int64),
        jpegs=np.frombuffer(b"".join(jpegs), np.uint8),
        ends=np.cumsum([len(jpeg) for jpeg in jpegs], dtype=np.int64),
    )


def cells(page):
    """Label -> the link of each cell of the confusion matrix."""
    return {
        fields["title"]: fields
        for tag, fields in page.tags
        if tag == "a" and "title" in fields
    }


def test_a_wrong_cell_leads_to_its_images(finished):
    write_confused(finished, [0, 2, 5])
    page = Page(finished)
    html_page.check_offline(page)
    rook, other = "rook predicted as <b>R&D</b>", "<b>R&D</b> predicted as sun"
    links = cells(page)
    assert {title: fields["href"] for title, fields in links.items()} == {
        f"{rook}: 3 images": "#errors-0-1",
        f"{other}: 1 image": "#errors-1-2",
    }
    for title, fields in links.items():
        assert fields["aria-label"] == title
    first, second = page.source.split("<section id=")[1:]
    assert first.startswith('"errors-0-1">')
    assert second.startswith('"errors-1-2">')
    first, second = html_page.Page(first), html_page.Page(second)
    assert [fields["alt"] for fields in first.images] == [
        f"{rook}, 100%. a",
        f"{rook}, 100%. c",
    ]
    assert second.images[0]["alt"] == f"{other}, 100%. f"
    assert "rook as <b>R&D</b> , 2 of 3" in first.text
    assert "3 of the 4 wrong images" in page.text
    assert "Wrong cells lead to their images." in page.text
    # The list of the most frequent confusions leads there too.
    [listed] = re.findall(r"<ol>\n(.*?)</ol>", page.source, re.DOTALL)
    assert re.findall('href="(.*?)"', listed) == ["#errors-0-1", "#errors-1-2"]


def test_only_cells_with_pictures_are_links(finished):
    write_confused(finished, [5])
    page = Page(finished)
    html_page.check_offline(page)
    assert [*cells(page)] == ["<b>R&D</b> predicted as sun: 1 image"]
    assert page.source.count('href="') == 2


@pytest.mark.parametrize("indices", [None, [], [3]])
def test_a_run_without_pictures_of_its_errors_has_no_links(finished, indices):
    """One of an earlier version, or without errors, or judged anew since."""
    if indices is not None:
        write_confused(finished, indices)
    page = Page(finished)
    assert "href" not in page.source
    assert "Images behind" not in page.text
    assert "lead to their images" not in page.text


@pytest.mark.parametrize("count", [4, 60, 200])
def test_a_link_lies_on_its_cell(count):
    """The drawn cell has its color in all corners of the link."""
    labels = np.repeat(np.arange(count), 2)
    guesses = labels.copy()
    guesses[4], guesses[-1] = 0, 1  # class 2 as 0, the last one as 1
    names = [f"class {'x' * (k % 17)}{k}" for k in range(count)]
    outcome = Outcome(names, labels, np.eye(count, dtype="float32")[guesses])
    plot = make_plot("", lambda figure: draw_confusion(figure, outcome))
    listed = [
        errors.Confusion(*pair, "", "", 1, 2, Gallery([Frame([])]))
        for *pair, _ in worst_pairs(outcome.matrix, 9)
    ]
    areas = errors.cell_areas(outcome, listed, plot.box)
    assert len(areas) == 2
    places = [list(outcome.order).index(label) for label in (2, 0)]
    for png in (plot.light, plot.dark):
        for area in areas:
            for corner in ((0.2, 0.2), (0.8, 0.2), (0.2, 0.8), (0.8, 0.8)):
                assert contrast(png, area.box, *corner) > 40
        if abs(places[0] - places[1]) > 1:  # what is below is no diagonal
            assert contrast(png, areas[0].box, 0.2, 1.4) < 10


def contrast(png, box, across, down):
    """Of a point to the paper; shares of the box, from its top left."""
    with Image.open(io.BytesIO(png)) as picture:
        x = (box.left + across * box.width) * picture.width
        y = (box.top + down * box.height) * picture.height
        pixels = np.asarray(picture.convert("RGB"), int)
    return np.abs(pixels[int(y), int(x)] - pixels[0, 0]).max()


def test_the_hardest_images_have_heat_maps_where_there_are_some(finished):
    write_hardest(finished, 23)
    assert "Without heat maps" in Page(finished).text
    maps = np.stack([np.full((8, 8, 3), 250 - 9 * k, "u1") for k in range(23)])
    sheet = contact_sheet.grid(maps, [""] * 23, 10, 96)
    (finished / "hard_validation_maps.png").write_bytes(sheet)
    page = Page(finished)
    assert "Without heat maps" not in page.text
    assert "where the network saw the class that it predicted" in page.text
    assert ("div", {"class": "gallery maps"}) in page.tags
    alts = [fields["alt"] for fields in page.images]
    caption = "tabby: predicted as <i>cat, 77%. val/22.png"
    place = alts.index(caption) + 1
    assert alts[place] == f"Heat map of what it was predicted as. {caption}"
    code = page.images[place]["src"].partition("base64,")[2]
    picture = Image.open(io.BytesIO(base64.b64decode(code)))
    assert picture.size == (96, 96)
    np.testing.assert_allclose(
        np.asarray(picture.convert("L"), int), 250 - 9 * 22, atol=3
    )


@pytest.mark.parametrize("column", ["predicted", "taken_for"])
def test_the_hardest_images_have_what_they_were_predicted_as(finished, column):
    """In run directories of earlier versions, too."""
    write_hardest(finished, 23, column)
    page = Page(finished)
    assert "Validation images, 23 wrong in all" in page.text
    assert "3 more" in page.text
    pictures = [
        fields
        for tag, fields in page.tags
        if tag == "img" and fields["alt"].startswith("tabby")
    ]
    assert len(pictures) == 23
    assert pictures[0]["alt"] == "tabby: predicted as <i>cat, 99%. val/0.png"
    for number in (0, 7, 22):
        code = pictures[number]["src"].partition("base64,")[2]
        picture = Image.open(io.BytesIO(base64.b64decode(code)))
        pixels = np.asarray(picture.convert("RGB"))
        assert pixels.shape == (128, 128, 3)
        np.testing.assert_allclose(pixels, 9 * number, atol=3)


def test_what_was_asked_of_the_run_is_in_its_report(finished):
    variant = {"accuracy": 0.5, "gain": -0.012, "gain_margin": 0.02}
    variant |= {"passes": 2, "cost": 3.125, "images_per_second": 1234.5}
    variant |= {"calibration_error": 0.034}
    variants = {"plain": variant, "40 px, flip": variant}
    (finished / "evaluation.json").write_text(
        json.dumps({"variants": variants})
    )
    rules = [
        {"rule": "no dropout", "passed": False, "detail": "dropout_1"},
        {"rule": "field", "passed": None, "detail": "35 px"},
    ]
    (finished / "audit.json").write_text(json.dumps({"findings": rules}))
    picture = io.BytesIO()
    Image.new("RGB", (2000, 1000)).save(picture, "PNG")
    (finished / "augmentation.png").write_bytes(picture.getvalue())
    page = Page(finished)
    assert ["no dropout", "FAIL", "dropout_1"] in page.rows
    assert ["field", "–", "35 px"] in page.rows
    figures = ["50.00%", "−1.20 ± 2.00", "2", "3.1 x", "1,234", "3.4%"]
    assert ["40 px, flip", *figures] in page.rows
    assert any("--augment=" in fields.get("alt", "") for _, fields in page.tags)


def test_a_run_that_was_asked_nothing_has_no_empty_sections(running):
    text = Page(running).text
    for heading in (
        "Hardest",
        "Test-time",
        "Rules",
        "Augmentation",
        "Versions",
    ):
        assert heading not in text


def test_the_page_refers_to_nothing_outside_itself(page):
    html_page.check_offline(page)
    assert len(page.source) < 2_000_000


def test_text_of_the_user_is_escaped(finished):
    (finished / "flags.txt").write_text("--dataset=<script>alert(1)</script>\n")
    (finished / "classes.txt").write_text("<script>rook\n{{7*7}}\nsun\n")
    refused = {"refused": {"<img src=x>.jpg": "cut & torn"}}
    (finished / "data_report.json").write_text(json.dumps(refused))
    page = Page(finished)
    assert "&lt;script&gt;rook</b> predicted as <b>{{7*7}}</b>" in page.source
    assert "a model on &lt;script&gt;alert(1)&lt;/script&gt;" in page.source
    assert "<td>{{7*7}} (3)</td>" in page.source
    assert "<script" not in page.source
    assert "&lt;img src=x&gt;.jpg: cut &amp; torn" in page.source


def test_the_most_frequent_confusion_comes_first(page):
    [listed] = re.findall(r"<ol>\n(.*?)</ol>", page.source, re.DOTALL)
    items = re.findall(r"<li>(.*)</li>", listed)
    words = [html.unescape(re.sub(r"</?b>", "", item)) for item in items]
    assert words == [
        "rook predicted as <b>R&D</b>: 3 of 4 images",
        "<b>R&D</b> predicted as sun: 1 of 2 images",
    ]


def test_no_predictions_no_confusions(running):
    assert "confusions" not in Page(running).source


def test_the_shares_in_the_stage_table_add_up_to_all(page):
    shares = [stage["Share"] for stage in page.stage_table()]
    assert shares == ["33.4%", "33.3%", "33.3%"]
    assert sum(float(share[:-1]) for share in shares) == pytest.approx(100)


def test_the_stage_table_says_what_the_plan_and_the_clock_say(page):
    first, _, last = page.stage_table()
    assert last["Image size"] == "32 px"
    assert last["Images"] == "1,234"
    assert last["Images per class"] == "all"
    assert last["Time"] == "1 min 47 s"
    # Two boundaries lie between three stages: each opens the later stage.
    assert (first["Boundary"], last["Boundary"]) == ("–", "4.5 s")


def test_the_data_report_is_counted_and_cut_after_five(running):
    report = {
        "images": {"train": 480, "validation": 1200},
        "refused": {f"{number}.png": "torn" for number in range(9)},
        "repaired": [["a.png", "rotated"]],
    }
    (running / "data_report.json").write_text(json.dumps(report))
    text = Page(running).text
    assert "Images: train 480, validation 1,200" in text
    assert "Refused: 9" in text
    assert "4.png: torn and 4 more" in text
    assert "5.png" not in text
    assert "Repaired: 1 a.png: rotated" in text


def test_the_finer_schedule_is_drawn_where_there_is_one(running):
    lines = [f"{step},{step / 1000},0.9" for step in range(901)]
    table = "\n".join(["step,lr,momentum", *lines])
    (running / "schedule.csv").write_text(table)
    assert "step: learning rate from 0 to 0.9." in Page(running).source


def test_a_run_that_diverged_is_drawn_and_named_so(running):
    rows = [row(100, 0), row(400, 1, val_loss=80), row(500, 2, val_loss="inf")]
    rows.append(row(600, 2, train_loss="nan", val_loss="nan"))
    write_log(running, rows)
    assert "Validation loss not finite" in Page(running).text


def test_the_flags_are_hidden_until_they_are_asked_for(page):
    assert ("details", {}) in page.tags
    assert "--lr=0.003 --notest" in page.text


def test_the_same_files_give_the_same_page(page):
    assert Page(page.directory).source == page.source


@pytest.mark.parametrize("name", ["nowhere", "."])
def test_a_directory_that_is_no_run_is_named_with_the_way_out(tmp_path, name):
    with pytest.raises(UserError, match="plan.json.*--workdir") as caught:
        write_report(tmp_path / name)
    assert str(tmp_path / name) in str(caught.value)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("plan.json", "{not json"),
        ("plan.json", "[]"),
        ("plan.json", '{"stages": []}'),
        ("plan.json", '{"stages": [{"steps": 5}]}'),
        ("metrics.json", "{"),
        ("log.csv", "step,stage\n1,0\n"),
        ("log.csv", HEADER + "\n" + "five," * 19 + "1\n"),
        ("log.csv", HEADER + "\n" + "7," * 19 + "7\n"),
        ("log.csv", HEADER + "\n" + "0," * 20 + "0\n"),
        ("log.csv", b"\xff\xfe\x00"),
        ("schedule.csv", "step,lr\n1,2\n"),
        ("predictions.npz", "no archive"),
        ("hard_train.csv", "image,class\na,b\n"),
        ("hard_train.csv", "image,class,confidence\na,b,1\n"),
        ("evaluation.json", '{"variants": {"plain": {}}}'),
        ("evaluation.json", "[]"),
        ("audit.json", '{"findings": [{"rule": "a"}]}'),
        ("augmentation.png", "no picture"),
    ],
)
def test_a_malformed_file_is_named_with_the_way_out(running, name, content):
    content = content if isinstance(content, bytes) else content.encode()
    (running / name).write_bytes(content)
    with pytest.raises(UserError, match="malformed.*delete it") as caught:
        write_report(running)
    assert str(running / name) in str(caught.value)


@pytest.mark.parametrize("name", ["loss.png", "report.html"])
def test_a_file_that_cannot_be_written_is_named(running, name):
    (running / name).mkdir()
    with pytest.raises(
        UserError, match="cannot be written.*--mode=report"
    ) as e:
        write_report(running)
    assert str(running / name) in str(e.value)


@pytest.mark.parametrize(
    ("costs", "expected"),
    [
        ([1, 1, 1], ["33.4%", "33.3%", "33.3%"]),
        ([1] * 7, ["14.3%"] * 6 + ["14.2%"]),
        ([0.004, 99.996], ["0.0%", "100.0%"]),
        ([2, 6], ["25.0%", "75.0%"]),
        ([5], ["100.0%"]),
        ([0, 0], ["0.0%", "0.0%"]),
    ],
)
def test_shares_are_rounded_so_that_they_add_up(costs, expected):
    assert shares(costs) == expected


def test_a_report_needs_no_tensorflow_and_its_import_no_matplotlib(finished):
    program = (
        "import sys, pathlib\n"
        "from smartgrowth.report.write import write_report\n"
        "heavy = ['tensorflow', 'keras', 'matplotlib', 'pandas']\n"
        "print([name for name in heavy if name in sys.modules])\n"
        "write_report(pathlib.Path(sys.argv[1]))\n"
        "heavy = ['tensorflow', 'keras', 'matplotlib.pyplot']\n"
        "print([name for name in heavy if name in sys.modules])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(finished)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split("\n") == ["[]", "[]", ""]


def test_averaged_and_raw_weights_have_names_of_their_own(finished, page):
    with (finished / "log.csv").open() as file:
        rows = list(csv.DictReader(file))
    with (finished / "log.csv").open("w", newline="") as file:
        names = ("raw_val_loss", "raw_val_accuracy")
        writer = csv.DictWriter(file, (*COLUMNS, *names))
        writer.writeheader()
        writer.writerows(
            row | {"raw_val_loss": 2.25, "raw_val_accuracy": 0.125}
            for row in rows
        )
    metrics = METRICS | {"raw_val_loss": 2.25, "raw_val_accuracy": 0.125}
    (finished / "metrics.json").write_text(json.dumps(metrics))
    averaged = Page(finished)
    assert "averaged weights; without averaging 12.5%" in averaged.text
    assert "validation without averaging from 12.5% to 12.5%" in averaged.source
    assert "validation without averaging from 2.250 to 2.250" in averaged.source
    assert "without averaging" not in page.source


@pytest.mark.parametrize(
    ("total", "words"),
    [(6, "2 wrong of the 3 of 6 that were judged"), (3, "2 wrong in all")],
)
def test_the_report_says_how_many_training_images_were_judged(
    finished, total, words
):
    write_hardest(finished, 2)
    for suffix in ("csv", "png"):
        path = finished / f"hard_validation.{suffix}"
        path.rename(finished / f"hard_train.{suffix}")
    np.savez(
        finished / "train_predictions.npz",
        ids=np.array(["a", "b", "c"]),
        total=np.array(total),
    )
    assert f"Training images, {words}" in Page(finished).text
