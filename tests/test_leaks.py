"""--drop_leaks: what is also validated on is not trained on."""

import dataclasses

import numpy as np
import pytest
from PIL import Image, ImageEnhance

from smartgrowth import UserError
from smartgrowth.data import build, duplicates, leaks, load, store
from smartgrowth.data.source import TRAIN, VALIDATION, Example, Source
from smartgrowth.runs import identity


def noise(seed: int) -> np.ndarray:
    """Smooth noise, as unlike another seed's as two photographs."""
    small = np.random.default_rng(seed).integers(0, 256, (6, 6, 3), np.uint8)
    picture = Image.fromarray(small)
    return np.asarray(picture.resize((32, 32), Image.Resampling.BICUBIC))


def darker(image: np.ndarray) -> np.ndarray:
    enhancer = ImageEnhance.Brightness(Image.fromarray(image))
    return np.asarray(enhancer.enhance(0.8))


BLANK = np.full((32, 32, 3), 200, np.uint8)


def make_examples():
    """Of 20 to train on, 3, 8 and 11 are copies, of either class, and 19."""
    train = [noise(index) for index in range(19)] + [BLANK]
    validation = [noise(100), noise(3), darker(noise(8)), noise(11), BLANK]
    for split, images in (TRAIN, train), (VALIDATION, validation):
        for index, image in enumerate(images):
            yield Example(f"{split[0]}{index}", split, index % 2, image)


@pytest.fixture
def planted(tmp_path):
    source = Source("made", "made-1", ("a", "b"), 32, make_examples)
    directory = build.ensure_store("made", lambda: source, (32,), tmp_path)
    return store.open_data(directory)


DROPPED = {
    "t3": "copy of v1",
    "t8": "copy of v2",
    "t11": "copy of v3",
    "t19": "copy of v4",
}


def test_copies_of_validation_images_are_not_trained_on(planted, capsys):
    data = leaks.drop_leaks(planted, 32)
    kept = [f"t{index}" for index in range(20) if index not in (3, 8, 11, 19)]
    assert list(data.train.ids) == kept
    labels = [int(id[1:]) % 2 for id in kept]
    assert data.train.labels.tolist() == labels
    stored = data.train.images(32)[data.train.rows]
    for id, image in zip(kept, stored, strict=True):
        np.testing.assert_array_equal(image, noise(int(id[1:])))
    assert data.validation is planted.validation
    assert data.report()["dropped"] == DROPPED
    assert "dropped" not in planted.report()
    assert capsys.readouterr().out.splitlines()[-1] == (
        "4 of 20 training images are copies of validation images and are left "
        "out: t3 (copy of v1), t8 (copy of v2), t11 (copy of v3) and 1 more"
    )
    # Other data than that of a run that trained on them.
    assert data.content != planted.content
    assert data.pixels != planted.pixels


def test_what_is_found_is_kept_and_made_again_if_damaged(planted, monkeypatch):
    first = leaks.drop_leaks(planted, 32)
    [path] = planted.train.directory.glob("leaks_*.npy")
    content = path.read_bytes()
    with monkeypatch.context() as patch:
        patch.setattr(
            duplicates, "find_copies", lambda *_, **__: pytest.fail("again")
        )
        assert leaks.drop_leaks(planted, 32).train.ids == first.train.ids
    for damaged in content[:-5], b"", content.replace(b"<i8", b"<f8"):
        path.write_bytes(damaged)
        assert leaks.drop_leaks(planted, 32).train.ids == first.train.ids
        assert path.read_bytes() == content


@pytest.mark.parametrize("chunk", [1, 7, 1000])
def test_copies_are_found_whatever_is_compared_at_a_time(
    planted, monkeypatch, chunk
):
    monkeypatch.setattr(duplicates, "CHUNK", chunk)
    found = duplicates.find_copies(planted.train, planted.validation, 32)
    assert found == {3: 1, 8: 2, 11: 3}  # not the blank one, by its pixels


def test_a_similarity_at_the_threshold_is_judged_by_exact_sums(
    planted, monkeypatch
):
    """Or a run could not go on where sums are rounded in another order."""
    exact = duplicates._exact(noise(8), darker(noise(8)))
    pictures = map(Image.fromarray, (noise(8), darker(noise(8))))
    small = np.stack(
        [np.asarray(p.resize((16, 16), Image.Resampling.BOX)) for p in pictures]
    ).astype(object)  # Python's own integers
    centered = 256 * small - small.sum(axis=(1, 2), keepdims=True)
    one, other = centered.reshape(2, -1)
    expected = (one @ other) / ((one @ one) * (other @ other)) ** 0.5
    assert exact == pytest.approx(expected, abs=1e-12)

    def find(threshold):
        return duplicates.find_copies(
            planted.train, planted.validation, 32, threshold
        )

    assert 8 in find(exact)
    assert 8 not in find(np.nextafter(exact, 2))
    # Where matrix products are a bit off, too.
    really = duplicates.thumbnails
    monkeypatch.setattr(
        duplicates, "thumbnails", lambda x: really(x) * np.float32(1.00001)
    )
    assert 8 in find(exact)
    assert 8 not in find(np.nextafter(exact, 2))


def test_a_class_that_would_be_emptied_is_named(tmp_path):
    examples = [
        Example(
            f"{split}{label}",
            split,
            label,
            noise(label + 5 * (label == 0) * (split == TRAIN)),
        )
        for split in (TRAIN, VALIDATION)
        for label in range(3)
    ]
    source = Source("made", "made-1", ("a", "b", "c"), 32, lambda: examples)
    directory = build.ensure_store("made", lambda: source, (32,), tmp_path)
    with pytest.raises(UserError, match=r"images of b, c are copies .*classes"):
        leaks.drop_leaks(store.open_data(directory), 32)


def test_the_flag_is_part_of_the_identity_where_it_is_set(
    tiny_config, tiny_data
):
    plain = identity.identify(tiny_config(), tiny_data)
    assert "drop_leaks" not in plain
    used = identity.identify(tiny_config(drop_leaks=True), tiny_data)
    assert used == plain | {"drop_leaks": True}


def test_the_flag_opens_data_without_them(tiny_config, tmp_path):
    for label, name in enumerate("ab"):
        for split, first in ("train", 0), ("val", 5):
            for index in range(6):
                path = tmp_path / f"pets/{split}/{name}/{index}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                picture = noise(100 * label + first + index)
                Image.fromarray(picture).save(path)
    config = tiny_config(
        dataset=f"folder:{tmp_path / 'pets'}",
        cache_dir=str(tmp_path / "cache"),
    )
    assert len(load.open_images(config, {8}).train.ids) == 12
    dropping = dataclasses.replace(config, drop_leaks=True)
    data = load.open_images(dropping, {8})
    assert data.report()["dropped"] == {
        f"train/{name}/5.png": f"copy of val/{name}/0.png" for name in "ab"
    }
    # Whatever sizes a plan has.
    again = load.open_images(dropping, {16})
    assert (again.content, again.pixels) == (data.content, data.pixels)


def test_copies_of_held_out_images_are_dropped_too(tiny_config, tmp_path):
    """With --hold_out, from what is trained on then."""
    for name in "ab":
        for split, first in ("train", 0), ("val", 50):
            for index in range(20):
                path = tmp_path / f"pets/{split}/{name}/{index}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                number = 100 * ord(name) + first + index // 2
                picture = Image.fromarray(noise(number))
                if index % 2:  # a near-duplicate of the one before
                    picture = Image.fromarray(darker(noise(number)))
                picture.save(path)
    config = tiny_config(
        dataset=f"folder:{tmp_path / 'pets'}",
        cache_dir=str(tmp_path / "cache"),
        hold_out=0.3,
    )
    held = load.open_images(config, {8})
    assert 0 < len(held.validation.ids) < 40
    assert all(id.startswith("train/") for id in held.validation.ids)
    dropping = dataclasses.replace(config, drop_leaks=True)
    data = load.open_images(dropping, {8})
    assert data.validation.ids == held.validation.ids

    def twin(id):
        folder, _, name = id.rpartition("/")
        return f"{folder}/{int(name.removesuffix('.png')) ^ 1}.png"

    twins = {twin(id) for id in held.validation.ids}
    dropped = twins & {*held.train.ids}
    assert {*data.report()["dropped"]} == dropped != set()
    assert {*data.train.ids} == {*held.train.ids} - dropped
