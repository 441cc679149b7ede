"""A config leads to opened data, and what it lacks is said."""

import pytest
from PIL import Image

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
