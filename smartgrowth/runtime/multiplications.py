"""How many multiplications a model makes, read off what its backend traces.

Whatever its layers are: the user's own are counted like those of Keras.
"""

import math
from collections.abc import Iterator

import keras

# TensorFlow's operations, and what says that their first matrix is transposed.
MATRIX_PRODUCTS = {
    "MatMul": "transpose_a",
    "BatchMatMul": "adj_x",
    "BatchMatMulV2": "adj_x",
    "BatchMatMulV3": "adj_x",
}
CONVOLUTIONS = ("Conv2D", "Conv3D", "DepthwiseConv2dNative")
# They multiply at every position of what they get, their third input.
TRANSPOSED = ("Conv2DBackpropInput", "Conv3DBackpropInputV2")


def count_multiplications(model: keras.Model, size: int) -> int:
    """Returns the multiplications of convolutions and matrix products.

    Of one image at inference; what a padding is multiplied with counts too.

    Args:
      model: of one input, (batch, height, width, channels).
      size: pixels of a side.
    """
    shape = (1, size, size, model.inputs[0].shape[-1])
    if keras.backend.backend() == "jax":
        return _count_with_jax(model, shape)
    return _count_with_tensorflow(model, shape)


def _count_with_jax(model, shape) -> int:
    import jax

    def call(image):
        outputs, _ = model.stateless_call(
            [each.value for each in model.trainable_variables],
            [each.value for each in model.non_trainable_variables],
            image,
            training=False,
        )
        return outputs

    image = jax.ShapeDtypeStruct(shape, "float32")
    return _in_jaxpr(jax.make_jaxpr(call)(image).jaxpr)


def _in_jaxpr(jaxpr) -> int:
    total = 0
    for equation in jaxpr.eqns:
        name, parameters = equation.primitive.name, equation.params
        shapes = [each.aval.shape for each in equation.invars]
        result = equation.outvars[0].aval.shape
        if name == "dot_general":
            (contracted, _), _ = parameters["dimension_numbers"]
            total += math.prod(result) * math.prod(
                shapes[0][axis] for axis in contracted
            )
        elif name == "conv_general_dilated":
            numbers = parameters["dimension_numbers"]
            shape, channels = result, numbers.out_spec[1]
            if math.prod(parameters["lhs_dilation"]) > 1:  # transposed
                shape, channels = shapes[0], numbers.lhs_spec[1]
            positions = math.prod(shape) // shape[channels]
            total += positions * math.prod(shapes[1])
        for inner in _inner_jaxprs(parameters.values()):
            total += _in_jaxpr(inner)
    return total


def _inner_jaxprs(values) -> Iterator:
    """Yields the functions that an equation calls, such as a jit's."""
    for value in values:
        if isinstance(value, tuple | list):
            yield from _inner_jaxprs(value)
        elif hasattr(value, "eqns"):
            yield value
        elif hasattr(value, "jaxpr"):
            yield value.jaxpr


def _count_with_tensorflow(model, shape) -> int:
    import tensorflow as tf

    call = tf.function(lambda image: model(image, training=False))
    image = tf.TensorSpec(shape, tf.float32)
    return _in_graph(call.get_concrete_function(image).graph)


def _in_graph(graph) -> int:
    total = 0
    for operation in graph.get_operations():
        kind = operation.type
        shapes = [tuple(each.shape) for each in operation.inputs]
        if kind in MATRIX_PRODUCTS:
            transposed = operation.get_attr(MATRIX_PRODUCTS[kind])
            summed = shapes[0][-2 if transposed else -1]
            total += math.prod(operation.outputs[0].shape) * summed
        elif kind in CONVOLUTIONS:
            result = tuple(operation.outputs[0].shape)
            total += _positions(operation, result) * math.prod(shapes[1])
        elif kind in TRANSPOSED:
            total += _positions(operation, shapes[2]) * math.prod(shapes[1])
        elif kind == "Einsum":
            total += _einsum(operation.get_attr("equation").decode(), shapes)
        elif kind.endswith("PartitionedCall"):
            name = operation.get_attr("f").name
            total += _in_graph(graph._get_function(name).graph)
    return total


def _positions(convolution, shape) -> int:
    """Returns the positions of a map (batch, ..., channels), or (b, c, ...)."""
    channels_first = convolution.get_attr("data_format").startswith(b"NC")
    channels = shape[1] if channels_first else shape[-1]
    return math.prod(shape) // channels


def _einsum(equation: str, shapes) -> int:
    """Returns the multiplications of an einsum: one a choice of all indices."""
    terms = equation.partition("->")[0].split(",")
    sizes = {}
    for term, shape in zip(terms, shapes, strict=True):
        before, dots, after = term.partition("...")
        ends = shape[len(shape) - len(after) :]
        sizes |= dict(zip(before, shape, strict=False))
        sizes |= dict(zip(after, ends, strict=True))
        if dots:
            sizes["..."] = max(
                sizes.get("...", 1),
                math.prod(shape[len(before) : len(shape) - len(after)]),
            )
    return math.prod(sizes.values()) if len(terms) > 1 else 0
