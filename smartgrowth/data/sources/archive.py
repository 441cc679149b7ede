"""Reads a zip within limits: a few MB of it can unpack to gigabytes."""

import zipfile

# Bytes of a file once unpacked. The largest of Tiny ImageNet, words.txt, has
# 2.6 MB.
MAX_MEMBER = 64 * 2**20
# `zipfile` unpacks other methods without a limit on memory.
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)


def find_problem(info: zipfile.ZipInfo) -> str | None:
    """Returns why a file of a zip will not be read, by its header, or None."""
    if info.flag_bits & 1:
        return f"{info.filename} is encrypted"
    if info.compress_type not in _METHODS:
        return f"{info.filename} is compressed otherwise than by deflate"
    if info.file_size > MAX_MEMBER:
        return f"{info.filename} unpacks to {info.file_size / 2**20:,.0f} MB"
    return None


def read_member(archive: zipfile.ZipFile, name: str) -> bytes:
    """Returns the content of a file in which `find_problem` found none.

    Raises:
      zipfile.BadZipFile: it is damaged, or larger than its header says.
    """
    # Without a number, all of it would be unpacked before it is measured.
    with archive.open(name) as file:
        return file.read(MAX_MEMBER + 1)
