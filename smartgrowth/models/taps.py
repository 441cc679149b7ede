"""Which inputs a convolution's outputs read along one axis: arithmetic."""


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
