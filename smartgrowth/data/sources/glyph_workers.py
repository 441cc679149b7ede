"""Draws glyphs in several processes: for one it is most of the store's time.

A worker reads its list of images from its standard input, and writes their
pixels to its standard output, one after another.
"""

import contextlib
import itertools
import math
import os
import pathlib
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence

import numpy as np

import smartgrowth

FEW = 1000  # images that one process draws sooner than others have started
MOST = 8  # workers; then the one that stores the images is slower
# No module of the folder that the user is in may pass for one of Python's.
COMMAND = (
    *(sys.executable, "-P", "-c"),
    "from smartgrowth.data.sources import glyphs, glyph_workers as workers;"
    "workers.work(glyphs.draw)",
)


def draw_all(
    draw: Callable, size: int, seed: int, images: Sequence[tuple]
) -> Iterator[np.ndarray]:
    """Yields `draw(seed, *image)` for each image, in order.

    Args:
      draw: `glyphs.draw`.
      size: of what it draws, in pixels.
      seed: of all images.
      images: split, class and number of each, words without spaces.
    """
    count = min(os.cpu_count() or 1, MOST)
    if count == 1 or len(images) < FEW:
        for image in images:
            yield draw(seed, *image)
        return
    shape = size, size, 3
    with contextlib.ExitStack() as stack:
        workers = [
            stack.enter_context(_start(seed, images[first::count]))
            for first in range(count)
        ]
        for image, worker in zip(
            images, itertools.cycle(workers), strict=False
        ):
            pixels = worker.stdout.read(math.prod(shape))
            if len(pixels) == math.prod(shape):
                yield np.frombuffer(pixels, np.uint8).reshape(shape)
            else:  # the worker has ended before its time
                yield draw(seed, *image)


@contextlib.contextmanager
def _start(seed: int, images) -> Iterator[subprocess.Popen]:
    """Yields a worker that draws these images; ends it at the exit."""
    root = str(pathlib.Path(smartgrowth.__file__).parents[1])
    path = os.pathsep.join(filter(None, (root, os.environ.get("PYTHONPATH"))))
    with tempfile.TemporaryFile("w+") as listed:
        listed.write(f"{seed}\n")
        listed.writelines(" ".join(map(str, image)) + "\n" for image in images)
        listed.seek(0)
        worker = subprocess.Popen(
            COMMAND,
            stdin=listed,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=os.environ | {"PYTHONPATH": path},
        )
    try:
        yield worker
    finally:
        worker.kill()
        worker.stdout.close()
        worker.wait()


def work(draw: Callable) -> None:
    """Draws what standard input lists; for the processes of `draw_all`."""
    seed = int(sys.stdin.readline())
    with contextlib.suppress(BrokenPipeError, KeyboardInterrupt):
        for line in sys.stdin:
            split, name, index = line.split()
            image = draw(seed, split, name, int(index))
            sys.stdout.buffer.write(image.tobytes())
        sys.stdout.buffer.flush()
