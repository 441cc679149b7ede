"""A store holds what its source gave, once, whatever comes in between."""

import dataclasses
import errno
import io
import json
import pathlib
import re
import tracemalloc

import numpy as np
import pytest
from PIL import Image

from smartgrowth import UserError
from smartgrowth.data import build, integrity, store
from smartgrowth.data.source import (
    DIGEST,
    TRAIN,
    VALIDATION,
    Example,
    Refusal,
    Source,
)
from smartgrowth.runtime.atomic import PREFIX
from smartgrowth.runtime.reporter import Reporter

NAMES = ("n01 tabby", "n02 crane", "n03 crane", "n04 sea lion")


def picture(seed: int, height: int = 20, width: int = 20) -> np.ndarray:
    random = np.random.default_rng(seed)
    return random.integers(0, 256, (height, width, 3), dtype=np.uint8)


def one_of_each(names=NAMES) -> list[Example]:
    """A training and a validation image of every class."""
    return [
        Example(f"{split}/{label}", split, label, picture(2 * label + k))
        for label in range(len(names))
        for k, split in enumerate((TRAIN, VALIDATION))
    ]


def make_source(examples, names=NAMES, native_size=None) -> Source:
    """examples: a list, or a function that makes the stream."""
    stream = examples if callable(examples) else lambda: iter(examples)
    return Source("made", "made-1", tuple(names), native_size, stream)


def build_store(cache, source, sizes=(8,)) -> pathlib.Path:
    return build.ensure_store(source.fingerprint, lambda: source, sizes, cache)


def open_store(cache, source, sizes=(8,), classes=("all",)) -> store.Data:
    return store.open_data(build_store(cache, source, sizes), classes)


def contents(directory: pathlib.Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in directory.iterdir()}


# Images


def test_images_are_pillows_own_resize_of_the_central_square(tmp_path):
    wide, tall = picture(1, 20, 31), picture(2, 26, 21)
    examples = [
        Example("wide", TRAIN, 0, wide),
        Example("tall", VALIDATION, 0, tall),
    ]
    data = open_store(tmp_path, make_source(examples, ("a",)), (8,))
    for split, image, box in (
        (data.train, wide, (5, 0, 25, 20)),
        (data.validation, tall, (0, 2, 21, 23)),
    ):
        expected = (
            Image.fromarray(image)
            .crop(box)
            .resize((8, 8), Image.Resampling.LANCZOS)
        )
        np.testing.assert_array_equal(split.images(8)[0], np.asarray(expected))


def test_images_of_the_stored_size_are_not_touched(tmp_path):
    examples = one_of_each()
    data = open_store(tmp_path, make_source(examples), (20,))
    stored = data.train.images(20)
    assert stored.dtype == np.uint8
    np.testing.assert_array_equal(
        stored, [e.image for e in examples if e.split == TRAIN]
    )


def test_nothing_is_stored_above_the_native_size(tmp_path):
    data = open_store(
        tmp_path, make_source(one_of_each(), native_size=20), (8, 32, 64)
    )
    names = {path.name for path in data.train.directory.glob("images_*")}
    assert names == {
        f"images_{split}_{size}.npy"
        for split in (TRAIN, VALIDATION)
        for size in (8, 20)
    }
    assert [data.stored_size(size) for size in (8, 20, 64)] == [8, 20, 20]


def test_without_a_native_size_every_size_is_stored(tmp_path):
    data = open_store(tmp_path, make_source(one_of_each()), (40,))
    assert data.stored_size(40) == 40
    assert data.train.images(40).shape == (4, 40, 40, 3)


def test_the_sizes_of_the_originals_are_kept(tmp_path):
    examples = [
        Example("wide", TRAIN, 0, picture(1, 20, 31)),
        Example("other", TRAIN, 1, picture(2, 9, 9)),
        Example("tall", TRAIN, 0, picture(3, 26, 21)),
        Example("seen", VALIDATION, 0, picture(4, 12, 40)),
    ]
    source = make_source(examples, ("a", "b"))
    data = open_store(tmp_path, source, (8,))
    sizes = data.train.original_sizes()
    assert sizes.dtype == np.int32
    assert sizes.tolist() == [[20, 31], [9, 9], [26, 21]]
    assert data.validation.original_sizes().tolist() == [[12, 40]]


# Made once


def test_a_store_that_is_there_is_not_made_again(tmp_path):
    directory = build_store(tmp_path, make_source(one_of_each()))

    def load():
        raise AssertionError("the source was opened")

    again = build.ensure_store("made-1", load, (8,), tmp_path)
    assert again == directory


def test_a_larger_size_than_native_is_there_if_native_is(tmp_path):
    source = make_source(one_of_each(), native_size=20)
    directory = build_store(tmp_path, source, (20,))
    before = contents(directory)
    build.ensure_store("made-1", lambda: 1 / 0, (48,), tmp_path)
    assert contents(directory) == before


def test_another_fingerprint_is_another_store(tmp_path):
    source = make_source(one_of_each())
    first = build_store(tmp_path, source)
    other = build.ensure_store("made-2", lambda: source, (8,), tmp_path)
    assert first != other
    assert (other / store.STORE_FILE).exists()


def test_a_later_size_is_made_alone(tmp_path, capsys):
    source = make_source(one_of_each())
    directory = build_store(tmp_path, source, (8, 16))
    before = contents(directory)
    times = {p.name: p.stat().st_mtime_ns for p in directory.glob("*.npy")}
    capsys.readouterr()
    build.ensure_store("made-1", lambda: source, (8, 12), tmp_path)
    first, *_ = capsys.readouterr().out.splitlines()
    assert first == f"storing made at 12 px in {directory}"
    for path in directory.glob("*.npy"):
        if not path.name.endswith("_12.npy"):
            assert path.stat().st_mtime_ns == times[path.name], path.name
            assert path.read_bytes() == before[path.name]
    facts = json.loads((directory / store.STORE_FILE).read_text())
    assert facts["sizes"] == [8, 12, 16]
    assert store.open_data(directory).train.images(12).shape == (4, 12, 12, 3)


@pytest.mark.parametrize(
    "lost",
    [
        "images_train_8.npy",
        "labels_validation.npy",
        "ids_train.txt",
        "sizes_validation.npy",  # stores were made without, once
    ],
)
def test_a_file_that_a_cleaner_took_is_made_again(tmp_path, lost):
    source = make_source(one_of_each())
    directory = build_store(tmp_path, source)
    before = contents(directory)
    (directory / lost).unlink()
    build_store(tmp_path, source)
    assert contents(directory) == before


@pytest.mark.parametrize("version", [None, 1])
def test_a_store_whose_sums_mean_something_else_is_made_again(
    tmp_path, version
):
    source = make_source(one_of_each())
    directory = build_store(tmp_path, source, (8, 16))
    before = contents(directory)
    facts = json.loads(before[store.STORE_FILE])
    assert facts.pop("version") == integrity.VERSION
    facts |= {"version": version} if version else {}
    facts["channel_sums"] = (400 * np.array(facts["channel_sums"])).tolist()
    (directory / store.STORE_FILE).write_text(json.dumps(facts))
    build_store(tmp_path, source, (8, 16))
    assert contents(directory) == before


def cut_short(path):
    path.write_bytes(path.read_bytes()[:-2])


def empty(path):
    path.write_bytes(b"")


def garble(path):
    path.write_bytes(b"\xff\x00no such thing" * 9)


def nest(path):
    path.write_text("[[1]]")


@pytest.mark.parametrize("damage", [cut_short, empty, garble, nest])
@pytest.mark.parametrize(
    "name",
    [
        "images_train_8.npy",
        "images_validation_8.npy",
        "labels_train.npy",
        "ids_validation.txt",
        "sizes_train.npy",
        "digests_train.npy",
        store.REPORT_FILE,
        store.STORE_FILE,
    ],
)
def test_a_damaged_file_is_made_again(tmp_path, name, damage):
    source = make_source(one_of_each())
    directory = build_store(tmp_path, source)
    before = contents(directory)
    damage(directory / name)
    build_store(tmp_path, source)
    assert contents(directory) == before


@pytest.mark.parametrize(
    ("name", "array"),
    [
        ("images_train_8.npy", np.zeros((3, 8, 8, 3), np.uint8)),
        ("images_train_8.npy", np.zeros((4, 8, 8, 3), np.int8)),
        ("images_train_8.npy", np.asfortranarray(np.ones((4, 8, 8, 3), "u1"))),
        ("labels_train.npy", np.array([0, 1, 2, 9])),
        ("labels_train.npy", np.array([[0, 1, 2, 3]])),
        ("sizes_train.npy", np.zeros((4, 3), np.int32)),
        ("digests_train.npy", np.zeros((4, DIGEST), np.uint8)),
    ],
)
def test_an_array_of_another_shape_or_content_is_made_again(
    tmp_path, name, array
):
    source = make_source(one_of_each())
    directory = build_store(tmp_path, source)
    before = contents(directory)
    np.save(directory / name, array)
    build_store(tmp_path, source)
    assert contents(directory) == before


@pytest.mark.parametrize(
    "change",
    [
        {"class_names": ["a"]},
        {"class_names": 3},
        {"sizes": "8"},
        {"sizes": [[8]]},
        {"sizes": None},
        {"content": "0"},
        {"pixels": "0"},
        {"native_size": "large"},
        {"groups": ["sky"]},
        {"channel_sums": [1, 2, 3]},
    ],
)
def test_facts_of_another_shape_are_made_again(tmp_path, change):
    source = make_source(one_of_each())
    directory = build_store(tmp_path, source)
    before = contents(directory)
    facts = json.loads(before[store.STORE_FILE])
    (directory / store.STORE_FILE).write_text(json.dumps(facts | change))
    build_store(tmp_path, source)
    assert contents(directory) == before


@pytest.mark.parametrize(
    "key", ["sizes", "content", "pixels", "groups", "class_names"]
)
def test_facts_that_lack_something_are_made_again(tmp_path, key):
    source = make_source(one_of_each())
    directory = build_store(tmp_path, source)
    before = contents(directory)
    facts = json.loads(before[store.STORE_FILE])
    del facts[key]
    (directory / store.STORE_FILE).write_text(json.dumps(facts))
    build_store(tmp_path, source)
    assert contents(directory) == before


def test_a_later_size_of_changed_images_is_refused(tmp_path):
    directory = build_store(tmp_path, make_source(one_of_each()), (8,))
    before = contents(directory)
    fewer = make_source(one_of_each()[:-2])
    with pytest.raises(UserError, match="--dataset=made.*delete that folder"):
        build_store(tmp_path, fewer, (16,))
    assert contents(directory) == before


# Interrupted


@pytest.mark.parametrize("kind", [KeyboardInterrupt, ValueError])
def test_an_interrupted_build_leaves_nothing(tmp_path, kind):
    def stream():
        yield from one_of_each()
        raise kind

    with pytest.raises(kind):
        build_store(tmp_path, make_source(stream))
    assert [p for p in tmp_path.rglob("*") if p.is_file()] == []


def test_an_interrupted_second_size_leaves_the_first(tmp_path):
    source = make_source(one_of_each())
    directory = build_store(tmp_path, source)
    before = contents(directory)

    def stream():
        yield from one_of_each()[:3]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build_store(tmp_path, make_source(stream), (16,))
    assert contents(directory) == before


def test_a_store_interrupted_before_its_last_file_is_made_again(tmp_path):
    source = make_source(one_of_each())
    directory = build_store(tmp_path, source)
    before = contents(directory)
    (directory / store.STORE_FILE).write_text('{"sizes": [')
    np.save(directory / "labels_train.npy", [3])
    build_store(tmp_path, source)
    assert contents(directory) == before


def test_progress_is_told_while_a_store_is_made(tmp_path):
    stream = io.StringIO()
    source = make_source(one_of_each())
    reporter = Reporter(stream, other_seconds=0.0)
    build.ensure_store("made-1", lambda: source, (8,), tmp_path, reporter)
    first, *progress, last = stream.getvalue().splitlines()
    count = len(one_of_each())
    assert first.startswith("storing made at 8 px in ")
    assert [line.partition(" images")[0] for line in progress] == [
        f"  {number}" for number in range(1, count + 1)
    ]
    assert all(line.endswith("/s") for line in progress)
    assert re.fullmatch(rf"  {count} images stored in \d+ s", last)


@pytest.mark.parametrize("when", ["opening", "writing", "buffered"])
def test_a_full_disk_is_named_with_the_way_out(tmp_path, monkeypatch, when):
    """writing: the disk refuses at once. buffered: as `/dev/full` does, only
    when a buffer is emptied, which closing the file does too."""
    full = OSError(errno.ENOSPC, "No space left on device")
    really_open = pathlib.Path.open
    opened = []

    def open_full(path, *arguments, **options):
        file = really_open(path, *arguments, **options)
        if path.name.startswith(PREFIX) and "_images_" in path.name:
            opened.append(path)
            if when == "opening" and len(opened) == 2:
                file.close()
                path.unlink()
                raise full
            if when == "buffered":
                file.close()
                return really_open(pathlib.Path("/dev/full"), "wb")
        return file

    def refuse(writer):
        raise full

    monkeypatch.setattr(pathlib.Path, "open", open_full)
    if when == "writing":
        monkeypatch.setattr(build._ArrayWriter, "_flush", refuse)
    with pytest.raises(UserError) as caught:
        build_store(tmp_path, make_source(one_of_each()))
    assert str(caught.value) == (
        f"--cache_dir={tmp_path}: cannot write the store (No space left on "
        "device); make room or name another folder"
    )
    assert opened
    assert [p for p in tmp_path.rglob("*") if p.is_file()] == []


def test_a_cache_that_is_a_file_is_named(tmp_path):
    cache = tmp_path / "cache"
    cache.write_text("")
    with pytest.raises(UserError, match=f"--cache_dir={cache}: cannot write"):
        build_store(cache, make_source(one_of_each()))


def test_a_source_that_cannot_be_read_is_not_taken_for_a_full_disk(tmp_path):
    def stream():
        yield from one_of_each()
        raise OSError(errno.EIO, "Input/output error")

    with pytest.raises(UserError, match="--dataset=made cannot be read") as e:
        build_store(tmp_path, make_source(stream))
    assert "cache_dir" not in str(e.value)


# What a store says of itself


def test_labels_ids_and_order_are_the_stream_s(tmp_path, tiny_source):
    data = open_store(tmp_path, tiny_source, (24,))
    for name in (TRAIN, VALIDATION):
        stream = [e for e in tiny_source.examples() if e.split == name]
        split = data.split(name)
        assert split.labels.dtype == np.int64
        assert split.labels.tolist() == [e.label for e in stream]
        assert split.ids == tuple(e.id for e in stream)
        np.testing.assert_array_equal(
            split.images(24)[split.rows], [e.image for e in stream]
        )
    assert data.class_names == tiny_source.class_names
    assert data.groups == tiny_source.groups
    assert data.class_counts.tolist() == [13, 12, 11, 10]


def test_ids_stay_lines_whatever_a_file_is_called(tmp_path):
    names = ["a\nb", "c\rd", "e\u2028f", "caf\udce9"]  # the last: Latin-1
    examples = [
        Example(name, split, label, picture(label))
        for label, name in enumerate(names)
        for split in (TRAIN, VALIDATION)
    ]
    refused = Refusal("ol\udce9", "torn")
    data = open_store(tmp_path, make_source([*examples, refused]))
    assert data.train.ids == (r"a\nb", r"c\rd", r"e\u2028f", r"caf\udce9")
    assert data.report()["refused"] == {"ol\\udce9": "torn"}


@pytest.mark.parametrize("chosen", [(0, 1, 2, 3), (1, 3), (2, 0)])
def test_mean_and_variance_are_numpys_over_the_chosen_classes(
    tmp_path, tiny_source, chosen
):
    names = [tiny_source.class_names[label] for label in chosen]
    data = open_store(tmp_path, tiny_source, classes=names)
    pixels = np.concatenate(
        [
            example.image.reshape(-1, 3)
            for example in tiny_source.examples()
            if example.split == TRAIN and example.label in chosen
        ]
    )
    np.testing.assert_allclose(data.mean, pixels.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(data.variance, pixels.var(axis=0), rtol=1e-10)


def test_the_statistics_weigh_a_large_photo_like_a_small_image(tmp_path):
    photo = np.full((1500, 1500, 3), 250, np.uint8)
    small = [picture(seed, 32, 32) for seed in range(9)]
    examples = [
        Example("photo", TRAIN, 0, photo),
        *(Example(f"{i}", TRAIN, 0, image) for i, image in enumerate(small)),
        Example("unseen", VALIDATION, 0, photo),
    ]
    data = open_store(tmp_path, make_source(examples, ("a",)), (32,))
    stored = data.train.images(32).astype(np.float64)
    np.testing.assert_allclose(data.mean, stored.mean(axis=(0, 1, 2)))
    np.testing.assert_allclose(data.variance, stored.var(axis=(0, 1, 2)))
    # Not the -8 that the photo's 2,250,000 pixels would make of it.
    normalized = (stored - data.mean) / np.sqrt(data.variance)
    assert abs(normalized.mean()) < 1e-9


def test_the_statistics_leave_out_what_is_cut_off(tmp_path):
    gray = np.full((10, 10, 3), 100, np.uint8)
    wide = np.pad(gray, ((0, 0), (7, 7), (0, 0)), constant_values=255)
    tall = np.pad(gray // 2, ((9, 9), (0, 0), (0, 0)), constant_values=255)
    examples = [
        Example("wide", TRAIN, 0, wide),
        Example("tall", TRAIN, 0, tall),
        Example("unseen", VALIDATION, 0, wide),
    ]
    data = open_store(tmp_path, make_source(examples, ("a",)))
    assert data.mean == (75.0, 75.0, 75.0)
    assert data.variance == (625.0, 625.0, 625.0)


def test_content_is_of_names_ids_and_labels(tmp_path):
    examples = one_of_each()

    def content(name, examples, **options):
        return open_store(
            tmp_path / name, make_source(examples), **options
        ).content

    first = content("a", examples)
    assert content("b", examples, sizes=(16,)) == first
    assert content("c", examples, classes=("2",)) != first
    assert content("d", [*examples, examples[0]]) != first


def test_pixels_are_known_whatever_the_sizes_of_the_store(tmp_path):
    examples = one_of_each()

    def pixels(name, examples, **options):
        data = open_store(tmp_path / name, make_source(examples), **options)
        return data.content, data.pixels

    first = pixels("a", examples)
    assert pixels("b", examples, sizes=(16, 4)) == first
    for index in (4, 5):  # one to train on, one to validate on
        other = list(examples)
        image = other[index].image.copy()
        image[0, 0, 0] ^= 1  # a bit, which no resized image might show
        other[index] = dataclasses.replace(other[index], image=image)
        content, changed = pixels(f"c{index}", other)
        assert content == first[0]
        assert changed != first[1]
        # Classes 0 and 1 are as they were, 2 is not.
        for count in "2", "3":
            part, whole = (
                pixels(name, [], classes=(count,))[1]
                for name in (f"c{index}", "a")
            )
            assert (part == whole) == (count == "2")


def test_a_digest_of_its_source_stands_for_an_image(tmp_path):
    """As of a JPEG, which another decoder may read a bit differently."""
    examples = one_of_each()

    def pixels(name, image, digest):
        first = dataclasses.replace(examples[0], image=image, digest=digest)
        source = make_source([first, *examples[1:]])
        return open_store(tmp_path / name, source).pixels

    one = pixels("a", picture(90), b"a" * DIGEST)
    assert pixels("b", picture(91), b"a" * DIGEST) == one
    assert pixels("c", picture(90), b"b" * DIGEST) != one


def test_a_later_size_of_other_pixels_is_refused(tmp_path):
    directory = build_store(tmp_path, make_source(one_of_each()))
    before = contents(directory)
    first, *others = one_of_each()
    changed = [dataclasses.replace(first, image=picture(90)), *others]
    with pytest.raises(UserError, match="--dataset=made.*delete that folder"):
        build_store(tmp_path, make_source(changed), (16,))
    assert contents(directory) == before


# --classes


def choose(directory, *classes) -> list[str]:
    return list(store.open_data(directory, classes).class_names)


@pytest.fixture(scope="module")
def named(tmp_path_factory):
    return build_store(
        tmp_path_factory.mktemp("named"), make_source(one_of_each())
    )


def test_classes_by_number_are_the_first_ones(named):
    assert choose(named, "2") == ["n01 tabby", "n02 crane"]
    assert choose(named, "4") == list(NAMES)


def test_classes_by_name_or_by_a_part_come_in_the_store_s_order(named):
    expected = ["n01 tabby", "n02 crane", "n04 sea lion"]
    assert choose(named, "n04 sea lion", "n01 tabby", "n02 crane") == expected
    assert choose(named, "sea lion", "n01", "n02") == expected
    assert choose(named, "n01", "tabby", "n04", "n02") == expected


def test_the_chosen_classes_are_relabeled_and_keep_their_images(named):
    data = store.open_data(named, ("n02", "n04"))
    assert data.train.labels.tolist() == [0, 1]
    assert data.train.ids == ("train/1", "train/3")
    assert data.train.rows.tolist() == [1, 3]
    assert data.validation.ids == ("validation/1", "validation/3")


@pytest.mark.parametrize("count", ["0", "1", "5"])
def test_a_number_of_classes_out_of_range_is_refused(named, count):
    with pytest.raises(UserError, match=f"--classes={count}: .*from 2 to 4"):
        choose(named, count)


def test_an_unknown_class_is_refused_with_near_ones(named):
    with pytest.raises(UserError, match="--classes: 'n01 taby'") as caught:
        choose(named, "n02", "n01 taby")
    assert "is not a class of this dataset" in str(caught.value)
    assert "such as n01 tabby" in str(caught.value)


def test_an_ambiguous_class_is_refused_with_those_it_may_mean(named):
    with pytest.raises(UserError, match="'crane' is more than one") as caught:
        choose(named, "crane")
    assert str(caught.value).endswith("such as n02 crane, n03 crane")


def test_no_class_is_refused(named):
    with pytest.raises(UserError, match="--classes"):
        choose(named)


def test_a_whole_name_is_not_ambiguous(tmp_path):
    names = ("crane", "black crane", "crane fly")
    source = make_source(one_of_each(names), names)
    assert choose(build_store(tmp_path, source), "crane", "fly") == [
        "crane",
        "crane fly",
    ]


# Refused, repaired, doubted


@pytest.mark.parametrize("split", [TRAIN, VALIDATION])
def test_no_usable_image_of_a_split_is_said_with_a_reason(tmp_path, split):
    examples = [e for e in one_of_each() if e.split != split]
    with pytest.raises(UserError) as caught:
        build_store(
            tmp_path, make_source([*examples, Refusal("a.png", "torn")])
        )
    assert str(caught.value) == (
        f"--dataset=made has no usable {split} images (refused a.png: torn); "
        "check the folder or file that it names"
    )
    assert [p for p in tmp_path.rglob("*") if p.is_file()] == []


def test_chosen_classes_without_a_validation_image_are_refused(tmp_path):
    examples = one_of_each()
    del examples[1], examples[2]  # of the first two classes
    source = make_source(examples)
    with pytest.raises(UserError, match="validation image.*--classes"):
        open_store(tmp_path, source, classes=("2",))
    assert len(open_store(tmp_path, source).validation.labels) == 2


def test_a_class_without_a_training_image_is_named(tmp_path):
    source = make_source(one_of_each()[:-2] + one_of_each()[-1:])
    with pytest.raises(UserError, match="training image of class 'n04 sea"):
        open_store(tmp_path, source)
    assert open_store(tmp_path, source, classes=("3",)).class_names == NAMES[:3]


def test_refusals_and_repairs_stand_in_the_report(tmp_path):
    examples = [
        *one_of_each(),
        Refusal("torn.png", "cannot identify image file"),
        Example("gray.png", TRAIN, 0, picture(99), "grayscale"),
        Refusal("empty.png", "empty"),
    ]
    data = open_store(tmp_path, make_source(examples))
    assert data.report() == {
        "dataset": "made",
        "images": {"train": 5, "validation": 4},
        "refused": {
            "torn.png": "cannot identify image file",
            "empty.png": "empty",
        },
        "repaired": {"gray.png": "grayscale"},
        "doubted": {},
    }


def test_the_same_pixels_in_both_splits_or_two_classes_are_doubted(tmp_path):
    first, second = picture(50), picture(51)
    examples = [
        *one_of_each(),
        Example("a", TRAIN, 0, first),
        Example("b", TRAIN, 0, first),  # a plain repeat is no cause of doubt
        Example("c", TRAIN, 1, second),
        Example("d", TRAIN, 2, second),
        Example("e", VALIDATION, 0, first),
    ]
    data = open_store(tmp_path, make_source(examples))
    assert data.report()["doubted"] == {
        "d": "same pixels as c in n02 crane",
        "e": "same pixels as a in train",
    }
    assert len(data.train.ids) == 8  # doubted, not left out


def test_what_is_refused_or_doubted_is_told_with_the_first(tmp_path, capsys):
    examples = [
        *one_of_each(),
        *(Refusal(f"{i}.png", "torn") for i in range(5)),
        Example("twin", VALIDATION, 0, picture(0)),
    ]
    build_store(tmp_path, make_source(examples))
    *_, refused, doubted = capsys.readouterr().out.splitlines()
    assert refused == (
        "  5 refused: 0.png (torn), 1.png (torn), 2.png (torn) and 2 more"
    )
    assert doubted == ("  1 doubted: twin (same pixels as train/0 in train)")


# Memory


def test_a_large_photo_is_not_copied_to_be_summed(tmp_path):
    image = np.full((3000, 4000, 3), 7, np.uint8)
    examples = [*one_of_each(), Example("large", TRAIN, 0, image)]
    tracemalloc.start()
    build_store(tmp_path, make_source(examples))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2 * image.nbytes


def test_building_holds_a_few_hundred_images_at_most(tmp_path):
    image, count = picture(0, 64, 64), 4000

    def stream():
        for number in range(count):
            split = VALIDATION if number % 4 == 0 else TRAIN
            yield Example(f"{number}", split, 0, image ^ (number % 251))

    tracemalloc.start()
    directory = build_store(tmp_path, make_source(stream, ("a",)), (64,))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    data = store.open_data(directory)
    assert len(data.train.labels) + len(data.validation.labels) == count
    # Two splits of 256 images and the one that is being stacked.
    assert peak < 4 * 256 * image.nbytes < count * image.nbytes / 3


def test_an_open_store_is_mapped_not_read(tmp_path):
    data = open_store(tmp_path, make_source(one_of_each()))
    assert isinstance(data.train.images(8), np.memmap)
