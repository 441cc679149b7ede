"""A folder of images becomes a source, or says what is wrong with it."""

import os

import numpy as np
import pytest
from conftest import decoded
from PIL import Image

from smartgrowth import UserError
from smartgrowth.data import build, store
from smartgrowth.data.source import TRAIN, VALIDATION, Example, Refusal
from smartgrowth.data.sources import folder
from smartgrowth.data.sources.hold_out import hold_out


def write(root, name: str, value: int = 100, size=(8, 6)) -> None:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, (value, value, value)).save(path)


def load(root):
    return folder.load_folder(str(root), f"folder:{root}")


def ids(source, split: str) -> list[str]:
    found = [e for e in decoded(source) if isinstance(e, Example)]
    return [e.id for e in found if e.split == split]


@pytest.fixture
def pets(tmp_path):
    """40 cats and 40 dogs, not split."""
    for i in range(40):
        write(tmp_path, f"cat/{i}.png", i)
        write(tmp_path, f"dog/{i}.png", 100 + i)
    return tmp_path


def test_the_validation_folder_is_the_validation(tmp_path):
    for label, class_name in enumerate(("cat", "dog")):
        write(tmp_path, f"Training/{class_name}/a.png", 10 + label)
        write(tmp_path, f"Testing/{class_name}/b.png", 20 + label)
    source = load(tmp_path)
    found = {e.id: (e.split, e.label, e.image) for e in decoded(source)}
    assert source.class_names == ("cat", "dog")
    assert set(found) == {
        "Training/cat/a.png",
        "Training/dog/a.png",
        "Testing/cat/b.png",
        "Testing/dog/b.png",
    }
    split, label, image = found["Testing/dog/b.png"]
    assert (split, label) == (VALIDATION, 1)
    np.testing.assert_array_equal(image, np.full((6, 8, 3), 21))


def test_what_a_store_leaves_out_is_told(tmp_path, capsys):
    for split in ("train", "val", "test"):
        for class_name in ("cat", "dog"):
            write(tmp_path, f"{split}/{class_name}/a.png")
    (tmp_path / "train/cat/a.txt").write_text("no image")
    source = load(tmp_path)
    build.ensure_store("x", lambda: source, (8,), tmp_path / ".cache")
    _, unused, unread, *_ = capsys.readouterr().out.splitlines()
    assert unused == "  not used: test (2 images)"
    assert unread == (
        "  1 file not read, for its ending (.txt): train/cat/a.txt"
    )


# The held-out part


def write_text(root, names) -> dict[str, list[str]]:
    """Files of a class each, whose content is their number; to be held out."""
    classes = {}
    for name in names:
        path = root / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(path.stem)
        classes.setdefault(path.parent.name, []).append(name)
    return classes


def sides(root, classes) -> dict[str, str]:
    """Image -> split."""
    found = hold_out("folder:x", root, classes)
    return {
        image: split
        for split, part in found.items()
        for images in part.values()
        for image in images
    }


def test_about_a_fifth_of_each_class_is_held_out(pets):
    source = load(pets)
    train, validation = ids(source, TRAIN), ids(source, VALIDATION)
    assert sorted(train + validation) == sorted(
        f"{c}/{i}.png" for c in ("cat", "dog") for i in range(40)
    )
    for split in (train, validation):
        assert {name.split("/")[0] for name in split} == {"cat", "dog"}


def test_the_held_out_share_is_close_to_a_fifth(tmp_path):
    names = [f"{c}/{100 * c + i}" for c in range(20) for i in range(100)]
    found = hold_out("folder:x", tmp_path, write_text(tmp_path, names))
    counts = [len(part) for part in found[VALIDATION].values()]
    assert len(counts) == 20
    # Of 100 images each: a standard deviation of 4, and of the mean 0.9.
    assert min(counts) >= 8 and max(counts) <= 32
    assert 18 <= np.mean(counts) <= 22


def test_no_image_moves_when_others_are_added_removed_or_renamed(tmp_path):
    names = [f"{c}/{c}-{i}" for c in range(10) for i in range(60)]
    write_text(tmp_path, names)
    more = {
        f"{c}": [n for n in names if n.startswith(f"{c}/")] for c in range(10)
    }
    fewer = {c: images[:54] for c, images in more.items()}  # 10% less
    all_sides = sides(tmp_path, more)
    assert set(all_sides.values()) == {TRAIN, VALIDATION}
    few_sides = sides(tmp_path, fewer)
    assert few_sides.items() <= all_sides.items()
    assert len(few_sides) == 540
    (tmp_path / "0/0-7").rename(tmp_path / "0/another")
    more["0"][7] = "0/another"
    renamed = sides(tmp_path, more)
    assert renamed.pop("0/another") == all_sides.pop("0/0-7")
    assert renamed == all_sides


def test_copies_of_an_image_are_on_the_same_side(tmp_path):
    classes = write_text(tmp_path, [f"a/{i}" for i in range(50)])
    for i in range(50):
        (tmp_path / f"a/copy{i}").write_text(f"{i}")
        classes["a"].append(f"a/copy{i}")
    found = sides(tmp_path, classes)
    assert all(found[f"a/{i}"] == found[f"a/copy{i}"] for i in range(50))
    assert set(found.values()) == {TRAIN, VALIDATION}
    copies = {"b": ["a/3", "a/copy3"]}  # nothing else to validate on
    assert set(sides(tmp_path, copies).values()) == {TRAIN}


def test_every_class_of_two_images_or_more_has_both_sides(tmp_path):
    names = [f"{c}/{c}-{i}" for c in range(60) for i in range(2 + c % 3)]
    found = sides(tmp_path, write_text(tmp_path, names))
    for c in range(60):
        inside = {found[name] for name in names if name.startswith(f"{c}/")}
        assert inside == {TRAIN, VALIDATION}
    # Only an image that stands in for a missing side may move.
    small = [n for n in names if n.endswith(("-0", "-1"))]
    before = sides(tmp_path, write_text(tmp_path, small))
    moved = [n.split("/")[0] for n in small if before[n] != found[n]]
    assert 0 < len(moved) == len(set(moved)) < 30


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
    assert len(decoded(source)) == 80


def test_broken_and_unread_files_are_refused_and_the_rest_goes_on(pets):
    (pets / "cat/broken.jpg").write_bytes(b"\xff\xd8 no more")
    (pets / "dog/screen.svg").write_bytes(b"x")
    (pets / "dog/gone.jpg").symlink_to(pets / "nowhere.jpg")
    found = decoded(load(pets))
    refused = {r.id: r.reason for r in found if isinstance(r, Refusal)}
    assert set(refused) == {"cat/broken.jpg", "dog/screen.svg", "dog/gone.jpg"}
    assert ".svg is not read" in refused["dog/screen.svg"]
    assert "No such file" in refused["dog/gone.jpg"]
    assert sum(isinstance(e, Example) for e in found) == 80


def test_images_in_deeper_folders_belong_to_the_class_above(pets):
    write(pets, "cat/2024/deep.png")
    source = load(pets)
    assert source.class_names == ("cat", "dog")
    assert "cat/2024/deep.png" in ids(source, TRAIN) + ids(source, VALIDATION)


def test_a_link_to_a_folder_above_is_not_followed_forever(pets):
    (pets / "cat/all").symlink_to(pets)
    refusal, *found = decoded(load(pets))
    assert refusal == Refusal("cat/all", "a link to a folder above it")
    assert len(found) == 80 and not {Refusal} & {type(e) for e in found}


@pytest.mark.parametrize("ending", ["jfif", "JPE", "tif", "tiff", "heic"])
def test_a_photo_is_read_by_its_content_under_any_of_these_endings(
    pets, ending
):
    for i in range(4):
        write(pets, f"cow/{i}.png", 200 + i)
        (pets / f"cow/{i}.png").rename(pets / f"cow/{i}.{ending}")
    source = load(pets)
    assert source.class_names == ("cat", "cow", "dog")
    cows = [e for e in decoded(source) if e.id.startswith("cow/")]
    assert [e.label for e in cows] == [1] * 4


def make_empty(pets):
    (pets / "cow").mkdir()


def link_to_nothing(pets):
    (pets / "cow").symlink_to(pets / "nowhere")


def write_unread(pets):
    write(pets, "cow/a.png")
    write(pets, "cow/b.png")
    (pets / "cow/a.png").rename(pets / "cow/a.ppm")
    (pets / "cow/b.png").rename(pets / "cow/b")


def write_broken(pets):
    (pets / "cow").mkdir()
    for name in "abcd":
        (pets / f"cow/{name}.jpg").write_bytes(b"no")


@pytest.mark.parametrize(
    "spoil", [make_empty, link_to_nothing, write_unread, write_broken]
)
def test_a_class_without_a_usable_image_is_named(pets, tmp_path, spoil):
    spoil(pets)
    source = load(pets)
    directory = build.ensure_store(
        source.fingerprint, lambda: source, (8,), tmp_path / ".cache"
    )
    with pytest.raises(UserError, match="image of class 'cow' could be used"):
        store.open_data(directory)
    without = store.open_data(directory, ("cat", "dog"))
    assert len(without.train.ids + without.validation.ids) == 80


def test_a_folder_that_may_not_be_opened_is_a_class_and_named(
    pets, monkeypatch
):
    write(pets, "cow/a.png")
    scandir = os.scandir

    def deny(path):
        if str(path).endswith("cow"):
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", deny)
    source = load(pets)
    assert source.class_names == ("cat", "cow", "dog")
    assert Refusal("cow", "Permission denied") in decoded(source)


def test_a_pipe_is_passed_over_by_name_and_never_waited_for(pets):
    os.mkfifo(pets / "cat/x.jpg")
    refusal, *found = decoded(load(pets))
    assert refusal == Refusal("cat/x.jpg", "not a regular file")
    assert len(found) == 80


def test_files_that_are_not_read_are_counted_and_named(pets):
    for name in ("cat/a.txt", "cat/b.txt", "dog/c", "dog/d.txt"):
        (pets / name).write_text("no image")
    (pets / "dog/Thumbs.db").write_text("left by a system")
    assert load(pets).notes == (
        "4 files not read, for their endings (.txt, none): cat/a.txt, "
        "cat/b.txt, dog/c and 1 more",
    )


def test_a_new_class_without_images_makes_another_fingerprint(pets):
    before = folder.fingerprint(str(pets))
    (pets / "cow").mkdir()
    assert folder.fingerprint(str(pets)) != before


def test_a_plug_in_for_heic_makes_another_fingerprint(pets, monkeypatch):
    before = folder.fingerprint(str(pets))
    monkeypatch.setattr(folder.decode, "list_formats", lambda: ("HEIF",))
    assert folder.fingerprint(str(pets)) == before
    write(pets, "cat/new.png")
    (pets / "cat/new.png").rename(pets / "cat/new.heic")
    one = folder.fingerprint(str(pets))
    monkeypatch.setattr(folder.decode, "list_formats", lambda: ("PNG",))
    assert folder.fingerprint(str(pets)) != one


def test_the_stream_is_the_same_each_time(pets):
    source = load(pets)
    first = [(e.id, e.split, e.label) for e in decoded(source)]
    assert first == [(e.id, e.split, e.label) for e in decoded(source)]
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
