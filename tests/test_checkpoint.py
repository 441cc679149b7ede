"""Checkpoints come back exactly, or not at all."""

import contextlib
import errno
import io
import json
import os
import pathlib
import shutil
import tempfile

import keras
import numpy as np
import pytest

from smartgrowth import UserError
from smartgrowth.models.network import Network
from smartgrowth.runs import checkpoint
from smartgrowth.runs import manifest as manifest_module
from smartgrowth.runtime import atomic
from smartgrowth.runtime.atomic import PREFIX

MEAN = VARIANCE = (100.0, 100.0, 100.0)


@pytest.fixture(autouse=True)
def naps(monkeypatch) -> list:
    """The seconds that would have been slept."""
    slept = []
    monkeypatch.setattr(checkpoint.time, "sleep", slept.append)
    return slept


def arrays_of(step: int) -> dict:
    random = np.random.default_rng(step)
    return {
        "model/0000/kernel": random.normal(size=(3, 4)).astype(np.float32),
        "optimizer/0000/iteration": np.int64(step),
        "metrics/0000/total": np.float32(np.pi * step),
    }


def save(directory, step, best=False, **facts):
    arrays = arrays_of(step)
    checkpoint.save(directory, arrays, {"step": step, **facts}, best)
    return arrays


def load(directory):
    """The arrays, the facts, and what was warned of."""
    output = io.StringIO()
    with contextlib.redirect_stdout(output):
        found = checkpoint.load(directory)
    return *(found or (None, None)), output.getvalue().splitlines()


def names(directory) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


def steps(directory) -> list[int]:
    """Of the checkpoints that are there: an archive and a manifest each."""
    found = sorted(directory.glob("step_*.json"))
    archives = sorted(directory.glob("step_*.npz"))
    assert [p.stem for p in found] == [p.stem for p in archives]
    assert len(list(directory.iterdir())) == 2 * len(found)
    return [int(path.name.split("_")[1]) for path in found]


def archive(directory, step):
    (path,) = directory.glob(f"step_{step:09d}_*.npz")
    return path


def damage(path) -> None:
    """Turns one bit in the middle."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def equal(found: dict, expected: dict) -> None:
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert found[name].dtype == value.dtype
        assert found[name].shape == value.shape
        np.testing.assert_array_equal(found[name], value)


# Saving and loading


@pytest.mark.core
def test_a_checkpoint_comes_back_exactly(tmp_path):
    facts = {"progress": {"rows": [{"loss": 0.1, "text": "ü"}], "best": None}}
    arrays = save(tmp_path, 7, **facts)
    found, said, warned = load(tmp_path)
    equal(found, arrays)
    assert said == {"step": 7, **facts}
    assert warned == []


def test_the_newest_is_loaded_by_its_step(tmp_path):
    # 10,000,000,000 has a digit more than the names are padded to.
    for step in (5, 999, 10**10, 10**10 + 1):
        expected = save(tmp_path, step)
    found, facts, _ = load(tmp_path)
    assert facts["step"] == 10**10 + 1
    equal(found, expected)


def test_no_checkpoint_is_none(tmp_path):
    assert checkpoint.load(tmp_path) is None
    assert checkpoint.load(tmp_path / "not there") is None


def test_the_directory_is_made(tmp_path):
    save(tmp_path / "new" / "checkpoints", 1)
    assert steps(tmp_path / "new" / "checkpoints") == [1]


# Damage


@pytest.mark.parametrize("harm", ["bit", "cut", "empty", "gone"])
def test_a_damaged_archive_is_passed_over_with_a_warning(tmp_path, harm):
    before = save(tmp_path, 10)
    save(tmp_path, 20)
    path = archive(tmp_path, 20)
    if harm == "bit":
        damage(path)
    elif harm == "cut":
        path.write_bytes(path.read_bytes()[:-1])
    elif harm == "empty":
        path.write_bytes(b"")
    else:
        path.unlink()
    found, facts, warned = load(tmp_path)
    assert facts["step"] == 10
    equal(found, before)
    assert len(warned) == 1
    assert path.stem in warned[0] and "damaged" in warned[0]


def test_the_warning_is_printed(tmp_path, capsys):
    save(tmp_path, 10)
    damage(archive(tmp_path, 10))
    assert checkpoint.load(tmp_path) is None
    assert "damaged checkpoint" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "it has no manifest"),
        (b"", "not JSON"),
        (b'{"archive": "step_0', "not JSON"),
        (b"\xff\xfe", "not JSON"),
        (b"[" * 10**5, "not JSON"),
        (b"[]", "not an object"),
        (b"null", "not an object"),
        (b"{}", "no `archive`"),
        (b'{"facts": 1}', "no `archive`"),
        (
            b'{"archive": "a", "sha256": "b", "best": true, "facts": 1}',
            "no `facts`",
        ),
        (
            b'{"archive": "a", "sha256": "b", "best": true, "facts": {}}',
            "no `step`",
        ),
    ],
)
def test_without_a_whole_manifest_it_is_named_and_the_one_before_is_used(
    tmp_path, content, reason
):
    before = save(tmp_path, 10)
    save(tmp_path, 20)
    path = archive(tmp_path, 20).with_suffix(".json")
    if content is None:
        path.unlink()
    else:
        path.write_bytes(content)
    found, facts, warned = load(tmp_path)
    assert facts["step"] == 10
    equal(found, before)
    (line,) = warned
    assert str(path) in line and reason in line
    # And the next one is written, and cleans up.
    save(tmp_path, 11)
    assert steps(tmp_path) == [10, 11]


# As a run's: with text, floats, a time that is a whole number, nothing.
FACTS = {
    "plan": "5f" * 32,
    "progress": {
        "stage_seconds": [1.25, 0.1, 3.0],
        "step": 105,
        "rows": [{"step": 100, "val_accuracy": 0.5625, "val_top5": None}],
        "best_accuracy": 0.5625,
    },
    "numerics": {"policy": "float32", "device": "ein Gerät"},
}


def test_a_flipped_bit_of_a_manifest_is_refused_or_harmless(tmp_path):
    save(tmp_path, 100, **FACTS)
    arrays = save(tmp_path, 105, **FACTS)
    path = archive(tmp_path, 105).with_suffix(".json")
    content = path.read_bytes()
    expected = json.dumps({"step": 105, **FACTS})
    random = np.random.default_rng(3)
    refused = 0
    for bit in random.choice(8 * len(content), 400, replace=False):
        flipped = bytearray(content)
        flipped[bit // 8] ^= 1 << bit % 8
        path.write_bytes(flipped)
        found, facts, warned = load(tmp_path)
        if facts["step"] == 100:
            refused += 1
            assert len(warned) == 1 and str(path) in warned[0]
            equal(found, arrays_of(100))
        else:
            # As text: 1 and 1.0 and True are equal otherwise.
            assert json.dumps(facts) == expected
            assert warned == []
            equal(found, arrays)
    assert refused > 300


def edit(path, change, sealed=True) -> None:
    """Changes the values of a manifest, whose digest stays or goes."""
    manifest = json.loads(path.read_text())
    change(manifest)
    if not sealed:
        del manifest["digest"]
    path.write_text(json.dumps(manifest))


def test_a_step_that_one_bit_changed_is_not_resumed_at(tmp_path):
    save(tmp_path, 100, **FACTS)
    save(tmp_path, 105, **FACTS)
    path = archive(tmp_path, 105).with_suffix(".json")
    edit(path, lambda manifest: manifest["facts"].update(step=107))
    _, facts, (warning,) = load(tmp_path)
    assert facts["step"] == 100
    assert f"{path}: its manifest's digest" in warning


def test_a_manifest_of_an_earlier_version_is_accepted(tmp_path):
    arrays = save(tmp_path, 105, **FACTS)
    path = archive(tmp_path, 105).with_suffix(".json")
    edit(path, lambda manifest: None, sealed=False)
    assert json.loads(path.read_text()).keys() == manifest_module.FIELDS.keys()
    found, facts, warned = load(tmp_path)
    equal(found, arrays)
    assert (facts, warned) == ({"step": 105, **FACTS}, [])


def test_what_does_not_belong_together_is_passed_over(tmp_path):
    before = save(tmp_path, 10)
    save(tmp_path, 20)

    def check(arrays, facts):
        assert arrays["optimizer/0000/iteration"] == facts["step"]
        if facts["step"] == 20:
            raise ValueError("too late")

    output = io.StringIO()
    with contextlib.redirect_stdout(output):
        found, facts = checkpoint.load(tmp_path, check)
    assert facts["step"] == 10 and "too late" in output.getvalue()
    equal(found, before)


def test_a_manifest_vouches_for_its_own_archive_alone(tmp_path):
    before = save(tmp_path, 10)
    save(tmp_path, 20)
    shutil.copyfile(archive(tmp_path, 10), archive(tmp_path, 20))
    found, facts, warned = load(tmp_path)
    assert facts["step"] == 10 and len(warned) == 1
    equal(found, before)


def test_nothing_is_ever_unpickled(tmp_path):
    class Trap:
        def __reduce__(self):
            return print, ("unpickled!",)

    before = save(tmp_path, 10)
    hostile = {"model/0000/kernel": np.array([Trap()], dtype=object)}
    checkpoint.save(tmp_path, hostile, {"step": 20})
    found, facts, warned = load(tmp_path)
    # Its hash is right, and still it is refused.
    assert facts["step"] == 10
    equal(found, before)
    assert len(warned) == 1
    assert "allow_pickle=False" in warned[0]


# Rotation


def test_the_two_newest_and_the_best_are_kept(tmp_path):
    for step in range(1, 8):
        save(tmp_path, step, best=step in (2, 3))
        kept = {step - 1, step} - {0}
        best = [s for s in (2, 3) if s <= step][-1:]
        assert steps(tmp_path) == sorted(kept | set(best))
    found, facts, _ = load(tmp_path)
    assert facts["step"] == 7


def test_what_was_left_half_written_is_removed(tmp_path):
    save(tmp_path, 1)
    for name in (
        "step_000000002_abcdef01.npz",
        f"{PREFIX}abcdef01_step_000000002_abcdef01.json",
        "step_000000003_abcdef01.json",
    ):
        (tmp_path / name).write_text("half")
    equal(load(tmp_path)[0], arrays_of(1))
    save(tmp_path, 4)
    assert steps(tmp_path) == [1, 4]


def test_what_others_put_there_is_left_alone(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    for step in range(4):
        save(tmp_path, step)
    assert "notes.txt" in names(tmp_path)


def test_damaged_later_ones_do_not_push_out_those_of_a_run_that_went_on(
    tmp_path,
):
    save(tmp_path, 100, best=True)
    for step in (200, 300):
        save(tmp_path, step)
        damage(archive(tmp_path, step))
    _, facts, warned = load(tmp_path)
    assert facts["step"] == 100 and len(warned) == 2
    for step in (120, 140):
        expected = save(tmp_path, step)
        found, facts, warned = load(tmp_path)
        assert facts["step"] == step
        equal(found, expected)
        assert warned == []
    assert steps(tmp_path) == [100, 120, 140]


def test_of_two_with_one_step_the_later_written_counts(tmp_path):
    save(tmp_path, 10)
    for seed in range(8):  # whichever name sorts first
        arrays = arrays_of(seed)
        checkpoint.save(tmp_path, arrays, {"step": 20})
        equal(load(tmp_path)[0], arrays)
    assert steps(tmp_path) == [10, 20]


def test_the_same_again_is_the_same_again(tmp_path):
    for _ in range(3):
        expected = save(tmp_path, 10)
    equal(load(tmp_path)[0], expected)
    assert steps(tmp_path) == [10]


# A disk that will not


def failing(monkeypatch, times: int, act=shutil.copyfile) -> list:
    """Lets the first `times` copies fail as a full disk does."""
    calls = []

    def copyfile(source, target):
        calls.append(target)
        if len(calls) <= times:
            raise OSError(28, "No space left on device")
        return act(source, target)

    monkeypatch.setattr(checkpoint.shutil, "copyfile", copyfile)
    return calls


def unreadable(monkeypatch, times: int, of: str) -> None:
    """Lets the first reads fail as a mounted drive does."""
    left, read = [times], getattr(checkpoint, of, None) or getattr(os, of)

    def fail(*arguments):
        if left[0]:
            left[0] -= 1
            raise OSError(errno.EIO, "Input/output error", str(arguments[0]))
        return read(*arguments)

    where = checkpoint if hasattr(checkpoint, of) else checkpoint.os
    monkeypatch.setattr(where, of, fail)


READS = pytest.mark.parametrize("of", ["hash_file", "read_manifest", "listdir"])


@READS
def test_a_drive_that_does_not_read_is_asked_again(
    tmp_path, monkeypatch, naps, of
):
    save(tmp_path, 10)
    expected = save(tmp_path, 20)
    unreadable(monkeypatch, checkpoint.TRIES - 1, of)
    found, facts, warned = load(tmp_path)
    assert (facts["step"], warned) == (20, [])
    equal(found, expected)
    assert naps == [1.0, 2.0]


@READS
def test_what_cannot_be_read_now_is_not_damaged(
    tmp_path, monkeypatch, naps, of
):
    """Else an older one would be used, and the next save remove the newest."""
    save(tmp_path, 10)
    save(tmp_path, 20)
    with monkeypatch.context() as failing:
        unreadable(failing, 99, of)
        with pytest.raises(UserError, match="cannot be read now .*again later"):
            load(tmp_path)
        if of != "hash_file":  # what `save` itself needs
            with pytest.raises(OSError, match="Input/output"):
                save(tmp_path, 5)
    assert {10, 20} <= {*steps(tmp_path)}


def test_a_copy_that_fails_is_tried_again(tmp_path, monkeypatch, naps):
    calls = failing(monkeypatch, times=2)
    expected = save(tmp_path, 5)
    equal(load(tmp_path)[0], expected)
    assert len(calls) == 3
    assert naps == [1.0, 2.0]


def test_a_disk_that_keeps_failing_is_an_error(tmp_path, monkeypatch, naps):
    before = save(tmp_path, 4)
    calls = failing(monkeypatch, times=99)
    with pytest.raises(OSError, match="No space left"):
        save(tmp_path, 5)
    assert len(calls) == checkpoint.TRIES
    assert len(naps) == checkpoint.TRIES - 1
    found, facts, _ = load(tmp_path)
    assert facts["step"] == 4
    equal(found, before)


@pytest.fixture
def local(tmp_path_factory, monkeypatch) -> pathlib.Path:
    """A temporary folder of this test's own."""
    folder = tmp_path_factory.mktemp("local")
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


def full(monkeypatch, folder) -> None:
    """Lets the archives that are written below a folder fail, half written."""
    savez = np.savez

    def fill(file, **arrays):
        if pathlib.Path(file.name).is_relative_to(folder):
            file.write(b"half")
            raise OSError(errno.ENOSPC, "No space left on device")
        savez(file, **arrays)

    monkeypatch.setattr(checkpoint.np, "savez", fill)


def test_a_full_local_disk_is_named_and_done_without(
    tmp_path, local, monkeypatch, capsys
):
    full(monkeypatch, local)
    expected = save(tmp_path, 5)
    (line,) = capsys.readouterr().out.splitlines()
    assert f"no room for a checkpoint in {local} (No space" in line
    assert f"straight to {tmp_path}" in line
    assert list(local.iterdir()) == []
    found, _, warned = load(tmp_path)
    equal(found, expected)
    assert warned == [] and steps(tmp_path) == [5]


def test_without_any_local_folder_checkpoints_are_written(
    tmp_path, monkeypatch, capsys
):
    def refuse(*args, **kwargs):
        raise FileNotFoundError(errno.ENOENT, "No usable temporary directory")

    monkeypatch.setattr(tempfile, "gettempdir", refuse)
    monkeypatch.setattr(tempfile, "mkdtemp", refuse)
    monkeypatch.setenv("TMPDIR", "/the/small/one")
    expected = save(tmp_path, 5)
    assert "in /the/small/one (No usable" in capsys.readouterr().out
    equal(load(tmp_path)[0], expected)


def test_a_full_disk_everywhere_leaves_nothing_and_is_an_error(
    tmp_path, local, monkeypatch
):
    before = save(tmp_path / "checkpoints", 4)
    full(monkeypatch, "/")
    with pytest.raises(OSError, match="No space left"):
        save(tmp_path / "checkpoints", 5)
    assert steps(tmp_path / "checkpoints") == [4]
    assert list(local.iterdir()) == []
    equal(load(tmp_path / "checkpoints")[0], before)


def test_a_save_killed_on_a_full_local_disk_leaves_a_hidden_part(
    tmp_path, local, monkeypatch
):
    """Which no load takes up, and the next save removes."""
    before = save(tmp_path, 4)
    with monkeypatch.context() as patch:
        full(patch, local)
        patch.setattr(atomic, "_remove", lambda path: None)
        patch.setattr(checkpoint, "hash_file", lambda path: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            save(tmp_path, 5)
    (part,) = tmp_path.glob(f"{PREFIX}*")
    assert part.stat().st_size > 0
    found, _, warned = load(tmp_path)
    equal(found, before)
    assert warned == []
    save(tmp_path, 6)
    assert steps(tmp_path) == [4, 6]


def test_a_copy_that_reads_back_differently_is_tried_again(
    tmp_path, monkeypatch, naps
):
    spoiled = []

    def copyfile(source, target):
        target.write_bytes(source.read_bytes())
        if not spoiled:
            spoiled.append(target)
            damage(target)

    monkeypatch.setattr(checkpoint.shutil, "copyfile", copyfile)
    expected = save(tmp_path, 5)
    found, _, warned = load(tmp_path)
    equal(found, expected)
    assert (warned, naps) == ([], [1.0])


def test_a_run_stopped_while_it_saves_has_the_checkpoint_before(
    tmp_path, monkeypatch
):
    before = save(tmp_path, 4)

    def copyfile(source, target):
        target.write_bytes(source.read_bytes()[:100])
        raise KeyboardInterrupt

    monkeypatch.setattr(checkpoint.shutil, "copyfile", copyfile)
    for step in (5, 4):  # a new one, and the same again
        with pytest.raises(KeyboardInterrupt):
            save(tmp_path, step)
        found, facts, warned = load(tmp_path)
        assert (facts["step"], warned) == (4, [])
        equal(found, before)


# Variables


def variables(*shapes, seed=0):
    random = np.random.default_rng(seed)
    return [
        keras.Variable(random.normal(size=shape), name=f"layer_{i}_kernel")
        for i, shape in enumerate(shapes)
    ]


def values(group) -> list:
    return [np.array(variable) for variable in group]


@pytest.mark.core
def test_variables_are_collected_by_group_position_and_name():
    groups = {"model": variables((2, 3), (4,)), "optimizer": variables((1,))}
    assert list(checkpoint.collect(groups)) == [
        "model/0000/kernel",
        "model/0001/kernel",
        "optimizer/0000/kernel",
    ]


@pytest.mark.core
def test_what_was_collected_is_restored_to_other_variables(tmp_path):
    old = {"model": variables((2, 3), (4,)), "clock": variables((), seed=3)}
    new = {
        "model": variables((2, 3), (4,), seed=1),
        "clock": variables((), seed=2),
    }
    checkpoint.save(tmp_path, checkpoint.collect(old), {"step": 1})
    checkpoint.restore(new, load(tmp_path)[0])
    for group in old:
        for a, b in zip(values(old[group]), values(new[group]), strict=True):
            np.testing.assert_array_equal(a, b)


def test_what_was_collected_does_not_follow_the_variables():
    group = variables((2, 3))
    before = values(group)[0]
    arrays = checkpoint.collect({"model": group})
    group[0].assign_add(np.ones((2, 3)))
    np.testing.assert_array_equal(arrays["model/0000/kernel"], before)


def test_a_group_that_was_not_saved_stays():
    groups = {"model": variables((2,)), "metrics": variables((3,), seed=1)}
    saved = checkpoint.collect({"model": variables((2,), seed=5)})
    before = values(groups["metrics"])[0]
    checkpoint.restore(groups, saved)
    np.testing.assert_array_equal(values(groups["metrics"])[0], before)
    np.testing.assert_array_equal(
        values(groups["model"])[0], saved["model/0000/kernel"]
    )


@pytest.mark.parametrize(
    "shapes",
    [[(3, 2), (4,)], [(2, 3), (5,)], [(2, 3)], [(6,), (4,)], [()]],
    ids=str,
)
def test_a_wrong_shape_is_refused(shapes):
    saved = checkpoint.collect({"model": variables(*shapes)})
    wanted = {"model": variables((2, 3), (4,))}
    with pytest.raises(ValueError, match=r"no array model/000[01]/kernel"):
        checkpoint.restore(wanted, saved)


def test_weights_without_a_name_are_found_by_their_place():
    """Keras numbers them within the process."""
    old = keras.Variable(np.arange(4.0), name="variable_3")
    new = keras.Variable(np.zeros(4), name="variable_12")
    saved = checkpoint.collect({"model": [old]})
    checkpoint.restore({"model": [new]}, saved)
    np.testing.assert_array_equal(np.array(new), np.arange(4.0))
    # As earlier versions wrote the name of a weight "kernel_1".
    named = keras.Variable(np.zeros(4), name="kernel_1")
    checkpoint.restore({"model": [named]}, {"model/0000/1": np.ones(4)})
    np.testing.assert_array_equal(np.array(named), np.ones(4))


def test_another_name_is_refused():
    saved = checkpoint.collect({"model": variables((4,))})
    wanted = {"model": [keras.Variable(np.zeros(4), name="layer_gamma")]}
    with pytest.raises(ValueError, match="model/0000/gamma"):
        checkpoint.restore(wanted, saved)


def shuffled(model):
    """Gives every variable its own values, the batch norms' too."""
    random = np.random.default_rng(4)
    for variable in model.variables:
        variable.assign(random.uniform(0.5, 1.5, variable.shape))
    return model


@pytest.mark.parametrize("fused_first", [True, False])
def test_the_fused_and_the_stock_norm_read_each_others(tmp_path, fused_first):
    network = Network("resnet", 3, width=4, depth=1)
    models = [
        network.build(MEAN, VARIANCE, stock=stock) for stock in (False, True)
    ]
    source, target = models if fused_first else models[::-1]
    arrays = checkpoint.collect({"model": shuffled(source).variables})
    checkpoint.save(tmp_path, arrays, {"step": 1})
    checkpoint.restore({"model": target.variables}, load(tmp_path)[0])
    for a, b in zip(source.variables, target.variables, strict=True):
        np.testing.assert_array_equal(np.array(a), np.array(b))
    images = np.random.default_rng(0).uniform(0, 255, (2, 16, 16, 3))
    np.testing.assert_allclose(
        source(images, training=False),
        target(images, training=False),
        rtol=1e-4,
    )


def test_another_networks_checkpoint_is_refused():
    small, large = (
        Network("resnet", 3, width=width, depth=1).build(MEAN, VARIANCE)
        for width in (4, 8)
    )
    arrays = checkpoint.collect({"model": small.variables})
    with pytest.raises(ValueError, match="no array model/"):
        checkpoint.restore({"model": large.variables}, arrays)


def test_a_manifest_can_be_read_by_a_person(tmp_path):
    save(tmp_path, 12, best=True)
    (path,) = tmp_path.glob("*.json")
    manifest = json.loads(path.read_text())
    assert manifest["archive"] == archive(tmp_path, 12).name
    assert manifest["facts"] == {"step": 12}
    assert manifest["best"] is True
    assert len(manifest["sha256"]) == 64


def test_what_did_not_fit_gives_its_room_back(tmp_path, monkeypatch):
    """A try that fills the disk leaves no stub of an archive on it."""

    def copy_half(source, target):
        data = pathlib.Path(source).read_bytes()
        pathlib.Path(target).write_bytes(data[: len(data) // 2])
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(checkpoint.shutil, "copyfile", copy_half)
    monkeypatch.setattr(checkpoint.time, "sleep", lambda seconds: None)
    with pytest.raises(OSError, match="No space"):
        checkpoint.save(tmp_path / "c", {"a": np.arange(9)}, {"step": 1})
    assert list((tmp_path / "c").iterdir()) == []
