"""The processor and its cores, without a slow import."""

import contextlib
import dataclasses
import os
import pathlib
import platform

# TensorFlow's own variable, heard where it has not been imported yet.
THREADS = "TF_NUM_INTRAOP_THREADS"


@dataclasses.dataclass(frozen=True)
class CPU:
    """name: as its maker calls it. features: instruction sets, as Linux names
    them; none where they are not known.
    """

    name: str
    features: frozenset[str] = frozenset()


def read_cpu(path: str = "/proc/cpuinfo") -> CPU:
    """Returns what Linux says of the processor; elsewhere its name alone."""
    name, features = platform.processor() or platform.machine(), ""
    try:
        for line in pathlib.Path(path).read_text().splitlines():
            key, _, value = line.partition(":")
            if key.strip() == "model name":
                name = value.strip()
            if key.strip() == "flags":
                features = value
                break
    except OSError:
        pass  # not Linux: nothing known, nothing assumed
    return CPU(name, frozenset(features.split()))


def count_cores() -> int:
    """Returns the number of cores that this process may use."""
    with contextlib.suppress(AttributeError):  # only Linux has it
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def count_threads() -> int:
    """Returns the number of threads of one TensorFlow operator on the CPU.

    On which the order of its sums depends, and so the last bits.
    """
    given = os.environ.get(THREADS, "")
    return int(given) if given.isdigit() and int(given) else count_cores()
