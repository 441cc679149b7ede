"""A folder of images becomes a source, or says what is wrong with it."""

import os

import numpy as np
import pytest
from PIL import Image

from smartgrowth import UserError
from smartgrowth.data.sources import folder
from smartgrowth.data.store import TRAIN, VALIDATION, Example, Refusal


def write(root, name: str, value: int = 100, size=(8, 6)) -> None:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, (value, value, value)).save(path)


def load(root):
    return folder.load_folder(str(root), f"folder:{root}")


def ids(source, split: str) -> list[str]:
    found = [e for e in source.examples() if isinstance(e, Example)]
    return [e.id for e in found if e.split == split]


@pytest.fixture
def pets(tmp_path):
    """40 cats and 40 dogs, not split."""
    for i in range(40):
        write(tmp_path, f"cat/{i}.png", i)
        write(tmp_path, f"dog/{i}.png", 100 + i)
    return tmp_path


@pytest.mark.parametrize("name", ["val", "validation", "valid", "test", "Val"])
def test_the_validation_folder_goes_by_several_names(tmp_path, name):
    for label, class_name in enumerate(("cat", "dog")):
        write(tmp_path, f"train/{class_name}/a.png", 10 + label)
        write(tmp_path, f"{name}/{class_name}/b.png", 20 + label)
    source = load(tmp_path)
    found = {e.id: (e.split, e.label, e.image) for e in source.examples()}
    assert source.class_names == ("cat", "dog")
    assert set(found) == {
        f"{folder}/{c}"
        for folder, c in [
            ("train", "cat/a.png"),
            ("train", "dog/a.png"),
            (name, "cat/b.png"),
            (name, "dog/b.png"),
        ]
    }
    split, label, image = found[f"{name}/dog/b.png"]
    assert (split, label) == (VALIDATION, 1)
    np.testing.assert_array_equal(image, np.full((6, 8, 3), 21))


def test_val_is_preferred_to_test(tmp_path):
    for split in ("train", "test", "val"):
        write(tmp_path, f"{split}/cat/a.png")
        write(tmp_path, f"{split}/dog/a.png")
    assert ids(load(tmp_path), VALIDATION) == ["val/cat/a.png", "val/dog/a.png"]


def test_test_images_without_classes_are_not_validation(tmp_path):
    for i in range(5):
        write(tmp_path, f"train/cat/{i}.png")
        write(tmp_path, f"train/dog/{i}.png")
    write(tmp_path, "test/unlabeled.png")
    source = load(tmp_path)
    found = ids(source, TRAIN) + ids(source, VALIDATION)
    assert len(found) == 10
    assert all(name.startswith("train/") for name in found)


def test_a_class_may_be_called_train(tmp_path):
    for i in range(4):
        write(tmp_path, f"train/{i}.png")
        write(tmp_path, f"plane/{i}.png")
    assert load(tmp_path).class_names == ("plane", "train")


def test_a_fifth_of_each_class_is_held_out(pets):
    source = load(pets)
    train, validation = ids(source, TRAIN), ids(source, VALIDATION)
    assert sorted(train + validation) == sorted(
        f"{c}/{i}.png" for c in ("cat", "dog") for i in range(40)
    )
    for class_name in ("cat", "dog"):
        held_out = sum(name.startswith(class_name) for name in validation)
        assert held_out == 8


def test_the_split_moves_little_when_images_are_added(pets):
    before = set(ids(load(pets), VALIDATION))
    for i in range(40, 60):
        write(pets, f"cat/{i}.png")
    after = set(ids(load(pets), VALIDATION))
    added = {f"cat/{i}.png" for i in range(40, 60)}
    # Those with the lowest draws: added ones take places, none moves back.
    dogs = {name for name in before if name.startswith("dog")}
    assert dogs <= after and len(after) == 12 + 8
    assert len(before - after) <= 4 and after & added


def test_the_smallest_class_has_one_image_on_each_side(tmp_path):
    for i in range(20):
        write(tmp_path, f"{i}/a.png")
        write(tmp_path, f"{i}/b.png")
    source = load(tmp_path)
    for split in (TRAIN, VALIDATION):
        classes = [name.split("/")[0] for name in ids(source, split)]
        assert sorted(classes) == sorted(str(i) for i in range(20))


def test_a_class_with_a_single_image_is_named(pets):
    write(pets, "bird/a.png")
    with pytest.raises(UserError, match="class 'bird' has a single image"):
        load(pets)


def test_a_validation_class_that_train_lacks_is_named(tmp_path):
    for name in ("train/cat/a", "train/dog/a", "val/cat/a", "val/cow/a"):
        write(tmp_path, f"{name}.png")
    with pytest.raises(UserError, match="'cow'"):
        load(tmp_path)


def test_one_class_is_not_enough(tmp_path):
    write(tmp_path, "cat/a.png")
    write(tmp_path, "cat/b.png")
    with pytest.raises(UserError, match="only one class, 'cat'"):
        load(tmp_path)


@pytest.mark.parametrize("loose", [None, "a.png", "cat/notes.txt"])
def test_no_images_says_in_one_line_which_layout_is_expected(tmp_path, loose):
    if loose and loose.endswith(".png"):
        write(tmp_path, loose)
    elif loose:
        (tmp_path / "cat").mkdir()
        (tmp_path / loose).write_text("nothing to see")
    with pytest.raises(UserError, match="train/CLASS/IMAGE") as caught:
        load(tmp_path)
    assert str(tmp_path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_folder_that_does_not_exist_is_named():
    with pytest.raises(UserError, match="folder:/no/such"):
        folder.load_folder("/no/such", "folder:/no/such")


def test_hidden_and_other_files_are_passed_over(pets):
    write(pets, "cat/.hidden.png")
    write(pets, ".cache/a.png")
    (pets / "cat/readme.txt").write_text("cats")
    source = load(pets)
    assert source.class_names == ("cat", "dog")
    assert len(list(source.examples())) == 80


def test_broken_and_unread_files_are_refused_and_the_rest_goes_on(pets):
    (pets / "cat/broken.jpg").write_bytes(b"\xff\xd8 no more")
    (pets / "dog/phone.heic").write_bytes(b"x")
    (pets / "dog/gone.jpg").symlink_to(pets / "nowhere.jpg")
    found = list(load(pets).examples())
    refused = {r.id: r.reason for r in found if isinstance(r, Refusal)}
    assert set(refused) == {"cat/broken.jpg", "dog/phone.heic", "dog/gone.jpg"}
    assert ".heic is not read" in refused["dog/phone.heic"]
    assert "No such file" in refused["dog/gone.jpg"]
    assert sum(isinstance(e, Example) for e in found) == 80


def test_images_in_deeper_folders_belong_to_the_class_above(pets):
    write(pets, "cat/2024/deep.png")
    source = load(pets)
    assert source.class_names == ("cat", "dog")
    assert "cat/2024/deep.png" in ids(source, TRAIN) + ids(source, VALIDATION)


def test_a_link_to_a_folder_above_is_not_followed_forever(pets):
    (pets / "cat/all").symlink_to(pets)
    assert len(list(load(pets).examples())) == 80


def test_the_stream_is_the_same_each_time(pets):
    source = load(pets)
    first = [(e.id, e.split, e.label) for e in source.examples()]
    assert first == [(e.id, e.split, e.label) for e in source.examples()]
    assert [e[1] for e in first] == sorted(e[1] for e in first)


def test_native_size_is_the_median_shorter_side(tmp_path):
    for i, side in enumerate((10, 20, 30, 30)):
        write(tmp_path, f"cat/{i}.png", size=(side, 90))
        write(tmp_path, f"dog/{i}.png", size=(90, side))
    assert load(tmp_path).native_size == 25


def test_the_fingerprint_follows_names_sizes_and_times(pets):
    before = folder.fingerprint(str(pets))
    assert load(pets).fingerprint == before
    (pets / "readme.txt").write_text("not an image")
    assert folder.fingerprint(str(pets)) == before
    os.utime(pets / "cat/0.png", ns=(1, 1))
    touched = folder.fingerprint(str(pets))
    assert touched != before
    (pets / "cat/0.png").rename(pets / "cat/zero.png")
    assert folder.fingerprint(str(pets)) not in (before, touched)


def test_a_moved_folder_keeps_its_fingerprint(pets, tmp_path_factory):
    before = folder.fingerprint(str(pets))
    moved = tmp_path_factory.mktemp("elsewhere") / "pets"
    pets.rename(moved)
    assert folder.fingerprint(str(moved)) == before
