"""TFDS datasets as sources, with builders that the tests define, offline."""

import io
import urllib.error
import urllib.request

import numpy as np
import pytest
import tensorflow_datasets as tfds
from conftest import decoded
from PIL import Image

from smartgrowth import UserError
from smartgrowth.data import registry
from smartgrowth.data.source import TRAIN, VALIDATION, Example, Refusal


def pixels(seed: int, channels: int = 3) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (6, 5, channels), np.uint8)


class _Builder(tfds.core.GeneratorBasedBuilder):
    VERSION = tfds.core.Version("1.0.0")
    SPLITS = ("train", "test", "validation")
    FEATURES = {
        "image": tfds.features.Image(shape=(None, None, 3)),
        "label": tfds.features.ClassLabel(names=["cat", "dog", "cow"]),
        "boxes": tfds.features.Sequence(tfds.features.BBoxFeature()),
    }
    KEYS = ("image", "label")

    def _info(self):
        return tfds.core.DatasetInfo(
            builder=self,
            features=tfds.features.FeaturesDict(self.FEATURES),
            supervised_keys=self.KEYS,
        )

    def _split_generators(self, dl_manager):
        return {split: self._generate_examples(split) for split in self.SPLITS}

    def _generate_examples(self, split):
        start = 100 * self.SPLITS.index(split)
        for i in range(start, start + 40):
            yield i, self.make(i)

    def make(self, i: int) -> dict:
        # A different number of boxes each: such features cannot be batched.
        box = tfds.features.BBox(ymin=0.0, xmin=0.0, ymax=1.0, xmax=1.0)
        return {"image": pixels(i), "label": i % 3, "boxes": [box] * (i % 4)}


class GrowthPets(_Builder):
    """Three classes, three splits."""


class GrowthNoValidation(_Builder):
    """Only a test split to validate on."""

    SPLITS = ("train", "test")


class GrowthTrainOnly(_Builder):
    """Nothing to validate on."""

    SPLITS = ("train",)


class GrowthUnsupervised(_Builder):
    """No supervised keys."""

    KEYS = None


class GrowthNumbers(_Builder):
    """Labels are numbers, not classes."""

    FEATURES = {
        "image": tfds.features.Image(shape=(None, None, 3)),
        "label": tfds.features.Scalar(np.int64),
    }

    def make(self, i):
        return {"image": pixels(i), "label": i}


class GrowthBroken(_Builder):
    """One image is broken, one has no label."""

    FEATURES = {
        "image": tfds.features.Image(shape=(None, None, 3)),
        "label": tfds.features.ClassLabel(names=["cat", "dog", "cow"]),
    }

    def make(self, i):
        image = io.BytesIO(b"no image") if i == 7 else pixels(i)
        return {"image": image, "label": -1 if i == 9 else i % 3}


class GrowthGray(_Builder):
    """Grayscale throughout, of one size."""

    FEATURES = {
        "image": tfds.features.Image(shape=(6, 5, 1)),
        "label": tfds.features.ClassLabel(num_classes=3),
    }

    def make(self, i):
        return {"image": pixels(i, 1), "label": i % 3}


BUILDERS = {
    "growth_pets": GrowthPets,
    "growth_no_validation": GrowthNoValidation,
    "growth_train_only": GrowthTrainOnly,
    "growth_unsupervised": GrowthUnsupervised,
    "growth_numbers": GrowthNumbers,
    "growth_broken": GrowthBroken,
    "growth_gray": GrowthGray,
}


@pytest.fixture
def load(tmp_path):
    """A function that prepares one of the builders and loads it by name."""

    def run(name: str):
        BUILDERS[name](data_dir=tmp_path).download_and_prepare()
        return registry.load_source(f"tfds:{name}", str(tmp_path), "unused")

    return run


def test_images_labels_and_classes_are_those_of_the_dataset(load):
    source = load("growth_pets")
    assert source.name == "tfds:growth_pets"
    assert source.class_names == ("cat", "dog", "cow")
    assert source.native_size is None
    originals = {pixels(i).tobytes(): i for i in (*range(40), *range(200, 240))}
    found = decoded(source)
    assert len(found) == 80
    for example in found:
        i = originals.pop(example.image.tobytes())
        assert example.label == i % 3
        assert example.split == (TRAIN if i < 40 else VALIDATION)
        assert example.note == ""


def test_ids_are_unique_and_the_order_is_fixed(load):
    source = load("growth_pets")
    ids = [e.id for e in decoded(source)]
    assert len(set(ids)) == 80
    assert ids[0] == "growth_pets-train.tfrecord-00000-of-00001__0"
    assert ids == [e.id for e in decoded(source)]


def test_validation_is_preferred_and_test_will_do(load):
    with_both = [e.id for e in decoded(load("growth_pets"))]
    assert sum("-validation." in id for id in with_both) == 40
    assert not [id for id in with_both if "-test." in id]
    without = decoded(load("growth_no_validation"))
    assert {e.split for e in without if "-test." in e.id} == {VALIDATION}
    assert len(without) == 80


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("growth_train_only", "has the splits train; needs train, and"),
        ("growth_unsupervised", "its supervised_keys are None"),
        ("growth_numbers", "its 'label' is no class label"),
    ],
)
def test_a_dataset_that_does_not_fit_says_why(load, name, message):
    with pytest.raises(UserError, match=message) as caught:
        load(name)
    assert f"--dataset=tfds:{name}" in str(caught.value)


def test_broken_and_unlabeled_images_are_refused(load):
    found = decoded(load("growth_broken"))
    reasons = [e.reason for e in found if isinstance(e, Refusal)]
    assert sorted(reasons) == ["no label", "not an image that can be read"]
    assert sum(isinstance(e, Example) for e in found) == 78


def test_a_grayscale_dataset_is_rgb_and_no_repair(load):
    source = load("growth_gray")
    assert source.native_size == 5
    example = decoded(source)[0]
    assert example.image.shape == (6, 5, 3)
    assert (example.image == example.image[..., :1]).all()
    assert example.note == ""


def test_cifar100_knows_the_group_of_each_class(tmp_path, monkeypatch):
    class_ = tfds.builder_cls("cifar100")

    def split_generators(self, dl_manager):
        features = self.info.features
        features["label"].names = [f"fine {i}" for i in range(100)]
        features["coarse_label"].names = [f"coarse {i}" for i in range(20)]
        return {split: generate(split) for split in ("train", "test")}

    def generate(split):
        for i in range(200):
            image = np.full((32, 32, 3), i, np.uint8)
            label = {"label": i % 100, "coarse_label": (i % 100) // 5}
            yield i, {"id": f"{split}_{i}", "image": image, **label}

    monkeypatch.setattr(class_, "_split_generators", split_generators)
    class_(data_dir=tmp_path).download_and_prepare()
    source = registry.load_source("cifar100", str(tmp_path), "unused")
    assert source.native_size == 32
    assert source.class_names == tuple(f"fine {i}" for i in range(100))
    assert source.groups == {
        f"fine {i}": f"coarse {i // 5}" for i in range(100)
    }
    found = decoded(source)
    assert len(found) == 400
    assert all(e.label == e.image[0, 0, 0] % 100 for e in found)


def test_without_internet_one_line_says_what_to_do(tmp_path, monkeypatch):
    def refuse(*args, **kwargs):
        raise urllib.error.URLError("Name or service not known")

    monkeypatch.setattr(urllib.request, "urlopen", refuse)
    with pytest.raises(UserError, match="--dataset=cifar10: cannot reach") as e:
        registry.load_source("cifar10", None, str(tmp_path))
    assert "--data_dir=PATH of a TFDS directory" in str(e.value)
    assert "\n" not in str(e.value)


def test_whatever_a_download_raises_becomes_one_line(tmp_path, monkeypatch):
    def fail(self, dl_manager):
        raise AssertionError("no\nluck")

    monkeypatch.setattr(GrowthPets, "_split_generators", fail)
    with pytest.raises(UserError, match=r"download failed \(no luck\)"):
        registry.load_source("tfds:growth_pets", None, str(tmp_path))


def test_a_data_dir_without_the_dataset_is_named(tmp_path):
    with pytest.raises(UserError, match="cifar10 is not prepared there"):
        registry.load_source("cifar10", str(tmp_path), "unused")
    with pytest.raises(UserError, match="nowhere: no such folder"):
        registry.load_source("cifar10", str(tmp_path / "nowhere"), "unused")
    assert not list(tmp_path.iterdir())


def test_a_name_that_tfds_does_not_have_is_named(tmp_path):
    with pytest.raises(UserError, match="TFDS has no 'growth_cats'"):
        registry.load_source("tfds:growth_cats", None, str(tmp_path))


def test_an_image_stored_as_jpeg_is_decoded_as_pillow_does(
    tmp_path, monkeypatch
):
    buffer = io.BytesIO()
    Image.fromarray(pixels(1)).save(buffer, "JPEG")

    def make(self, i):
        return {"image": io.BytesIO(buffer.getvalue()), "label": 0}

    monkeypatch.setattr(GrowthBroken, "make", make)
    GrowthBroken(data_dir=tmp_path).download_and_prepare()
    name = "tfds:growth_broken"
    source = registry.load_source(name, str(tmp_path), "unused")
    example = decoded(source)[0]
    np.testing.assert_array_equal(example.image, np.asarray(Image.open(buffer)))
