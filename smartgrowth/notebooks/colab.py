"""What Colab's machine has and lacks: packages, Drive, the user's images.

Outside Colab a local folder stands for Drive.
"""

import importlib.metadata
import importlib.util
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
# Never replaced: the image's own are built for its accelerator.
KEPT = ("keras", "tensorflow", "tensorflow-cpu", "jax", "jaxlib", "libtpu")


def in_colab() -> bool:
    """Returns whether this notebook runs in Colab."""
    try:
        return importlib.util.find_spec("google.colab") is not None
    except ModuleNotFoundError:  # there is no `google` at all
        return False


# What the machine lacks


def install_missing() -> None:
    """Installs what the package requires and the image has not.

    Raises:
      Stop: pip could not.
    """
    versions = {}
    for installed in importlib.metadata.distributions():
        name = installed.metadata["Name"].lower().replace("_", "-")
        versions.setdefault(name, installed.version)  # the first is imported
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
    """Returns the `requirements` that `versions`, by lower-case name, lack.

    Where there is a TPU, JAX trains and TensorFlow only reads the images: its
    package for CPUs serves, and leaves the libtpu that JAX uses alone.
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
    """Returns the folder MyDrive; outside Colab, a local one of that name."""
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
    """Waits until Drive has everything, and lets go of it."""
    if in_colab():
        from google.colab import drive

        drive.flush_and_unmount()
        say("everything is on Drive")


def run_folder(drive: pathlib.Path, name: str) -> pathlib.Path:
    """Returns where the run of that name lies on Drive.

    Raises:
      Stop: it is no name for a folder.
    """
    if pathlib.PurePath(name).name != name or name in ("", ".."):
        raise Stop(f"RUN_NAME is {name!r}; give a name without slashes")
    return drive / RUNS / name


# Data


def find_data(drive: pathlib.Path, dataset: str, data: str) -> list[str]:
    """Returns flags for a dataset; a zip on Drive comes to the local disk.

    Args:
      drive: the folder MyDrive.
      dataset: as in --dataset, or "folder" for the user's own images.
      data: a zip or a folder, within MyDrive or anywhere; may be empty.

    Raises:
      Stop: it is not there, or not whole.
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
    """A file's copy on the local disk, or the folder that a zip unpacks to."""
    facts = path.stat()
    # Another file of that name gets a folder of its own.
    stamp = zlib.crc32(f"{facts.st_size} {facts.st_mtime_ns}".encode())
    folder = local_folder() / f"{path.stem}-{stamp:08x}"
    if not folder.exists():
        say(f"bringing {path.name} to the local disk")
        try:
            with atomic_path(folder) as partial:
                partial.mkdir()
                if unpacked:
                    with zipfile.ZipFile(path) as archive:
                        archive.extractall(partial)
                else:
                    shutil.copy2(path, partial)
        except (zipfile.BadZipFile, OSError, RuntimeError) as error:
            raise Stop(f"DATA: {path} cannot be read ({error})") from None
    return _inner(folder) if unpacked else folder / path.name


def _inner(folder: pathlib.Path) -> pathlib.Path:
    """Below a folder that a zip was made of: where the classes are."""
    inside = [
        path
        for path in folder.iterdir()
        if not path.name.startswith((".", "__MACOSX"))
    ]
    if len(inside) == 1 and inside[0].is_dir() and inside[0].name != "train":
        return _inner(inside[0])
    return folder
