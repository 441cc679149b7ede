"""Prepares Colab's machine: packages, Drive, the user's images.

Outside Colab a local folder replaces Drive.
"""

import importlib.metadata
import importlib.util
import lzma
import os
import pathlib
import re
import shutil
import sys
import zipfile
import zlib
from collections.abc import Iterable, Mapping

from smartgrowth.notebooks.cells import Stop, local_folder, stream
from smartgrowth.runtime.atomic import atomic_path
from smartgrowth.runtime.reporter import say

RUNS = "smartgrowth"  # on Drive: everything that a run writes
# Never replaced: Colab's versions are built for its accelerator.
KEPT = ("keras", "tensorflow", "tensorflow-cpu", "jax", "jaxlib", "libtpu")


def in_colab() -> bool:
    """Returns whether this notebook runs in Colab."""
    try:
        return importlib.util.find_spec("google.colab") is not None
    except ModuleNotFoundError:  # no package `google`
        return False


# What the machine lacks


def install_missing() -> None:
    """Installs the package's requirements that the machine lacks.

    Raises:
      Stop: pip failed.
    """
    versions = {}
    for installed in importlib.metadata.distributions():
        name = installed.metadata["Name"].lower().replace("_", "-")
        versions.setdefault(name, installed.version)  # first: imported
    wanted = missing(importlib.metadata.requires("smartgrowth"), versions)
    if not wanted:
        say("everything that smartgrowth requires is there")
        return
    replaced = {re.match(r"[\w-]+", line)[0] for line in wanted}
    folder = local_folder()
    (folder / "kept.txt").write_text(
        "".join(
            f"{name}=={versions[name]}\n"
            for name in KEPT
            if name in versions and name not in replaced
        )
    )
    say(f"installing {', '.join(wanted)}")
    pip = [sys.executable, "-m", "pip", "install", "--quiet", *wanted]
    stream([*pip, f"--constraint={folder / 'kept.txt'}"], "pip", os.environ)


def missing(
    requirements: Iterable[str], versions: Mapping[str, str]
) -> list[str]:
    """Returns the requirements that are not installed.

    On a TPU, JAX trains and TensorFlow only reads images: its CPU package is
    enough, and does not change the libtpu that JAX uses.

    Args:
      requirements: of the package.
      versions: lower-case name -> installed version.
    """
    from packaging.requirements import Requirement  # pip and Keras bring it

    lacking = []
    for_cpu = "libtpu" in versions or "tensorflow-cpu" in versions
    for line in requirements:
        wanted = Requirement(line)
        name = wanted.name.lower().replace("_", "-")
        if wanted.marker and not wanted.marker.evaluate({"extra": ""}):
            continue
        if name == "tensorflow" and name not in versions and for_cpu:
            name = "tensorflow-cpu"
        if name not in versions or versions[name] not in wanted.specifier:
            lacking.append(f"{name}{wanted.specifier}")
    return lacking


# Drive


def mount_drive() -> pathlib.Path:
    """Returns the folder MyDrive; outside Colab, a local folder."""
    root = pathlib.Path("drive").absolute()
    if in_colab():
        from google.colab import drive

        drive.mount(str(root))
    folder = root / "MyDrive"
    if not in_colab():
        folder.mkdir(parents=True, exist_ok=True)
        say(f"this is not Colab: what Drive would hold is in {folder}")
    return folder


def unmount_drive() -> None:
    """Waits until all files are on Drive, and unmounts it."""
    if in_colab():
        from google.colab import drive

        drive.flush_and_unmount()
        say("everything is on Drive")


def run_folder(drive: pathlib.Path, name: str) -> pathlib.Path:
    """Returns the folder on Drive of the run with this name.

    Raises:
      Stop: it cannot be a folder's name.
    """
    if pathlib.PurePath(name).name != name or name in ("", ".."):
        raise Stop(f"RUN_NAME is {name!r}; give a name without slashes")
    return drive / RUNS / name


# Data

# What a damaged, encrypted or unusually compressed zip raises.
_UNREADABLE = (zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError) + (
    (OSError, RuntimeError)
)


def find_data(drive: pathlib.Path, dataset: str, data: str) -> list[str]:
    """Returns flags for a dataset; copies a zip on Drive to the local disk.

    Args:
      drive: the folder MyDrive.
      dataset: as in --dataset, or "folder" for the user's own images.
      data: a zip or a folder, within MyDrive or anywhere; may be empty.

    Raises:
      Stop: it is missing or damaged.
    """
    data = data.strip()
    own = dataset == "folder"
    if not data:
        if own:
            raise Stop(
                "DATA is empty; name a zip or a folder of your images on "
                "Drive, with a folder per class in it"
            )
        return [f"--dataset={dataset}"]
    path = drive / data.removeprefix("MyDrive/")
    if not path.exists():
        raise Stop(f"DATA is {data!r}, but there is no {path}; see its name")
    if path.is_file():
        path = _bring(path, unpacked=own)
    if own:
        return [f"--dataset=folder:{path}"]
    return [f"--dataset={dataset}", f"--data_dir={path}"]


def _bring(path: pathlib.Path, unpacked: bool) -> pathlib.Path:
    """Copies a file to the local disk, or unpacks a zip there."""
    facts = path.stat()
    # Another file of the same name gets another folder.
    stamp = zlib.crc32(f"{facts.st_size} {facts.st_mtime_ns}".encode())
    folder = local_folder() / f"{path.stem}-{stamp:08x}"
    if not folder.exists():
        say(f"bringing {path.name} to the local disk")
        try:
            with atomic_path(folder) as partial:
                partial.mkdir()
                if unpacked:
                    with zipfile.ZipFile(path) as archive:
                        _check_room(archive, partial)
                        archive.extractall(partial)
                else:
                    shutil.copy2(path, partial)
        except _UNREADABLE as error:
            raise Stop(f"DATA: {path} cannot be read ({error})") from None
    return _inner(folder) if unpacked else folder / path.name


def _check_room(archive: zipfile.ZipFile, folder: pathlib.Path) -> None:
    """Raises `OSError` before a zip would fill the disk."""
    size = sum(info.file_size for info in archive.infolist())
    free = shutil.disk_usage(folder).free
    if size > free:
        raise OSError(
            f"it unpacks to {size / 1e9:,.1f} GB, and {free / 1e9:,.1f} GB "
            "are free"
        )


def _inner(folder: pathlib.Path) -> pathlib.Path:
    """Returns the folder of the classes, below the zip's single top folder."""
    inside = [
        path
        for path in folder.iterdir()
        if not path.name.startswith((".", "__MACOSX"))
    ]
    if len(inside) == 1 and inside[0].is_dir() and inside[0].name != "train":
        return _inner(inside[0])
    return folder
