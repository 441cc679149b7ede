"""Calls a function for many items in threads, and yields results in order.

For what waits for a disk, or computes without Python's lock, as Pillow and
NumPy do.
"""

import collections
import concurrent.futures
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def map_in_order(
    function: Callable[[Item], Result],
    items: Iterable[Item],
    chunk: float,
    weigh: Callable[[Item], float] = lambda item: 1,
    workers: int = 2,
) -> Iterator[Result]:
    """Yields `function(item)` for each item, in order.

    At most `workers + 1` chunks are in progress or waiting to be consumed, so
    memory does not grow with the number of items.

    Args:
      function: called in threads.
      items: taken as they are needed, by the thread that consumes the results.
      chunk: weight of a task, reached or just exceeded.
      weigh: returns the weight of an item.
      workers: the number of threads.
    """
    with concurrent.futures.ThreadPoolExecutor(workers) as pool:
        waiting = collections.deque()
        for part in _chunks(items, chunk, weigh):
            waiting.append(pool.submit(_call_for_all, function, part))
            if len(waiting) > workers:
                yield from waiting.popleft().result()
        while waiting:
            yield from waiting.popleft().result()


def _call_for_all(function, items: list) -> list:
    return [function(item) for item in items]


def _chunks(items: Iterable, most: float, weigh: Callable) -> Iterator[list]:
    part, weight = [], 0
    for item in items:
        part.append(item)
        weight += weigh(item)
        if weight >= most:
            yield part
            part, weight = [], 0
    if part:
        yield part
