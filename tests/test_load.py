"""A config leads to opened data, and what it lacks is said."""

import dataclasses

import pytest
from PIL import Image

from smartgrowth import UserError
from smartgrowth.data import load


@pytest.fixture
def pets(tmp_path):
    """Three classes to train on, of which one is validated."""
    names = [f"train/{c}/a.png" for c in ("cat", "cow", "dog")]
    for value, name in enumerate([*names, "val/cat/a.png"]):
        path = tmp_path / "pets" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8), (value, 0, 0)).save(path)
    return tmp_path / "pets"


def test_classes_that_are_never_judged_are_named(
    pets, tiny_config, tmp_path, capsys
):
    said = (
        "2 of 3 classes have no validation image and are never judged: cow, dog"
    )
    config = tiny_config(
        dataset=f"folder:{pets}", cache_dir=str(tmp_path / "cache")
    )
    for _ in range(2):  # also where the store is there
        load.open_images(config, {8})
        assert capsys.readouterr().out.splitlines()[-1] == said
    for name in ("cow", "dog"):
        path = pets / "val" / name / "a.png"
        path.parent.mkdir()
        Image.new("RGB", (8, 8), (0, 99, 0)).save(path)
    load.open_images(config, {8})
    assert "never judged" not in capsys.readouterr().out


def test_too_many_broken_images_stop_and_are_named(
    tiny_config, tmp_path, capsys
):
    """One of 20; where it is allowed, it is left out as ever."""
    for split, count in (("train", 10), ("val", 4)):
        for value in range(2 * count):
            path = tmp_path / f"pets/{split}/{'cd'[value % 2]}/{value}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (8, 8), (value, 0, 0)).save(path)
    (tmp_path / "pets/train/c/0.png").write_bytes(b"no")
    config = tiny_config(
        dataset=f"folder:{tmp_path / 'pets'}",
        cache_dir=str(tmp_path / "cache"),
        max_bad_fraction=0.049,
    )
    said = (
        f"--dataset={config.dataset}: 1 of 20 training images cannot be read, "
        "more than --max_bad_fraction=0.049: train/c/0.png (not an image that "
        "can be read); mend or remove them, or leave them out with "
        "--max_bad_fraction=0.05"
    )
    for _ in range(2):  # also where the store is there
        with pytest.raises(UserError) as caught:
            load.open_images(config, {8})
        assert str(caught.value) == said
    assert capsys.readouterr().out.count("storing") == 1
    allowed = dataclasses.replace(config, max_bad_fraction=0.05)
    data = load.open_images(allowed, {8})
    assert len(data.train.ids) == 19
    assert data.report()["refused"].keys() == {"train/c/0.png"}
    assert "storing" not in capsys.readouterr().out
    # A fraction of each split: one of 8 is more than one of 20.
    (tmp_path / "pets/val/c/0.png").write_bytes(b"no")
    with pytest.raises(UserError, match="1 of 8 validation images.*=0.13$"):
        load.open_images(allowed, {8})


def test_broken_images_of_classes_that_are_left_out_stop_nothing(
    pets, tiny_config, tmp_path
):
    for name in "abcd":
        (pets / f"train/cow/{name}.png").write_bytes(b"no")
    config = tiny_config(
        dataset=f"folder:{pets}", cache_dir=str(tmp_path / "cache")
    )
    with pytest.raises(UserError, match="image of class 'cow' could be used"):
        load.open_images(config, {8})
    part = dataclasses.replace(config, classes=("cat", "dog"))
    assert len(load.open_images(part, {8}).train.ids) == 2
