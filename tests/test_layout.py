"""Folders are splits or classes, or the reader is told what is in doubt."""

import pytest

from smartgrowth import UserError
from smartgrowth.data.source import TRAIN, VALIDATION
from smartgrowth.data.sources import layout
from smartgrowth.data.sources.listing import Listing


def find(*images: str, folders=()) -> layout.Layout:
    """What these images mean, and folders without images."""
    parents = {
        "/".join(image.split("/")[:depth])
        for image in images
        for depth in range(1, image.count("/") + 1)
    }
    listing = Listing(
        dict.fromkeys(images, (1, 1)), tuple({*parents, *folders}), {}
    )
    return layout.find_layout("folder:made", listing)


def classes_of(folder: str, names="abc", count=2) -> list[str]:
    return [f"{folder}/{c}/{i}.png" for c in names for i in range(count)]


@pytest.mark.parametrize(
    ("train", "validation"),
    [
        ("train", "val"),
        ("train", "validation"),
        ("train", "valid"),
        ("train", "Val"),
        ("train", "test"),
        ("train", "dev"),
        ("train", "eval"),
        ("training", "testing"),
        ("Training", "Testing"),
        ("TRAIN", "TEST"),
        ("training_set", "test_set"),
        ("Training Set", "Validation Set"),
        ("train_data", "val-data"),
        ("trainset", "testset"),
        ("train_images", "dev_images"),
        ("train2017", "val2017"),
        ("seg_train", "seg_test"),
        ("seg_train/seg_train", "seg_test/seg_test"),
        ("train/train", "valid/valid"),
        ("images/train", "images/val"),
    ],
)
def test_splits_go_by_several_names(train, validation):
    found = find(*classes_of(train), *classes_of(validation, count=1))
    assert found.splits == {
        TRAIN: {c: [f"{train}/{c}/{i}.png" for i in (0, 1)] for c in "abc"},
        VALIDATION: {c: [f"{validation}/{c}/0.png"] for c in "abc"},
    }
    assert found.unused == ()


@pytest.mark.parametrize(
    "name", ["trains", "latest", "contest", "devil", "medieval", "set", "val1"]
)
def test_a_class_may_have_a_name_that_only_holds_such_a_word(name):
    images = [f"{name}/deep/0.png", "plane/0.png"]
    assert set(find(*images).splits[TRAIN]) == {name, "plane"}


def test_val_is_preferred_to_test_which_is_said_not_to_be_used():
    found = find(
        *(i for part in ("train", "test", "val") for i in classes_of(part))
    )
    assert found.splits[VALIDATION]["a"] == ["val/a/0.png", "val/a/1.png"]
    assert found.unused == ("test (6 images)",)


def test_test_images_without_classes_are_not_validation():
    found = find(*classes_of("train"), "test/0.png")
    assert set(found.splits) == {TRAIN}
    assert found.unused == ("test (1 image)",)


def test_a_folder_beside_both_splits_is_said_not_to_be_used():
    found = find(*classes_of("train"), *classes_of("val"), "extra/0.png")
    assert found.unused == ("extra (1 image)",)


def test_folders_without_images_beside_the_one_that_holds_splits_are_none():
    images = [*classes_of("images/train"), *classes_of("images/val")]
    found = find(*images, folders=["labels", "labels/train"])
    assert set(found.splits[TRAIN]) == set(found.splits[VALIDATION]) == {*"abc"}


def test_images_outside_class_folders_are_said_not_to_be_used():
    assert find("a/0.png", "b/0.png", "loose.png").unused == (
        "1 outside class folders (loose.png)",
    )
    found = find(*classes_of("train"), "train/loose.png")
    assert found.unused == ("1 outside class folders (train/loose.png)",)


def test_a_class_may_be_called_train():
    found = find("train/0.png", "plane/0.png")
    assert found.splits == {
        TRAIN: {"train": ["train/0.png"], "plane": ["plane/0.png"]}
    }


def test_a_class_without_images_is_a_class_nonetheless():
    assert find("a/0.png", folders=["b"]).splits[TRAIN]["b"] == []
    found = find(*classes_of("train"), folders=["train/d"])
    assert found.splits[TRAIN]["d"] == []


@pytest.mark.parametrize(
    ("images", "parts"),
    [
        # A class that is called train, with folders of its own.
        (
            ["train/2023/0.png", "train/2024/0.png", "plane/0.png"],
            ["train looks like a split", "plane beside it"],
        ),
        (["train/a/0.png", "val/0.png"], ["val looks like validation images"]),
        (["train/a/0.png", "Dev/0.png"], ["Dev looks like validation images"]),
        (["Val/a/0.png", "Test/a/0.png"], ["(Test, Val)", "no training image"]),
        (["train/0.png", "val/0.png"], ["(train, val)", "no training image"]),
        (["test/0.png", "cat/0.png"], ["(test)", "rename what is a class"]),
        (["test/a/0.png", "test/b/0.png"], ["(test)", "no training image"]),
        (
            ["cat/train/0.png", "cat/val/0.png", "dog/train/0.png"],
            ["train, val in cat look like splits within a class"],
        ),
        # As detectors want it, boxes in labels/.
        (["images/train/0.png", "images/val/0.png"], ["(images/train, images"]),
        (["train/a/0.png", "Train/a/1.png"], ["Train, train all look like"]),
    ],
)
def test_what_can_be_read_in_two_ways_is_refused_by_name(images, parts):
    with pytest.raises(UserError) as caught:
        find(*images)
    message = str(caught.value)
    assert message.startswith("--dataset=folder:made: ")
    assert "\n" not in message
    for part in parts:
        assert part in message
