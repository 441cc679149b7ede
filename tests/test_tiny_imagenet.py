"""Tiny ImageNet from zips that the tests make: 64 px would be 8 px as well."""

import functools
import hashlib
import http.server
import io
import os
import pathlib
import socket
import subprocess
import sys
import threading
import tracemalloc
import urllib.error
import urllib.request
import zipfile

import numpy as np
import pytest
import tensorflow_datasets as tfds
from conftest import decoded
from PIL import Image
from tensorflow_datasets.core.download import checksums

from smartgrowth import UserError
from smartgrowth.data import registry
from smartgrowth.data.source import TRAIN, VALIDATION, Example, Refusal
from smartgrowth.data.sources import tiny_imagenet, tiny_imagenet_files

# Not sorted: the order of wnids.txt is the order of the labels.
WNIDS = ("n02123045", "n01443537", "n07753592")
CAT, FISH, BANANA = WNIDS
ROOT = "tiny-imagenet-200/"
WORDS = f"{CAT}\ttabby, tabby cat\n{FISH}\tgoldfish, Carassius auratus\n"


def jpeg(seed: int, mode: str = "RGB") -> bytes:
    shape = (8, 8, 3) if mode == "RGB" else (8, 8)
    noise = np.random.default_rng(seed).integers(0, 256, shape, np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(noise).save(buffer, "JPEG")
    return buffer.getvalue()


def make_files() -> dict[str, bytes]:
    """11 training images a class, 3 for validation, one for testing."""
    files = {
        "wnids.txt": "\n".join(WNIDS).encode(),
        "words.txt": WORDS.encode(),
        "val/val_annotations.txt": (
            f"val_0.JPEG\t{BANANA}\t0\t1\t2\t3\n"
            f"val_1.JPEG\t{CAT}\t0\t1\t2\t3\n"
            f"val_10.JPEG\t{FISH}\t0\t1\t2\t3\n"
        ).encode(),
        "val/images/val_0.JPEG": jpeg(1000),
        "val/images/val_1.JPEG": jpeg(1001),
        "val/images/val_10.JPEG": jpeg(1002),
        "test/images/test_0.JPEG": jpeg(2000),
    }
    for label, wnid in enumerate(WNIDS):
        files[f"train/{wnid}/{wnid}_boxes.txt"] = b""
        for i in range(11):
            name = f"train/{wnid}/images/{wnid}_{i}.JPEG"
            files[name] = jpeg(100 * label + i)
    return files


def write_zip(path: pathlib.Path, files: dict[str, bytes]) -> str:
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(ROOT + name, content)
    return str(path)


def write_folder(path: pathlib.Path, files: dict[str, bytes]) -> str:
    for name, content in files.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(content)
    return str(path)


def load(data_dir, cache_dir):
    return registry.load_source("tiny_imagenet", data_dir, str(cache_dir))


@pytest.fixture
def files():
    return make_files()


@pytest.fixture
def stream(tmp_path):
    """A function from files to their stream, through a zip."""

    def run(files):
        data_dir = write_zip(tmp_path / "tiny.zip", files)
        return decoded(load(data_dir, tmp_path / "cache"))

    return run


def test_class_names_are_wnids_with_their_first_synonym(files, tmp_path):
    source = load(write_zip(tmp_path / "tiny.zip", files), tmp_path)
    assert source.class_names == (
        "n02123045 tabby",
        "n01443537 goldfish",
        "n07753592",  # words.txt does not have it
    )
    assert source.native_size == 64


def test_every_image_arrives_once_with_its_path_and_label(files, stream):
    found = stream(files)
    train = [e for e in found if e.split == TRAIN]
    # x_2 before x_10, class after class, in the order of wnids.txt.
    assert [(e.id, e.label) for e in train] == [
        (f"train/{wnid}/images/{wnid}_{i}.JPEG", label)
        for label, wnid in enumerate(WNIDS)
        for i in range(11)
    ]
    assert found[: len(train)] == train
    assert len(found) == len(train) + 3


def test_validation_labels_come_from_the_annotations(files, stream):
    validation = [e for e in stream(files) if e.split == VALIDATION]
    assert {e.id: e.label for e in validation} == {
        "val/images/val_0.JPEG": WNIDS.index(BANANA),
        "val/images/val_1.JPEG": WNIDS.index(CAT),
        "val/images/val_10.JPEG": WNIDS.index(FISH),
    }


def test_a_part_of_the_classes_is_read_from_wnids(files, stream):
    files["wnids.txt"] = f"{BANANA}\n{FISH}\n".encode()
    found = stream(files)
    assert {e.id.split("/")[1] for e in found if e.split == TRAIN} == {
        BANANA,
        FISH,
    }
    validation = {e.id: e.label for e in found if e.split == VALIDATION}
    assert validation == {
        "val/images/val_0.JPEG": 0,
        "val/images/val_10.JPEG": 1,
    }


def test_pixels_are_those_of_the_original_jpeg(files, stream):
    found = stream(files)
    assert len(found) == 36
    for example in found:
        original = Image.open(io.BytesIO(files[example.id]))
        np.testing.assert_array_equal(example.image, np.asarray(original))
        assert example.image.dtype == np.uint8
        assert example.note == ""


def test_the_images_of_test_are_never_read(files, tmp_path, monkeypatch):
    files["test/images/test_0.JPEG"] = b"poison"
    path = write_zip(tmp_path / "tiny.zip", files)
    poisoned = pathlib.Path(path).read_bytes().replace(b"poison", b"POISON")
    pathlib.Path(path).write_bytes(poisoned)  # the checksum is wrong now
    opened = []
    real = zipfile.ZipFile.open

    def spy(self, name, *args, **kwargs):
        opened.append(getattr(name, "filename", name))
        return real(self, name, *args, **kwargs)

    monkeypatch.setattr(zipfile.ZipFile, "open", spy)
    found = decoded(load(path, tmp_path))
    assert all(isinstance(e, Example) for e in found)
    assert sum(name.endswith(".JPEG") for name in opened) == 36
    assert not [name for name in opened if "test/" in name]


def test_a_grayscale_image_becomes_rgb_and_is_noted(files, stream):
    name = f"train/{CAT}/images/{CAT}_3.JPEG"
    files[name] = jpeg(5, "L")
    found = {e.id: e for e in stream(files)}
    gray = np.asarray(Image.open(io.BytesIO(files[name])))
    np.testing.assert_array_equal(found[name].image, np.stack([gray] * 3, -1))
    assert {e.id for e in found.values() if e.note} == {name}
    assert found[name].note == "grayscale"


def test_an_undecodable_image_is_refused_and_the_rest_goes_on(files, stream):
    broken = f"train/{FISH}/images/{FISH}_0.JPEG"
    cut = "val/images/val_1.JPEG"
    files[broken] = b"not a JPEG"
    files[cut] = files[cut][:-200]
    found = stream(files)
    refused = {r.id: r.reason for r in found if isinstance(r, Refusal)}
    assert set(refused) == {broken, cut}
    assert refused[broken] == "not an image that can be read"
    assert sum(isinstance(e, Example) for e in found) == 34


def test_an_image_damaged_within_the_zip_is_refused(files, tmp_path):
    name = f"train/{FISH}/images/{FISH}_0.JPEG"
    path = pathlib.Path(write_zip(tmp_path / "tiny.zip", files))
    content = files[name]
    damaged = path.read_bytes().replace(content, content[:-1] + b"\0")
    path.write_bytes(damaged)
    found = decoded(load(str(path), tmp_path))
    assert [r for r in found if isinstance(r, Refusal)] == [
        Refusal(name, "empty, or damaged in its archive", TRAIN, 1)
    ]
    assert len(found) == 36


@pytest.mark.parametrize("kind", ["zip", "zip's folder", "folder", "parent"])
def test_data_dir_may_be_the_zip_the_folder_or_what_holds_them(
    files, tmp_path, kind
):
    place = tmp_path / "place"
    place.mkdir()
    if "zip" in kind:
        given = write_zip(place / "tiny-imagenet-200.zip", files)
    else:
        given = write_folder(place / "tiny-imagenet-200", files)
    if kind in ("zip's folder", "parent"):
        given = str(place)
    found = decoded(load(given, tmp_path / "cache"))
    assert {e.id for e in found} == {
        n for n in files if n.endswith(".JPEG") and not n.startswith("test/")
    }


def test_of_several_zips_one_must_be_named(files, tmp_path):
    write_zip(tmp_path / "tiny-a.zip", files)
    write_zip(tmp_path / "tiny-b.zip", files)
    with pytest.raises(UserError, match=r"tiny-a\.zip, tiny-b\.zip"):
        load(str(tmp_path), tmp_path)


def test_a_zip_of_another_content_gets_a_dataset_of_its_own(files, tmp_path):
    path = tmp_path / "tiny.zip"
    first = load(write_zip(path, files), tmp_path)
    name = f"train/{CAT}/images/{CAT}_0.JPEG"
    before = {e.id: e.image for e in decoded(first)}[name]
    files[name] = jpeg(77)
    second = load(write_zip(path, files), tmp_path)
    after = {e.id: e.image for e in decoded(second)}[name]
    assert first.fingerprint != second.fingerprint
    assert (before != after).any()


def test_a_copy_of_a_zip_has_its_fingerprint(files, tmp_path):
    one = write_zip(tmp_path / "one.zip", files)
    two = tmp_path / "two.zip"
    two.write_bytes(pathlib.Path(one).read_bytes())
    os.utime(two, ns=(1, 1))
    fingerprint = registry.fingerprint("tiny_imagenet", one)
    assert fingerprint == registry.fingerprint("tiny_imagenet", str(two))
    assert fingerprint == load(one, tmp_path).fingerprint


def test_the_fingerprint_is_of_content_not_sizes_and_not_of_test(
    files, tmp_path
):
    def fingerprint(change):
        path = write_zip(tmp_path / "tiny.zip", files | change)
        return registry.fingerprint("tiny_imagenet", path)

    name = f"train/{CAT}/images/{CAT}_0.JPEG"
    before = fingerprint({})
    assert fingerprint({"test/images/test_0.JPEG": b"another"}) == before
    assert fingerprint({name: files[name][::-1]}) != before


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("wnids.txt", None, "no wnids.txt in this zip"),
        ("wnids.txt", f"{CAT}\n{FISH}\n{CAT}", f"names {CAT} more than once"),
        ("wnids.txt", CAT, "names 1 classes"),
        ("wnids.txt", f"{CAT}\nn099", "no training images of n099"),
        ("val/val_annotations.txt", None, "val_annotations.txt is missing"),
        (
            "val/val_annotations.txt",
            f"val_0.JPEG\t{BANANA}\nval_1.JPEG\t{CAT}",
            "no line for val/images/val_10.JPEG",
        ),
        ("val/val_annotations.txt", "val_0.JPEG", "line 1 of"),
        ("val/images/val_1.JPEG", None, "val/images/val_1.JPEG named in"),
    ],
)
def test_what_is_missing_or_inconsistent_is_named(
    files, tmp_path, name, content, message
):
    if content is None:
        del files[name]
    else:
        files[name] = content.encode()
    path = write_zip(tmp_path / "tiny.zip", files)
    with pytest.raises(UserError, match=message) as caught:
        load(path, tmp_path)
    assert f"--data_dir={path}" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_truncated_zip_is_an_error_that_names_it(files, tmp_path):
    path = pathlib.Path(write_zip(tmp_path / "tiny.zip", files))
    path.write_bytes(path.read_bytes()[:-2000])
    with pytest.raises(UserError, match="not a whole zip") as caught:
        load(str(path), tmp_path)
    assert str(path) in str(caught.value)
    assert "pass --data_dir=" in str(caught.value)


@pytest.mark.parametrize("name", ["words.txt", f"train/{CAT}/images/x.JPEG"])
@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        ({"flag_bits": 1}, "is encrypted"),
        ({"compress_type": 14}, "is compressed otherwise than by deflate"),
        ({"compress_type": 99}, "is compressed otherwise than by deflate"),
        ({"file_size": 8 * 2**30}, "unpacks to 8,192 MB"),
    ],
)
def test_a_zip_that_cannot_be_unpacked_is_an_error_that_names_it(
    files, tmp_path, monkeypatch, name, spoil, message
):
    files[f"train/{CAT}/images/x.JPEG"] = jpeg(1)
    path = write_zip(tmp_path / "tiny.zip", files)
    listed = zipfile.ZipFile.infolist

    def infolist(opened):
        for info in listed(opened):
            if info.filename == ROOT + name:
                for key, value in spoil.items():
                    setattr(info, key, value)
        return listed(opened)

    monkeypatch.setattr(zipfile.ZipFile, "infolist", infolist)
    with pytest.raises(UserError) as caught:
        load(path, tmp_path)
    assert f"--data_dir={path}: {ROOT}{name} {message}" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_image_larger_than_its_header_says_is_not_unpacked(files, tmp_path):
    name = f"train/{CAT}/images/{CAT}_0.JPEG"
    large = 300 * 2**20
    path = tmp_path / "tiny.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as opened:
        for other, content in files.items():
            content = content if other != name else bytes(large)
            opened.writestr(ROOT + other, content)
    lie = path.read_bytes().replace(
        large.to_bytes(4, "little"), (100).to_bytes(4, "little")
    )
    path.write_bytes(lie)
    found = tiny_imagenet_files.open_files(str(path)).read(TRAIN)
    tracemalloc.start()
    contents = {path: content for path, _, content in found}
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert contents[name] == b""
    assert peak < large / 2


def test_a_pipe_in_its_folder_is_never_waited_for(files, tmp_path):
    name = f"train/{CAT}/images/{CAT}_0.JPEG"
    del files[name]
    path = write_folder(tmp_path / "tiny", files)
    os.mkfifo(tmp_path / "tiny" / name)
    found = decoded(load(path, tmp_path / "cache"))
    refusal = Refusal(name, "empty, or damaged in its archive", TRAIN, 0)
    assert refusal in found
    assert len(found) == 36


def test_a_path_with_nothing_is_an_error_that_names_it(tmp_path):
    with pytest.raises(UserError, match=r"nowhere: no such file or folder"):
        load(str(tmp_path / "nowhere"), tmp_path)
    with pytest.raises(UserError, match="neither a zip nor a wnids.txt"):
        load(str(tmp_path), tmp_path)


def test_the_network_is_not_asked_for_a_zip_that_is_there(
    files, tmp_path, monkeypatch
):
    def refuse(*args, **kwargs):
        raise AssertionError("network")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    path = write_zip(tmp_path / "tiny.zip", files)
    assert len(decoded(load(path, tmp_path))) == 36


def test_without_internet_one_line_says_what_to_do(tmp_path, monkeypatch):
    def refuse(*args, **kwargs):
        raise urllib.error.URLError("Name or service not known")

    monkeypatch.setattr(urllib.request, "urlopen", refuse)
    with pytest.raises(UserError, match="cannot reach http://cs231n") as caught:
        load(None, tmp_path)
    assert "pass --data_dir=PATH" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.fixture
def serve(tmp_path, monkeypatch):
    """A function that serves a zip where the download is expected."""
    servers = []

    def start(zip_path: str, sha256: str | None = None) -> None:
        path = pathlib.Path(zip_path)
        content = path.read_bytes()
        handler = functools.partial(
            http.server.SimpleHTTPRequestHandler,
            directory=path.parent,
        )
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        url = f"http://127.0.0.1:{server.server_port}/{path.name}"
        digest = sha256 or hashlib.sha256(content).hexdigest()
        info = checksums.UrlInfo(len(content), digest, path.name)
        monkeypatch.setattr(tiny_imagenet, "URL", url)
        builder = tiny_imagenet.TinyImagenet
        monkeypatch.setattr(builder, "url_infos", {url: info})

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def test_a_download_is_checked_and_kept(files, tmp_path, serve):
    serve(write_zip(tmp_path / "tiny.zip", files))
    source = load(None, tmp_path / "cache")
    assert source.class_names[0] == "n02123045 tabby"
    assert len(decoded(source)) == 36
    assert source.fingerprint == registry.fingerprint("tiny_imagenet")
    (tmp_path / "tiny.zip").unlink()
    again = load(None, tmp_path / "cache")
    assert again.class_names == source.class_names


def test_tfds_stores_the_jpeg_bytes_as_they_are_and_in_order(
    files, tmp_path, serve
):
    path = write_zip(tmp_path / "tiny.zip", files)
    serve(path)
    builder = tiny_imagenet.prepare("f", str(tmp_path))
    assert isinstance(builder, tfds.core.DatasetBuilder)
    dataset = builder.as_dataset(
        split="train", decoders={"image": tfds.decode.SkipDecoding()}
    )
    stored = [(e["id"].decode(), e["image"]) for e in tfds.as_numpy(dataset)]
    names = [n for w in WNIDS for n in files if n.startswith(f"train/{w}/im")]
    assert stored == [(name, files[name]) for name in names]


def test_a_download_is_the_same_images_as_its_zip(files, tmp_path, serve):
    path = write_zip(tmp_path / "tiny.zip", files)
    serve(path)
    downloaded = list(load(None, tmp_path / "cache").examples())
    assert downloaded == list(load(path, tmp_path).examples())


def test_a_damaged_prepared_dataset_is_an_error(files, tmp_path, serve):
    serve(write_zip(tmp_path / "tiny.zip", files))
    decoded(load(None, tmp_path))
    (record,) = tmp_path.glob("tfds/**/tiny_imagenet-train.tfrecord*")
    content = bytearray(record.read_bytes())
    content[len(content) // 2] ^= 255
    record.write_bytes(content)
    with pytest.raises(UserError, match="delete .*tiny_imagenet/1.0.0"):
        decoded(load(None, tmp_path))


def test_a_download_with_another_checksum_is_refused(files, tmp_path, serve):
    serve(write_zip(tmp_path / "tiny.zip", files), sha256="0" * 64)
    with pytest.raises(UserError, match="download failed") as caught:
        load(None, tmp_path / "cache")
    assert "pass --data_dir=PATH" in str(caught.value)


def test_the_public_zip_is_known_by_its_checksum():
    url = "http://cs231n.stanford.edu/tiny-imagenet-200.zip"
    info = tiny_imagenet.TinyImagenet.url_infos[url]
    assert info.size == 248_100_043
    assert info.checksum.startswith("6198c8ae015e2b3e007c7841da39ec06")


def test_names_and_fingerprint_need_no_tensorflow(files, tmp_path):
    path = write_zip(tmp_path / "tiny.zip", files)
    code = (
        "import sys\n"
        "from smartgrowth.data import registry\n"
        f"registry.fingerprint('tiny_imagenet', {path!r})\n"
        "registry.fingerprint('cifar10')\n"
        f"source = registry.load_source('tiny_imagenet', {path!r}, 'unused')\n"
        "print(source.class_names[0], len(list(source.examples())))\n"
        "heavy = {'tensorflow', 'tensorflow_datasets', 'keras'}\n"
        "print(sorted(heavy & set(sys.modules)))\n"
    )
    out = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert out.stdout.splitlines() == ["n02123045 tabby 36", "[]"]
