"""Likeness of images: what describes them, and where it is kept."""

import dataclasses
import io
import os
import pathlib
import random
import subprocess
import sys

import numpy as np
import pytest

import smartgrowth
from smartgrowth.curriculum import descriptors
from smartgrowth.curriculum import learned as learned_module
from smartgrowth.data import build, store
from smartgrowth.data.resize import fit_squares
from smartgrowth.data.source import TRAIN, VALIDATION, Example, Source
from smartgrowth.runtime.atomic import PREFIX
from smartgrowth.runtime.reporter import Reporter

KINDS = tuple(descriptors.DESCRIPTORS)


class Unread(store.Split):
    """A split whose images nobody may open."""

    def images(self, size):
        raise AssertionError(f"{self.name} images were opened")


@pytest.fixture
def own_data(tiny_data, tiny_store, tmp_path):
    """The tiny data in a store of this test's own, validation locked away."""
    for path in tiny_store.iterdir():
        known = path.name.startswith("descriptors_")  # by another test
        if path.suffix in (".npy", ".json", ".txt") and not known:
            (tmp_path / path.name).symlink_to(path)
    data = store.open_data(tmp_path)
    locked = {
        field.name: getattr(data.validation, field.name)
        for field in dataclasses.fields(store.Split)
    }
    return dataclasses.replace(data, validation=Unread(**locked))


@pytest.fixture
def few_steps(monkeypatch):
    """Makes the descriptors' network a matter of seconds."""

    monkeypatch.setattr(learned_module, "STEPS", 12)
    monkeypatch.setattr(learned_module, "BATCH", 16)
    monkeypatch.setattr(learned_module, "WIDTH", 8)


def distances(described):
    """Between all rows, float (N, N), infinite to themselves."""
    squares = np.square(described[:, None] - described[None]).sum(axis=-1)
    np.fill_diagonal(squares, np.inf)
    return np.sqrt(squares)


def nearest_accuracy(described, labels):
    return np.mean(labels[distances(described).argmin(axis=1)] == labels)


# Pure helpers


def test_whitened_features_have_unit_covariance():
    generator = np.random.default_rng(3)
    mixed = generator.normal(size=(4000, 6)) @ generator.normal(size=(6, 6))
    white = descriptors.whiten(np.float32(50 + mixed))
    assert white.shape == (4000, 6) and white.dtype == np.float32
    np.testing.assert_allclose(white.mean(axis=0), 0, atol=1e-3)
    np.testing.assert_allclose(np.cov(white.T), np.eye(6), atol=2e-3)


def test_whitening_leaves_its_argument_alone():
    features = np.random.default_rng(0).random((40, 3), np.float32)
    before = features.copy()
    descriptors.whiten(features)
    np.testing.assert_array_equal(features, before)


def test_whitening_does_not_blow_up_what_hardly_varies():
    generator = np.random.default_rng(4)
    spreads = np.array([100, 10, 0.1])
    features = np.float32(generator.normal(size=(1000, 3)) * spreads)
    white = descriptors.whiten(features)
    # The floor's spread is a hundredth of the largest one: 1.
    assert descriptors.FLOOR == 1e-4
    expected = (1, 1, 0.1)
    np.testing.assert_allclose(white.std(axis=0), expected, rtol=0.1)


def test_whitening_keeps_the_components_of_the_largest_variance():
    generator = np.random.default_rng(5)
    features = generator.normal(size=(800, 5)) * (1, 9, 2, 8, 3)
    white = descriptors.whiten(np.float32(features), components=2)
    related = np.abs(np.corrcoef(white.T, features.T)[:2, 2:])
    assert white.shape == (800, 2)
    assert related[0, 1] > 0.95 and related[1, 3] > 0.95


def test_few_images_get_few_components():
    """With one for each image, all would be equally far from each other."""
    features = np.random.default_rng(6).random((40, 100), np.float32)
    assert descriptors.whiten(features).shape == (40, 5)
    assert descriptors.whiten(features[:3]).shape == (3, 1)


def test_equal_images_are_described_by_finite_numbers():
    white = descriptors.whiten(np.ones((20, 4), np.float32))
    np.testing.assert_array_equal(white, np.zeros((20, 2)))


# All descriptors


@pytest.mark.parametrize("kind", KINDS)
def test_every_training_image_gets_a_finite_row(
    tiny_config, own_data, few_steps, kind
):
    """And no validation image is opened: they are locked away."""
    described = descriptors.describe(tiny_config(descriptor=kind), own_data)
    count = len(own_data.train.labels)
    assert described.shape == (count, count // 8)
    assert described.dtype == np.float32
    assert np.isfinite(described).all()
    lengths = np.linalg.norm(described, axis=1)
    np.testing.assert_allclose(lengths, 1, atol=1e-4)


@pytest.mark.parametrize("kind", KINDS)
def test_images_of_a_class_are_nearer_than_chance_has_it(
    tiny_config, own_data, few_steps, kind
):
    described = descriptors.describe(tiny_config(descriptor=kind), own_data)
    found = nearest_accuracy(described, own_data.train.labels)
    assert found > 0.5  # chance is a quarter


@pytest.mark.parametrize("kind", KINDS)
def test_descriptions_are_the_same_each_time(
    tiny_config, own_data, few_steps, kind
):
    """And with another seed: all seeds of a comparison share an order."""
    config = tiny_config(descriptor=kind, deterministic=True)
    first = descriptors.describe(config, own_data)
    descriptors.cache_path(kind, own_data).unlink()
    np.random.seed(11)
    again = descriptors.describe(dataclasses.replace(config, seed=5), own_data)
    # Not the rows: an axis may come out the other way round.
    np.testing.assert_allclose(distances(first), distances(again), atol=1e-2)


def test_an_unknown_descriptor_is_refused(tiny_config, own_data):
    config = dataclasses.replace(tiny_config())
    object.__setattr__(config, "descriptor", "guessed")
    with pytest.raises(ValueError, match="classical, learned.*'guessed'"):
        descriptors.describe(config, own_data)


def test_almost_equal_images_are_nearest_to_each_other(tiny_config, tmp_path):
    """Pairs: a picture, and itself brighter, with noise."""
    generator = np.random.default_rng(1)
    pictures = []
    for _ in range(40):
        coarse = generator.integers(30, 220, (5, 5, 3)).astype(np.uint8)
        (picture,) = fit_squares(coarse[None], 32, (5, 5)).astype(np.float64)
        noise = generator.normal(6, 3, picture.shape)
        pictures += [picture, picture + noise]
    pictures = [np.uint8(np.clip(picture, 0, 255)) for picture in pictures]
    data = make_data(tmp_path, pictures)
    described = descriptors.describe(tiny_config(), data)
    twin = np.arange(80) ^ 1
    assert np.mean(distances(described).argmin(axis=1) == twin) > 0.9


def make_data(folder, pictures) -> store.Data:
    """Two classes, in turn, of these uint8 (32, 32, 3) pictures."""

    def examples():
        for index, picture in enumerate(pictures):
            for split in (TRAIN, VALIDATION):
                id = f"{split}/{index}"
                yield Example(id, split, index % 2, picture)

    source = Source("pairs", "1", ("even", "odd"), 32, examples)
    directory = build.ensure_store("pairs", lambda: source, {32}, folder)
    return store.open_data(directory)


def test_chunks_do_not_show(tiny_config, own_data, monkeypatch):
    whole = descriptors.describe(tiny_config(), own_data)
    descriptors.cache_path("classical", own_data).unlink()
    monkeypatch.setattr(descriptors, "CHUNK", 7)
    parts = descriptors.describe(tiny_config(), own_data)
    np.testing.assert_allclose(whole, parts, atol=1e-4)


def test_rows_stand_in_the_order_of_the_training_images(tiny_config, own_data):
    part = own_data.train
    turned = dataclasses.replace(
        own_data,
        train=dataclasses.replace(
            part, labels=part.labels[::-1], rows=part.rows[::-1]
        ),
        content="turned",
    )
    forward = descriptors.describe(tiny_config(), own_data)
    backward = descriptors.describe(tiny_config(), turned)
    np.testing.assert_allclose(
        distances(forward), distances(backward[::-1]), atol=1e-3
    )


# The cache


@pytest.fixture
def forbid(monkeypatch):
    """Forbids to describe images, from when it is called."""

    def compute(config, data, reporter):
        pytest.fail("described once more")

    return lambda: [
        monkeypatch.setitem(descriptors.DESCRIPTORS, kind, compute)
        for kind in KINDS
    ]


def test_the_second_time_they_are_read(tiny_config, own_data, forbid, capsys):
    first = descriptors.describe(tiny_config(), own_data)
    lines = capsys.readouterr().out.splitlines()
    assert "46 training images (classical)" in lines[0]
    assert "described in" in lines[-1]
    forbid()
    again = descriptors.describe(tiny_config(), own_data)
    np.testing.assert_array_equal(first, again)
    assert capsys.readouterr().out == ""
    assert not list(own_data.train.directory.glob(f"{PREFIX}*"))


def cut(path):
    path.write_bytes(path.read_bytes()[:-8])


def wrong_length(path):
    np.save(path, np.load(path)[:-1])


def wrong_dtype(path):
    np.save(path, np.load(path).astype(np.float64))


def not_finite(path):
    np.save(path, np.load(path) * np.float32(np.nan))


@pytest.mark.parametrize(
    "harm",
    [
        cut,
        wrong_length,
        wrong_dtype,
        not_finite,
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(b"PK\3\4 not an array"),
        lambda path: np.save(path, np.array([{}]), allow_pickle=True),
    ],
)
def test_an_unusable_cache_is_made_again(
    tiny_config, own_data, forbid, harm, capsys
):
    first = descriptors.describe(tiny_config(), own_data)
    harm(descriptors.cache_path("classical", own_data))
    again = descriptors.describe(tiny_config(), own_data)
    np.testing.assert_array_equal(first, again)
    forbid()  # it was mended, too
    capsys.readouterr()
    descriptors.describe(tiny_config(), own_data)
    assert capsys.readouterr().out == ""


def test_other_classes_are_described_by_themselves(tiny_config, own_data):
    directory = own_data.train.directory
    some = store.open_data(directory, ("rook", "sun"))
    everything = descriptors.describe(tiny_config(), own_data)
    described = descriptors.describe(tiny_config(), some)
    assert len(everything) == 46 and len(described) == 13 + 11
    assert len(list(directory.glob("descriptors_*.npy"))) == 2


def test_each_descriptor_has_a_cache_of_its_own(own_data):
    paths = {descriptors.cache_path(kind, own_data) for kind in KINDS}
    assert len(paths) == len(KINDS)


def test_a_store_that_takes_no_file_is_a_warning(
    tiny_config, own_data, monkeypatch, capsys
):
    def refuse(file, array):
        file.write(b"half")
        raise OSError(28, "No space left on device")

    expected = descriptors.describe(tiny_config(), own_data)
    descriptors.cache_path("classical", own_data).unlink()
    monkeypatch.setattr(np.lib.format, "write_array", refuse)
    described = descriptors.describe(tiny_config(), own_data)
    np.testing.assert_array_equal(described, expected)
    lines = capsys.readouterr().out.splitlines()
    assert "warning" in lines[-1] and "No space left" in lines[-1]
    assert not list(own_data.train.directory.glob("descriptors_*"))
    assert not list(own_data.train.directory.glob(f"{PREFIX}*"))


@pytest.mark.parametrize(
    ("kind", "line", "words"),
    [
        ("classical", 2, "described 40 of 46, left: "),
        ("learned", 11, "step 11 of 12, left: "),
    ],
)
def test_progress_is_told(
    tiny_config, own_data, few_steps, monkeypatch, kind, line, words
):
    monkeypatch.setattr(descriptors, "CHUNK", 20)
    stream = io.StringIO()
    descriptors.describe(
        tiny_config(descriptor=kind),
        own_data,
        Reporter(stream, other_seconds=0.0),
    )
    assert words in stream.getvalue().splitlines()[line]


# Beside a run


def test_a_run_begins_alike_whether_they_were_cached_or_just_learned(
    tiny_config, own_data, few_steps
):
    from smartgrowth.experiment import make_experiment
    from smartgrowth.training.learner import Learner

    config = tiny_config(descriptor="learned")

    def initial():
        random.seed(1)  # Keras draws the weights' seeds from it
        descriptors.describe(config, own_data)
        left.append(random.getstate())
        learner = Learner(
            make_experiment(config, own_data), pathlib.Path(config.workdir)
        )
        learner.build()
        return learner.model.get_weights()

    left = []
    learned, cached = initial(), initial()
    assert left[0] != left[1]  # the weights could differ
    for one, other in zip(learned, cached, strict=True):
        np.testing.assert_array_equal(one, other)


CLASSICAL = """
import pathlib, sys
from smartgrowth import config
from smartgrowth.curriculum import descriptors
from smartgrowth.data import store

data = store.open_data(pathlib.Path(sys.argv[1]))
descriptors.describe(config.Config(), data)
assert not {"tensorflow", "keras"} & set(sys.modules)
"""


def test_colors_and_edges_need_nothing_slow(own_data):
    done = subprocess.run(
        [sys.executable, "-c", CLASSICAL, own_data.train.directory],
        env=os.environ
        | {"PYTHONPATH": str(pathlib.Path(smartgrowth.__file__).parents[1])},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "46 training images (classical)" in done.stdout
