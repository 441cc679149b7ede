"""A built network's layer groups: which of them train, and where they begin."""

from collections.abc import Sequence

import keras

from smartgrowth.models.groups import trained_groups


def group_names(model: keras.Model) -> tuple[str, ...]:
    """Returns the names of a model's layer groups, in their order.

    They are the `group` of its layers; a layer without one is never frozen.
    """
    names = map(_group_of, model.layers)
    return tuple(dict.fromkeys(name for name in names if name))


def layers_of(
    model: keras.Model, groups: Sequence[str]
) -> list[keras.layers.Layer]:
    """Returns the layers of some layer groups, in the model's order."""
    return [layer for layer in model.layers if _group_of(layer) in groups]


def train_from(model: keras.Model, first: str) -> tuple[str, ...]:
    """Freezes the layers before a group, and has all behind it trained.

    A frozen batch norm keeps its statistics, and normalizes by them. Returns
    the names of the trained groups. To be called before the step is compiled.

    first: a group's name, or "all".
    """
    trained = trained_groups(group_names(model), first)
    # What is fixed for good, such as whitening filters, has no group.
    for layer in layers_of(model, group_names(model)):
        layer.trainable = layer.group in trained
    return trained


def variable_groups(
    model: keras.Model, variables: Sequence[keras.Variable]
) -> list[int]:
    """Returns the place of each variable's layer group among the model's."""
    names = group_names(model)
    places = {
        id(variable): names.index(layer.group)
        for layer in layers_of(model, names)
        for variable in layer.variables
    }
    return [places.get(id(variable), 0) for variable in variables]


def variables_of(
    model: keras.Model, groups: Sequence[str]
) -> list[keras.Variable]:
    """Returns the variables of layer groups that gradients change."""
    return [
        variable
        for layer in layers_of(model, groups)
        for variable in layer.trainable_variables
    ]


def input_of(model: keras.Model, group: str) -> keras.KerasTensor:
    """Returns the tensor that a layer group gets."""
    layer, *_ = layers_of(model, (group,))
    return keras.tree.flatten(layer.input)[0]


def _group_of(layer: keras.layers.Layer) -> str | None:
    return getattr(layer, "group", None)
