"""Which inputs a convolution's outputs read: arithmetic."""

import dataclasses
import math
from collections.abc import Iterator

import numpy as np

# A kernel of 3 that slides over a map of 2 reads all of it everywhere. It is a
# convolution yet: every network for small images ends so.
SMALLEST_KERNEL = 3


def reads(
    size: int,
    outputs: int,
    kernel: int,
    stride: int = 1,
    dilation: int = 1,
    padding: str = "valid",
) -> list[set[int]]:
    """Returns for every output the inputs that it reads, padding left out.

    Args:
      size, outputs: how many inputs and outputs there are.
      kernel: its weights along the axis, `dilation` inputs apart.
      padding: "valid", "same" or "causal".
    """
    extent = (kernel - 1) * dilation + 1
    before = {
        "valid": 0,
        "same": max((outputs - 1) * stride + extent - size, 0) // 2,
        "causal": extent - 1,
    }[padding]
    inputs = range(size)
    return [
        {
            position
            for tap in range(kernel)
            if (position := output * stride - before + tap * dilation) in inputs
        }
        for output in range(outputs)
    ]


def transposed_reads(size: int, outputs: int, *kernel) -> list[set[int]]:
    """The same of a transposed convolution, the gradient of a plain one.

    What the plain one reads for its output i, the transposed one writes from
    its input i.
    """
    written = reads(outputs, size, *kernel)
    return [
        {position for position in range(size) if output in written[position]}
        for output in range(outputs)
    ]


@dataclasses.dataclass(frozen=True)
class Kernel:
    """What a convolution's kernel meets.

    sizes: of its map. sides: of the kernel. channels: that it reads. reads: for
    each axis, for each output, the inputs that it reads.
    """

    sizes: tuple[int, ...]
    sides: tuple[int, ...]
    channels: int
    reads: list[list[set[int]]]

    @property
    def meets_one(self) -> bool:
        """Whether every output reads one position at most."""
        return all(len(read) <= 1 for axis in self.reads for read in axis)

    def is_dense(self, origin) -> bool:
        """Whether every output reads its whole map.

        origin: for each value of the map the position that it comes from, int,
          if they were rearranged.
        """
        if origin is not None:
            # Rearranged: does the output in the middle read all positions?
            window = [sorted(axis[len(axis) // 2]) for axis in self.reads]
            read = np.unique(origin[np.ix_(*window, range(self.channels))])
            return 1 < len(read) == len(np.unique(origin))
        if math.prod(self.sizes) * self.channels == 1:
            return False  # a factor
        slides = any(
            side <= SMALLEST_KERNEL and size > 1 and len(axis) > 1
            for side, size, axis in zip(
                self.sides, self.sizes, self.reads, strict=True
            )
        )
        return not slides and all(
            len(read) == size
            for size, axis in zip(self.sizes, self.reads, strict=True)
            for read in axis
        )


def kernels(layer, entering, leaving) -> Iterator[Kernel]:
    """Returns a layer's kernel, or the two of a separable convolution.

    entering, leaving: shapes (batch, ..., channels).
    """
    sizes, outputs, channels = entering[1:-1], leaving[1:-1], entering[-1]
    transposed = "Transpose" in type(layer).__name__
    find_reads = transposed_reads if transposed else reads
    along = [
        find_reads(*axis, layer.padding)
        for axis in zip(
            sizes,
            outputs,
            layer.kernel_size,
            layer.strides,
            layer.dilation_rate,
            strict=True,
        )
    ]
    by_channel = hasattr(layer, "depth_multiplier")
    groups = channels if by_channel else getattr(layer, "groups", 1)
    yield Kernel(sizes, layer.kernel_size, channels // groups, along)
    if hasattr(layer, "pointwise_kernel"):
        pointwise = [reads(size, size, 1) for size in outputs]
        made = channels * layer.depth_multiplier
        yield Kernel(outputs, (1,) * len(outputs), made, pointwise)
