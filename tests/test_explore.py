"""The page shows what is in the store, to anyone, offline."""

import base64
import dataclasses
import io
import pathlib
import re

import numpy as np
import pytest
from conftest import COLORS, TRAIN_COUNTS, VALIDATION_COUNT
from html_page import Page, section
from PIL import Image, ImageEnhance

from smartgrowth import UserError, modes
from smartgrowth.curriculum import choose, descriptors, orders
from smartgrowth.data import build, duplicates, store
from smartgrowth.data.source import (
    TRAIN,
    VALIDATION,
    Example,
    Refusal,
    Source,
)
from smartgrowth.experiment import make_experiment
from smartgrowth.explore import (
    classes,
    colors,
    drawing,
    pictures,
    sections,
    write,
)
from smartgrowth.rendering.figure import render
from smartgrowth.rendering.text import short_name
from smartgrowth.stages import Plan, Stage

CLASS_ORDER = np.array([2, 0, 3, 1])
SECTIONS = "explore/templates/sections.html.jinja2"


@pytest.fixture(autouse=True)
def stand_in(monkeypatch):
    """Stands in for descriptions and orders, which have tests of their own."""

    def image_order(config, data):
        images = orders.images_of_classes(data.train.labels)
        if config.sample_order == "iconic":
            images = [order[::-1] for order in images]
        return images

    monkeypatch.setattr(
        descriptors,
        "describe",
        lambda config, data: (
            data.train.images(24)[data.train.rows]
            .mean((1, 2))
            .astype(np.float32)
        ),
    )
    monkeypatch.setattr(
        choose,
        "class_order",
        lambda config, data: CLASS_ORDER[: len(data.class_names)],
    )
    monkeypatch.setattr(choose, "image_order", image_order)


def pixels(image: dict) -> np.ndarray:
    """What the source of an `img` shows."""
    content = base64.b64decode(image["src"].split(",")[1])
    return np.asarray(Image.open(io.BytesIO(content)).convert("RGB"))


@pytest.fixture
def page(tiny_config, tiny_data):
    """Makes the page and reads it."""

    def make(**settings) -> Page:
        path = write.explore(
            make_experiment(tiny_config(**settings), tiny_data)
        )
        assert path.name == "explore.html"
        return Page(path.read_text("utf-8"))

    return make


def make_data(tmp_path, examples, names=("a", "b"), size=32) -> store.Data:
    source = Source("made", "made-1", tuple(names), None, lambda: examples)
    directory = build.ensure_store("made", lambda: source, (size,), tmp_path)
    return store.open_data(directory)


def noise(seed: int, side: int = 32) -> np.ndarray:
    """Smooth noise, as unlike another seed's as two photographs."""
    random = np.random.default_rng(seed)
    small = random.integers(0, 256, (6, 6, 3), np.uint8)
    large = Image.fromarray(small).resize((side, side))
    return np.asarray(large)


# Counts


def test_the_headline_counts_what_the_store_holds(page):
    text = page(grow_classes=(2, 4)).text
    total = sum(TRAIN_COUNTS) + 4 * VALIDATION_COUNT
    assert f"Images {total} {sum(TRAIN_COUNTS)} to train, 20 to val" in text
    assert "Classes 4" in text
    assert "Native size 24 px" in text
    assert "Refused 0" in text
    assert "What grows classes 2 → 4; image size 16 px → 24 px" in text


def test_every_class_has_its_counts_its_group_and_its_stage(page, tiny_data):
    rows = page(grow_classes=(2, 4)).rows
    head = ["Class", "Group", "Enters", "Training", "Validation"]
    assert rows[0] == head
    expected = [
        [tiny_data.class_names[label], tiny_data.groups[name], stage]
        + [str(TRAIN_COUNTS[label]), str(VALIDATION_COUNT)]
        for label, stage in zip(
            CLASS_ORDER, ["stage 1"] * 2 + ["stage 2"] * 2, strict=True
        )
        for name in [tiny_data.class_names[label]]
    ]
    assert rows[1:5] == expected


def test_oversampled_every_class_counts_as_the_largest(page):
    made = page(balance="oversample")
    assert made.rows[0][-1] == "Training, oversampled"
    assert [row[-1] for row in made.rows[1:5]] == ["13"] * 4
    assert "Training, oversampled" not in page().text


def test_the_alt_text_of_the_bars_has_their_counts(page):
    alt = " ".join(image["alt"] for image in page().images)
    for name, count in (("rook", 13), ("rock crystal", 12), ("moon", 10)):
        assert f"{name} {count} and 5" in alt


def test_the_bars_of_many_classes_have_no_names():
    counts = np.arange(5, 85)
    _, text = render(
        lambda figure: drawing.draw_counts(
            figure, [f"class {k}" for k in range(80)], counts, counts, counts
        ),
        "dark",
    )
    assert text == "5 to 84 training images per class"


def counts_of(data) -> Page:
    counts = sections.counts(data, [""] * 2, np.arange(2), False)
    return section(SECTIONS, "counts", counts)


def test_equal_counts_are_a_sentence(planted):
    made = counts_of(planted)
    assert "Images of each class" in made.text
    two = dataclasses.replace(planted.validation, labels=np.array([0, 1]))
    equal = dataclasses.replace(planted, validation=two)
    made = counts_of(equal)
    assert "Every class has 20 training and 1 validation images." in made.text
    assert not made.images


def test_the_refused_and_repaired_are_counted_and_named(tmp_path):
    gray = Example("<gray>.png", TRAIN, 0, noise(0), "grayscale")
    refused = Refusal("torn.png", "cut & short")
    others = [
        Example(f"{label}{split}", split, label, noise(10 + label), "")
        for label in (0, 1)
        for split in (TRAIN, VALIDATION)
    ]
    data = make_data(tmp_path, [gray, refused, *others])
    values = {
        tile.label: tile.value for tile in sections.headline(data, "nothing")
    }
    assert values["Refused"] == "1"
    assert values["Repaired"] == "1"
    assert values["Doubted"] == "2"
    assert values["What grows"] == "nothing"


# Sizes, colors


def test_sizes_are_those_of_the_originals(tmp_path):
    shapes = [(20, 30), (40, 50), (90, 70)]
    examples = [
        Example(str(shape), TRAIN, label, np.zeros((*shape, 3), np.uint8))
        for label, shape in enumerate(shapes)
    ]
    examples.append(Example("v", VALIDATION, 0, noise(0)))
    data = make_data(tmp_path, examples, "abc")
    made = section(SECTIONS, "sizes", sections.sizes(data.train, 32))
    assert "smaller than 32 px on a side: 33.3%; square: 0.0%" in made.text
    alt = made.images[0]["alt"]
    assert "height 20 to 90, half of them up to 40 px" in alt
    assert "width 30 to 70, half of them up to 50 px" in alt


def test_one_size_is_a_sentence(tiny_data):
    made = section(SECTIONS, "sizes", sections.sizes(tiny_data.train, 24))
    assert "Every training image is 24 px high and 24 px wide" in made.text
    assert not made.images


def test_the_histogram_counts_every_pixel_of_every_channel():
    images = np.zeros((2, 2, 2, 3), np.uint8)
    images[0, 0, 0] = 255, 10, 0
    counts = colors.histogram(images)
    assert counts.sum(axis=1).tolist() == [8, 8, 8]
    assert counts[0, 255] == counts[1, 10] == 1
    assert counts[2, 0] == 8


def test_brightness_weighs_the_channels_as_the_eye_does():
    images = np.zeros((4, 2, 2, 3), np.uint8)
    for channel in range(3):
        images[channel, ..., channel] = 100
    images[3] = 100
    np.testing.assert_allclose(
        colors.brightness(images), [29.9, 58.7, 11.4, 100], atol=1e-3
    )


def test_images_without_color_are_counted_class_by_class(tmp_path, monkeypatch):
    monkeypatch.setattr(colors, "CHUNK", 3)
    gray = [np.repeat(noise(k)[..., :1], 3, axis=2) for k in range(3)]
    tinted = gray[0].copy()
    tinted[5, 5, 2] ^= 1  # a single pixel has a color
    images = [*gray, tinted, noise(5), noise(6), noise(7), noise(8)]
    labels = [1, 1, 0, 1, 0, 0, 0, 0]
    examples = [
        Example(str(index), TRAIN, label, image)
        for index, (label, image) in enumerate(zip(labels, images, strict=True))
    ]
    examples.append(Example("v", VALIDATION, 0, noise(9)))
    data = make_data(tmp_path, examples)
    gray = colors.grayscale(data.train, 32)
    assert gray.tolist() == [True] * 3 + [False] * 5
    made = section(SECTIONS, "color", sections.color(data, 32, seed=0))
    assert "Grayscale training images: 3 (37.5%)" in made.text
    assert "Most of them: b 66.7%, a 20.0%." in made.text


def test_the_channels_are_the_stores(page, tiny_data):
    rows = page().rows
    for name, mean, variance in zip(
        ("Red", "Green", "Blue"),
        tiny_data.mean,
        tiny_data.variance,
        strict=True,
    ):
        assert [name, f"{mean:.1f}", f"{variance**0.5:.1f}"] in rows


# Samples, iconic images


def rows_of(source: str) -> dict[str, list[dict]]:
    """Class -> its pictures, of a section with a heading for each."""
    parts = re.split(r"<h3>(.*?)</h3>", source)[1:]
    return {
        name: Page(part).images
        for name, part in zip(parts[::2], parts[1::2], strict=True)
    }


def test_samples_are_of_their_class(tiny_data):
    samples = pictures.samples(tiny_data, 24, seed=0)
    rows = rows_of(section(SECTIONS, "samples", samples).source)
    assert list(rows) == list(tiny_data.class_names)
    for (name, images), color in zip(rows.items(), COLORS, strict=True):
        assert len(images) == pictures.SAMPLES_PER_CLASS
        assert len({image["src"] for image in images}) == len(images)
        for image in images:
            assert f"{name}, training image train/{name}/" in image["alt"]
            mean = pixels(image).mean((0, 1))
            np.testing.assert_allclose(mean, color, atol=25)


def test_iconic_images_are_the_first_of_the_sample_order(page, tiny_data):
    source = page().source.split("Iconic images")[1].split("<h2>")[0]
    rows = rows_of(source)
    assert list(rows) == list(tiny_data.class_names)
    for label, (name, images) in enumerate(rows.items()):
        files = [image["alt"].split("/")[-1] for image in images]
        count = TRAIN_COUNTS[label]
        expected = range(count - 1, count - 11, -1)  # the stand-in's order
        assert files == [f"{number}.png" for number in expected], name


def test_of_many_classes_twelve_have_iconic_images(tmp_path):
    data = many_classes(tmp_path)
    iconic = [
        np.flatnonzero(data.train.labels == label)[::-1] for label in range(250)
    ]
    rows, same, other = (
        rows_of(
            section(
                SECTIONS, "iconic", pictures.iconic(data, iconic, 8, seed)
            ).source
        )
        for seed in (1, 1, 2)
    )
    assert len(rows) == 12
    assert rows == same != other


def many_classes(tmp_path) -> store.Data:
    names = [f"class {number}" for number in range(250)]
    examples = [
        Example(f"{split}{label}-{number}", split, label, noise(label, 8))
        for split in (TRAIN, VALIDATION)
        for label in range(250)
        for number in range(2)
    ]
    return make_data(tmp_path, examples, names, size=8)


def test_many_classes_have_one_picture_each_up_to_a_limit(tmp_path):
    data = many_classes(tmp_path)
    made = section(SECTIONS, "samples", pictures.samples(data, 8, seed=0))
    names = {image["alt"].split(",")[0] for image in made.images}
    assert len(made.images) == len(names) == pictures.SAMPLES


# Classes


def test_a_class_enters_with_the_first_stage_that_has_it():
    stages = tuple(
        Stage(index, num_classes=count) for index, count in enumerate((2, 3, 2))
    )
    order = np.array([3, 1, 0, 4, 2])
    entering = classes.entering_stages(Plan(stages, (1, 1, 1)), order)
    assert entering == [1, 0, None, 0, None]
    assert classes.stage_names(entering) == [
        *("stage 2", "stage 1", "never", "stage 1", "never")
    ]


def test_the_leaves_of_the_tree_carry_the_stage(page):
    (alt,) = (
        image["alt"]
        for image in page(grow_classes=(2, 4)).images
        if image["alt"].startswith("Which classes are similar")
    )
    leaves = alt.rstrip(".").split(": ")[1].split(", ")
    assert set(leaves) == {
        "sun (stage 1)",
        "rook (stage 1)",
        "moon (stage 2)",
        "rock crystal (stage 2)",
    }


def test_classes_that_are_alike_are_neighbors_in_the_tree():
    means = np.array([[0.0], [10], [1], [11], [30]])
    _, text = render(
        lambda figure: drawing.draw_dendrogram(
            figure, means, list("abcde"), [0, 0, 1, None, 2]
        ),
        "light",
    )
    leaves = text.replace(", ", "")
    assert sorted(leaves) == list("abcde")
    assert "ac" in leaves or "ca" in leaves
    assert "bd" in leaves or "db" in leaves


def test_the_classes_of_each_stage_are_listed_in_their_order(page):
    text = page(grow_classes=(2, 4)).text
    assert "Stage 1: 2 classes sun, rook" in text
    assert "Stage 2: 2 classes moon, rock crystal" in text
    assert "--class_order=random" in text


def test_of_very_many_classes_the_tree_has_the_first(tmp_path):
    data = many_classes(tmp_path)
    features = np.random.default_rng(0).normal(size=(500, 4))
    stages, order = [0] * 250, np.arange(250)[::-1]
    tree = classes.class_order(data, features, stages, order, "random")
    made = section(SECTIONS, "class_order", tree)
    assert "the first 150 of 250 classes in order" in made.text
    leaves = made.images[0]["alt"].split(": ")[1].split(", ")
    assert len(leaves) == classes.LEAVES
    assert "class 249 (stage 1)" in leaves
    assert "and 50 more" in made.text


def test_a_wnid_is_left_out_of_labels():
    assert short_name("n02123045 tabby") == "tabby"
    assert short_name("n02123045") == "n02123045"
    assert short_name("tiger cat") == "tiger cat"
    assert short_name("x" * 99) == "x" * 27 + "…"


# Duplicates


@pytest.fixture
def planted(tmp_path):
    """40 training images; of 5 to validate, two are of the same picture."""
    brighter = ImageEnhance.Brightness(Image.fromarray(noise(7))).enhance(0.8)
    copy = np.asarray(brighter.resize((40, 40)).resize((32, 32)))
    validation = [noise(100), copy, noise(101), noise(31), noise(102)]
    examples = [
        Example(f"t{index}", TRAIN, index % 2, noise(index))
        for index in range(40)
    ] + [
        Example(f"v{index}", VALIDATION, 0, image)
        for index, image in enumerate(validation)
    ]
    return make_data(tmp_path, examples)


@pytest.mark.parametrize("chunk", [1, 7, 1000])
def test_a_changed_copy_is_found_and_other_images_are_not(
    planted, monkeypatch, chunk, capsys
):
    monkeypatch.setattr(duplicates, "CHUNK", chunk)
    nearest = duplicates.find_nearest(planted.train, planted.validation, 32)
    assert nearest.matches().tolist() == [3, 1]  # the exact copy first
    assert nearest.index[[3, 1]].tolist() == [31, 7]
    assert nearest.similarity[3] == pytest.approx(1, abs=1e-5)
    assert duplicates.THRESHOLD <= nearest.similarity[1] < 0.99999
    assert (nearest.similarity[[0, 2, 4]] < 0.9).all()
    assert nearest.pairs == 2
    assert capsys.readouterr().out == (
        "comparing 5 validation images with 40 training images\n"
    )


def test_the_pairs_are_shown_with_their_ids(planted):
    nearest = duplicates.find_nearest(planted.train, planted.validation, 32)
    twins = pictures.near_duplicates(planted, nearest, 32)
    made = section(SECTIONS, "near_duplicates", twins)
    assert "2 of the validation images (40.00%)" in made.text
    assert [image["alt"] for image in made.images] == [
        "a, validation image v3",
        "b, training image t31",
        "a, validation image v1",
        "b, training image t7",
    ]
    np.testing.assert_allclose(
        pixels(made.images[3]).astype(float), noise(7), atol=40
    )
    # Of the data report: the one with the very same pixels.
    assert "of another class: 1, such as: v3: same pixels as t31" in made.text


def test_no_duplicates_no_pictures(tiny_data):
    nearest = duplicates.find_nearest(tiny_data.train, tiny_data.validation, 24)
    twins = pictures.near_duplicates(tiny_data, nearest, 24)
    made = section(SECTIONS, "near_duplicates", twins)
    assert "0 of the validation images (0.00%)" in made.text
    assert "of another class: 0." in made.text
    assert not made.images


def test_blank_images_are_like_nothing():
    blank = np.full((3, 32, 32, 3), [[[[9, 90, 200]]]], np.uint8)
    blank[1, :4] += 1
    vectors = duplicates.thumbnails(blank)
    np.testing.assert_array_equal(vectors, 0)


def test_brightness_and_contrast_do_not_count():
    image = noise(1) // 2
    vectors = duplicates.thumbnails(np.stack([image, image // 2 + 90]))
    assert vectors[0] @ vectors[1] > 0.999


def test_a_common_cast_is_no_likeness():
    """Two unlike pictures, both of them orange."""
    cast = np.array([200, 100, 0])
    pair = [cast + (noise(seed) - 128.0) / 8 for seed in (1, 2)]
    pair = np.clip(np.stack(pair), 0, 255).astype(np.uint8)
    one, other = duplicates.thumbnails(pair)
    assert one @ other < 0.6


# The page


def test_the_page_refers_to_nothing_outside_itself(page):
    made = page(balance="oversample")
    for tag, fields in made.tags:
        assert tag not in ("script", "link", "iframe", "object", "base")
        for name in ("src", "srcset", "href"):
            assert fields.get(name, "data:").startswith("data:")
    assert not re.search(r"https?://|url\(|@import", made.source)
    assert len(made.source) < 5_000_000


def test_every_picture_has_an_alt_text(page):
    images = page().images
    assert len(images) > 60
    assert all(image["alt"].strip() for image in images)


def test_plots_differ_on_dark_screens(page):
    source = page().source
    pairs = re.findall(
        r'srcset="data:image/png;base64,([\w+/=]+)">\s*'
        r'<img src="data:image/png;base64,([\w+/=]+)"',
        source,
    )
    assert len(pairs) == 4
    assert all(dark != light for dark, light in pairs)


def test_the_largest_dataset_stays_below_five_megabytes(tmp_path, tiny_config):
    """250 classes of pictures that compress badly, at the largest size."""
    random = np.random.default_rng(0)
    names = [f"class {number}" for number in range(250)]
    examples = [
        Example(
            f"{split}/{'folder/' * 6}{label}-{number}.jpeg",
            split,
            label,
            random.integers(0, 256, (64, 64, 3), np.uint8),
        )
        for split, count in ((TRAIN, 10), (VALIDATION, 1))
        for label in range(250)
        for number in range(count)
    ]
    data = make_data(tmp_path, examples, names, size=64)
    rows = [np.flatnonzero(data.train.labels == label) for label in range(250)]
    twins = duplicates.Nearest(np.ones(250), np.arange(250), 250)
    parts = {
        "samples": pictures.samples(data, 64, 0),
        "iconic": pictures.iconic(data, rows, 64, 0),
        "near_duplicates": pictures.near_duplicates(data, twins, 64),
    }
    made = [section(SECTIONS, *part) for part in parts.items()]
    assert [len(part.images) for part in made] == [200, 120, 24]
    assert sum(len(part.source) for part in made) < 4_000_000


def test_names_of_the_user_are_escaped(tmp_path):
    names = ("<script>R&D", "<b>{{7*7}}</b>")
    examples = [
        Example(f"<i>{split}", split, label, noise(label + 10 * index))
        for label in (0, 1)
        for index, split in enumerate((TRAIN, VALIDATION))
    ]
    data = make_data(tmp_path, examples, names)
    order = np.arange(2)
    features = np.eye(2)
    twins = duplicates.Nearest(np.ones(2), np.arange(2), 2)
    parts = {
        "counts": sections.counts(data, ["stage 1"] * 2, order, True),
        "samples": pictures.samples(data, 32, 0),
        "near_duplicates": pictures.near_duplicates(data, twins, 32),
        "class_order": classes.class_order(
            data, features, [0, 0], order, "<u>"
        ),
    }
    for name, values in parts.items():
        source = section(SECTIONS, name, values).source
        for tag in ("<script", "<b>", "<i>", "<u>"):
            assert tag not in source
        assert "&lt;script&gt;R&amp;D" in source
        assert "&lt;b&gt;{{7*7}}" in source


def test_hostile_class_names_are_text_on_the_whole_page(tiny_config, tiny_data):
    names = ("<script>rook", "{{7*7}}", "<b>sun", "{% include 'x' %}")
    data = dataclasses.replace(tiny_data, class_names=names)
    source = write.explore(make_experiment(tiny_config(), data)).read_text(
        "utf-8"
    )
    assert "<script" not in source and "<b>sun" not in source
    for escaped in (
        "<h3>&lt;script&gt;rook</h3>",
        "<h3>{{7*7}}</h3>",
        "<h3>{% include &#39;x&#39; %}</h3>",
    ):
        assert source.count(escaped) == 2  # samples and iconic images


def test_the_same_settings_give_the_same_page(page):
    assert page(seed=3).source == page(seed=3).source
    assert page(seed=3).source != page(seed=4).source


def test_a_run_that_is_there_is_not_touched(tmp_path, page):
    run = tmp_path / "run"
    (run / "checkpoints").mkdir(parents=True)
    for name in ("plan.json", "report.html", "loss.png", "checkpoints/8.npz"):
        (run / name).write_text(name)
    page(workdir=str(run))
    files = {p.relative_to(run) for p in run.rglob("*") if p.is_file()}
    assert pathlib.Path("explore.html") in files
    assert len(files) == 5
    for path in files - {pathlib.Path("explore.html")}:
        assert (run / path).read_text() == path.as_posix()


def test_a_workdir_that_is_a_file_is_named(tiny_config, tiny_data, tmp_path):
    (tmp_path / "file").write_text("")
    config = tiny_config(workdir=str(tmp_path / "file"))
    with pytest.raises(UserError, match="--workdir=.*file: explore.html"):
        write.explore(make_experiment(config, tiny_data))


def test_the_mode_prints_where_the_page_is(
    tiny_dataset, tiny_config, tmp_path, capsys
):
    workdir = tmp_path / "new" / "folder"
    config = tiny_config(cache_dir=tiny_dataset, workdir=str(workdir))
    modes.explore(config)
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1] == str(workdir / "explore.html")
    assert "comparing 20 validation images with 46 training images" in lines
    assert [path.name for path in workdir.iterdir()] == ["explore.html"]


def test_an_impossible_size_costs_no_store(tiny_config, tmp_path):
    config = tiny_config(cache_dir=str(tmp_path / "none"), grow_size=(20,))
    with pytest.raises(UserError, match="size 20"):
        write.open_data(config)
    assert not (tmp_path / "none").exists()
