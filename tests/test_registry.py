"""Dataset names lead to sources; fingerprints are cheap."""

import subprocess
import sys
import types

import pytest
from PIL import Image

import smartgrowth.data.sources
from smartgrowth import UserError
from smartgrowth.data import registry


@pytest.fixture
def pets(tmp_path):
    for class_name in ("cat", "dog"):
        for i in range(3):
            path = tmp_path / "pets" / class_name / f"{i}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (4, 4)).save(path)
    return tmp_path / "pets"


def test_an_unknown_name_lists_the_known_ones():
    with pytest.raises(UserError) as caught:
        registry.load_source("imagenete", None, "unused")
    message = str(caught.value)
    assert message.startswith("--dataset=imagenete: unknown")
    for name in registry.DATASETS:
        assert name in message
    assert "tfds:NAME, folder:PATH" in message
    assert "did you mean imagenette?" in message


@pytest.mark.parametrize("name", ["", "tfds:", "folder:", "Glyphs", "folders"])
def test_half_a_name_is_unknown(name):
    for call in (
        lambda: registry.load_source(name, None, "unused"),
        lambda: registry.fingerprint(name),
    ):
        with pytest.raises(UserError, match=f"--dataset={name}: unknown"):
            call()


def test_a_folder_is_found_by_its_path(pets):
    name = f"folder:{pets}"
    source = registry.load_source(name, None, "unused")
    assert source.name == name
    assert source.class_names == ("cat", "dog")
    assert source.fingerprint == registry.fingerprint(name)


def test_a_relative_folder_starts_from_data_dir(pets):
    name, data_dir = f"folder:{pets.name}", str(pets.parent)
    source = registry.load_source(name, data_dir, "unused")
    assert source.class_names == ("cat", "dog")
    assert source.fingerprint == registry.fingerprint(name, data_dir)
    assert source.fingerprint == registry.fingerprint(f"folder:{pets}")


def test_glyphs_do_not_depend_on_the_training_seed(monkeypatch):
    seeds = []

    def make_source(seed):
        seeds.append(seed)
        return types.SimpleNamespace(fingerprint=f"glyphs-{seed}")

    glyphs = types.ModuleType("smartgrowth.data.sources.glyphs")
    glyphs.make_source = make_source
    monkeypatch.setitem(sys.modules, glyphs.__name__, glyphs)
    monkeypatch.setattr(
        smartgrowth.data.sources, "glyphs", glyphs, raising=False
    )
    source = registry.load_source("glyphs", None, "unused")
    assert source.fingerprint == registry.fingerprint("glyphs") == "glyphs-0"
    assert seeds == [0, 0]


def test_fingerprints_of_tfds_names_tell_names_and_places_apart(tmp_path):
    calls = [
        ("cifar10", None),
        ("cifar100", None),
        ("imagenette", None),
        ("tfds:cifar10", None),
        ("cifar10", str(tmp_path)),
    ]
    prints = [registry.fingerprint(*call) for call in calls]
    assert len(set(prints)) == len(calls)
    assert prints == [registry.fingerprint(*call) for call in calls]


def test_a_downloaded_tiny_imagenet_has_a_constant_fingerprint():
    fingerprint = registry.fingerprint("tiny_imagenet")
    assert fingerprint == "tiny_imagenet-6198c8ae015e2b3e"


def test_no_fingerprint_needs_tensorflow(pets):
    code = (
        "import sys\n"
        "from smartgrowth.data import registry\n"
        "for name in ('tiny_imagenet', 'cifar10', 'cifar100', 'imagenette',\n"
        f"             'tfds:mnist', 'folder:{pets}'):\n"
        "    print(name, registry.fingerprint(name), file=sys.stderr)\n"
        f"registry.load_source('folder:{pets}', None, 'unused')\n"
        "heavy = {'tensorflow', 'tensorflow_datasets', 'keras'}\n"
        "print(sorted(heavy & set(sys.modules)))\n"
    )
    out = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert out.stdout == "[]\n"
    assert len(out.stderr.splitlines()) == 6
