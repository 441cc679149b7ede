"""--hold_out: validates on training images, and trains on the others."""

import dataclasses

import numpy as np
import pytest

from smartgrowth import UserError
from smartgrowth.config import Config
from smartgrowth.data import build, held_out, store
from smartgrowth.data.source import TRAIN, VALIDATION, Example, Source
from smartgrowth.runs import identity


def image(number: int) -> np.ndarray:
    return np.random.default_rng(number).integers(0, 256, (8, 8, 3), np.uint8)


def opened(folder, counts, copies=()):
    """Returns data with `counts` training images of each class.

    copies: pairs of training images by number; the second is the first again.
    """
    again = {other: one for one, other in copies}
    examples, number = [], 0
    for label, count in enumerate(counts):
        for _ in range(count):
            content = image(again.get(number, number))
            examples.append(Example(f"t{number}", TRAIN, label, content))
            number += 1
        content = image(1000 + label)
        examples.append(Example(f"v{label}", VALIDATION, label, content))
    names = tuple("abc"[: len(counts)])
    source = Source("made", f"{counts}", names, 8, lambda: examples)
    return store.open_data(
        build.ensure_store("made", lambda: source, (8,), folder)
    )


def test_held_out_images_are_validated_on_and_not_trained_on(tmp_path):
    whole = opened(tmp_path, (200, 300))
    data = held_out.hold_out(whole, 0.25)
    assert {*data.train.ids}.isdisjoint(data.validation.ids)
    assert {*data.train.ids} | {*data.validation.ids} == {*whole.train.ids}
    held = np.bincount(data.validation.labels)
    np.testing.assert_allclose(held / (200, 300), 0.25, atol=0.08)
    for split, name in (data.train, TRAIN), (data.validation, VALIDATION):
        assert split.name == name
        for id, picture in zip(
            split.ids, split.images(8)[split.rows], strict=True
        ):
            np.testing.assert_array_equal(picture, image(int(id[1:])))
        assert (split.original_sizes() == 8).all()
    assert data.content != whole.content
    assert data.pixels != whole.pixels


def test_other_images_move_none(tmp_path):
    fewer = held_out.hold_out(opened(tmp_path / "fewer", (50,)), 0.2)
    more = held_out.hold_out(opened(tmp_path / "more", (80,)), 0.2)
    assert {*fewer.validation.ids} == {*more.validation.ids} & {
        f"t{number}" for number in range(50)
    }


def test_copies_are_on_one_side(tmp_path):
    copies = [(number, number + 20) for number in range(20)]
    data = held_out.hold_out(opened(tmp_path, (40,), copies), 0.5)
    for one, other in copies:
        on = [f"t{one}" in data.train.ids, f"t{other}" in data.train.ids]
        assert on[0] == on[1]


def test_every_class_has_both(tmp_path):
    data = held_out.hold_out(opened(tmp_path, (2, 2, 2)), 0.01)
    assert np.bincount(data.train.labels).tolist() == [1, 1, 1]
    assert np.bincount(data.validation.labels).tolist() == [1, 1, 1]


def test_a_class_of_one_image_is_named(tmp_path):
    with pytest.raises(
        UserError, match=r"--hold_out: b has a single .*--classes"
    ):
        held_out.hold_out(opened(tmp_path, (5, 1)), 0.2)


def test_the_bound_takes_a_fifth_and_never_all():
    draws = [0.05, 0.1, 0.3, 0.9]
    assert held_out.bound(draws, 0.2) == 0.2
    assert held_out.bound([0.5, 0.7, 0.9], 0.2) == 0.7  # the lowest
    assert held_out.bound([0.05, 0.1], 0.2) == 0.1  # all but the highest
    assert held_out.bound([0.1, 0.1], 0.2) == 0.0  # copies


def test_the_flag_is_part_of_the_identity_where_it_is_set(
    tiny_config, tiny_data
):
    plain = identity.identify(tiny_config(), tiny_data)
    assert "hold_out" not in plain
    used = identity.identify(tiny_config(hold_out=0.2), tiny_data)
    assert used == plain | {"hold_out": 0.2}


def test_a_share_of_all_is_refused():
    with pytest.raises(UserError, match="--hold_out=1.0: must be at least 0"):
        dataclasses.replace(Config(), hold_out=1.0)
