"""The processor's name and instruction sets, without a slow import."""

import dataclasses
import pathlib
import platform


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
