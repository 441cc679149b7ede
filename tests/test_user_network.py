"""Networks of the user's own: checked, priced, trained, kept and compared."""

import dataclasses
import math
import pathlib
import shutil
import subprocess
import sys

import keras
import numpy as np
import pytest
import user_networks

from smartgrowth import UserError
from smartgrowth.comparison.arms import Trial
from smartgrowth.comparison.comparable import check_same_task
from smartgrowth.evaluation import evaluate_run, saved_model
from smartgrowth.experiment import make_experiment
from smartgrowth.flags.model import is_users
from smartgrowth.models import user_network
from smartgrowth.models.network import MODELS, Network
from smartgrowth.models.user_network import UserNetwork
from smartgrowth.planning import make_network
from smartgrowth.runs.identity import identify, name_flags
from smartgrowth.runtime.multiplications import count_multiplications
from smartgrowth.training import train

FILE = pathlib.Path(user_networks.__file__)
CLASSES = 4
# It has no such parameters, so these flags stay at their defaults.
SUBCLASS = {"width": 32, "depth": 2}


def network(function: str, **options) -> UserNetwork:
    return UserNetwork(f"{FILE}:{function}", CLASSES, **options)


def fails(function: str, size: int = 32) -> str:
    with pytest.raises(UserError) as error:
        network(function).check_size(size)
    (line,) = str(error.value).splitlines()
    return line


# What does not fit


@pytest.mark.parametrize(
    ("function", "part"),
    [
        ("softmax", "it ends with softmax; return logits"),
        ("softmax_layer", "it ends with softmax; return logits"),
        ("softmax_op", "it ends with softmax; return logits"),
        ("sigmoid", "it ends with sigmoid; return logits"),
        ("few", "it makes (None, 3) of (None, None, None, 3); it must make"),
        ("fixed", "it makes (None, 4) of (None, 32, 32, 3); it must make"),
        ("code", "is a Lambda, which no file keeps whole"),
        ("unnamed", "a file of it could not be opened again; give layers"),
        ("untrained", "it makes (None, 3) of"),
        ("nothing", "it returned NoneType; return a keras.Model"),
        ("broken", "RuntimeError: no luck"),
        ("constant", "has no function constant; it has mobile,"),
        ("patches", "leaves out 2 of 32 rows; use 32 or 35"),
    ],
)
def test_what_does_not_fit_is_one_line(function, part):
    size = 34 if function == "patches" else 32
    line = fails(function, size)
    assert part in line
    assert f"{FILE}:{function}" in line


def test_an_error_in_the_users_code_names_its_line():
    place = (
        FILE.read_text()
        .splitlines()
        .index('    raise RuntimeError("no\\nluck")')
    )
    assert f"line {place + 1}: RuntimeError" in fails("broken")


@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("there_is_none.py:make", "there is no file"),
        ("no_such_package.module:make", "ModuleNotFoundError: No module"),
        ("json:loads", "it returned"),
    ],
)
def test_what_is_not_there_is_one_line(name, part):
    with pytest.raises(UserError) as error:
        _ = UserNetwork(name, CLASSES).model
    message = str(error.value)
    assert part in message or "TypeError" in message
    assert "\n" not in message


def test_a_file_that_does_not_run_is_named_with_its_line(tmp_path):
    path = tmp_path / "keras.py"  # which must not pass for Keras itself
    path.write_text("import keras\n\nkeras.layers.NoSuchLayer\n")
    with pytest.raises(UserError, match="line 3: AttributeError"):
        user_network.find_function(f"{path}:make")


@pytest.mark.parametrize("function", ["padded", "padded_by_an_operation"])
def test_padding_of_zeros_may_be_left_out(function):
    network(function).check_size(32)


def test_flags_that_the_function_does_not_take_are_refused():
    with pytest.raises(UserError, match="--width=16: the function of"):
        _ = network("application", width=16).model
    wide = network("mobile", width=16, depth=1)
    plain, deep = (
        network("mobile", width=8, depth=1),
        network("mobile", width=8),
    )
    assert wide.count_parameters() > plain.count_parameters()
    assert len(deep.model.layers) > len(plain.model.layers)


def test_settings_that_need_the_programs_own_networks_are_refused(tiny_config):
    with pytest.raises(UserError, match="--whiten with --model="):
        tiny_config(model=f"{FILE}:mobile", whiten=True)
    with pytest.raises(UserError, match="synchronized=True"):
        network("mobile").build(synchronized=True)


def test_rules_are_enforced_when_the_plan_is_made(tiny_config, tiny_data):
    config = tiny_config(model=f"{FILE}:mobile", enforce_rules=True)
    with pytest.raises(UserError, match="no dropout"):
        make_experiment(config, tiny_data)


# What it costs


@pytest.mark.core
@pytest.mark.parametrize("name", MODELS)
def test_a_built_network_costs_what_its_shapes_say(name):
    ours = Network(name, CLASSES, width=8, depth=2)
    size = max(4 * ours.stride, 32)
    model = ours.build([128] * 3, [5000] * 3, stock=True)
    assert 2 * count_multiplications(model, size) == ours.flops_per_image(size)


@pytest.mark.core
def test_layers_of_every_kind_are_counted():
    size, channels = 8, 3
    images = keras.Input((None, None, channels))
    positions = size * size
    layers = keras.layers
    cases = [
        (layers.Conv2D(8, 3, 2, padding="same"), positions // 4 * 9 * 3 * 8),
        (layers.Conv2D(8, 3), 6 * 6 * 9 * 3 * 8),
        (layers.Conv2D(6, 3, padding="same", groups=3), positions * 9 * 6),
        (
            layers.Conv2DTranspose(5, 3, 2, padding="same"),
            positions * 9 * 3 * 5,
        ),
        (layers.DepthwiseConv2D(3, padding="same"), positions * 9 * 3),
        (
            layers.SeparableConv2D(7, 3, padding="same"),
            positions * (9 * 3 + 3 * 7),
        ),
        (layers.Dense(5), positions * 3 * 5),
        (layers.EinsumDense("bhwc,cd->bhwd", (None, None, 4)), positions * 12),
        (layers.BatchNormalization(), 0),
    ]
    for layer, expected in cases:
        model = keras.Model(images, layer(images))
        assert count_multiplications(model, size) == expected, layer.name
    rows = keras.ops.reshape(images, (-1, positions, channels))
    attention = layers.MultiHeadAttention(2, 4)(rows, rows)
    # Queries, keys and values; scores and their sums; the output.
    expected = positions * (3 * 3 * 8 + 2 * positions * 8 + 8 * 3)
    model = keras.Model(images, attention)
    assert count_multiplications(model, size) == expected


COSTLY = ("conv_general_dilated", "dot_general")


def cost_by_xla(function, *arguments) -> float:
    """FLOPs of convolutions and matrix products, by XLA's cost analysis."""
    import jax

    known = {}  # many are alike

    def cost_of(equation):
        def alone(*values):
            return equation.primitive.bind(*values, **equation.params)

        shapes = [
            jax.ShapeDtypeStruct(each.aval.shape, each.aval.dtype)
            for each in equation.invars
        ]
        key = f"{equation.primitive} {equation.params} {shapes}"
        if key not in known:
            lowered = jax.jit(alone).lower(*shapes)
            known[key] = lowered.cost_analysis()["flops"]
        return known[key]

    def add(jaxpr):
        total = 0.0
        for equation in jaxpr.eqns:
            if equation.primitive.name in COSTLY:
                total += cost_of(equation)
            for value in equation.params.values():
                if hasattr(value, "jaxpr"):
                    total += add(value.jaxpr)
                elif hasattr(value, "eqns"):
                    total += add(value)
        return total

    return add(jax.make_jaxpr(function)(*arguments).jaxpr)


def pad_first(monkeypatch):
    """Has zeros multiplied, which XLA's analysis would leave out."""
    import jax
    import jax.numpy as jnp

    convolve = jax.lax.conv_general_dilated

    def padded(images, kernel, strides, padding, **options):
        numbers = jax.lax.conv_dimension_numbers(
            images.shape, kernel.shape, options["dimension_numbers"]
        )
        axes = numbers.lhs_spec[2:]
        pads = jax.lax.padtype_to_pads(
            [images.shape[axis] for axis in axes],
            [kernel.shape[axis] for axis in numbers.rhs_spec[2:]],
            strides,
            padding,
        )
        widths = [(0, 0, 0)] * images.ndim
        for axis, ends in zip(axes, pads, strict=True):
            widths[axis] = (*ends, 0)
        zero = jnp.zeros((), images.dtype)
        images = jax.lax.pad(images, zero, widths)
        return convolve(images, kernel, strides, "VALID", **options)

    monkeypatch.setattr(jax.lax, "conv_general_dilated", padded)


@pytest.mark.core
@pytest.mark.skipif(
    keras.backend.backend() != "jax", reason="XLA's analysis of JAX's programs"
)
@pytest.mark.parametrize("function", ["mobile", "application"])
def test_costs_are_those_of_xlas_analysis(function, monkeypatch):
    """Forward; and of training, with the gradient of the image itself."""
    import jax

    pad_first(monkeypatch)
    size, user = 32, network(function)
    model = user.model
    fixed = [each.value for each in model.non_trainable_variables]
    weights = [each.value for each in model.trainable_variables]

    def forward(weights, images):
        logits, _ = model.stateless_call(weights, fixed, images, training=True)
        return logits.sum()

    images = np.zeros((1, size, size, 3), np.float32)
    expected = cost_by_xla(forward, weights, images)
    assert user.flops_per_image(size) == pytest.approx(expected, rel=0.001)
    step = jax.grad(forward, (0, 1))
    expected = cost_by_xla(step, weights, images)
    assert user.training_flops(size) == pytest.approx(expected, rel=0.001)


def test_frozen_layers_cost_no_backward_pass():
    user = network("application")
    assert user.group_names == ("body", "head")
    size = 32
    head = user.flops_per_image(size) - user.frozen_flops(size, "head")
    (dense,) = (x for x in user.model.layers if x.name.startswith("dense"))
    assert head == 2 * math.prod(dense.kernel.shape)
    assert user.training_flops(size, "head") == (
        user.flops_per_image(size) + head
    )
    assert user.training_flops(size) == 3 * user.flops_per_image(size)


def test_the_example_of_the_readme_is_a_network(tmp_path):
    text = (FILE.parents[1] / "README.md").read_text()
    code = text.split("## Your own network")[1].split("```")[1]
    path = tmp_path / "net.py"
    path.write_text(f"import keras\n{code.removeprefix('python')}")
    example = UserNetwork(f"{path}:mobilenet", CLASSES)
    example.check_size(32)
    assert example.fingerprint == network("application").fingerprint


# What it is


def test_its_identity_is_its_layers_not_its_file(
    tiny_config, tiny_data, tmp_path
):
    moved = tmp_path / "elsewhere.py"
    shutil.copy(FILE, moved)
    here, there = (
        identify(tiny_config(model=f"{path}:mobile", width=8), tiny_data)
        for path in (FILE, moved)
    )
    assert here == there
    assert here["model"] == "mobile()"
    moved.write_text(FILE.read_text().replace("Dropout(0.1)", "Dropout(0.2)"))
    changed = tiny_config(model=f"{moved}:mobile", width=8)
    assert identify(changed, tiny_data) != here
    assert str(tmp_path) not in str(name_flags(changed))


def test_names_that_count_on_through_a_process_count_for_nothing():
    """An operation is called relu at first, as a function is always."""
    keras.backend.clear_session()
    first, second = (network("named").fingerprint for _ in range(2))
    assert first == second


def test_the_same_network_is_built_once_a_process(tiny_config):
    config = tiny_config(model=f"{FILE}:mobile")
    assert make_network(config, 4) is make_network(config, 4)
    assert make_network(config, 4) is not make_network(config, 5)


def test_layers_that_the_user_froze_stay_frozen():
    from smartgrowth.models import freezing

    model = network("frozen").build()
    count = len(model.trainable_variables)
    freezing.train_from(model, "head")
    freezing.train_from(model, "all")
    assert len(model.trainable_variables) == count


# A run of it


@pytest.fixture
def user_config(tiny_config, tiny_dataset):
    def make(**overrides):
        settings = {
            "model": f"{FILE}:mobile",
            "cache_dir": tiny_dataset,
            "augment": ("basic",),
        }
        return tiny_config(**settings | overrides)

    return make


def weights_of(directory: pathlib.Path) -> list:
    model = saved_model.load_model(directory, CLASSES)
    # Without the seeds of dropout, which no .keras file has.
    return [np.array(each) for each in model.weights]


@pytest.mark.core
def test_a_stopped_run_ends_like_one_that_was_not(
    user_config, tiny_data, stop_after, tmp_path
):
    """Dropout and moving statistics of the user's layers included."""
    whole, cut = (
        user_config(
            workdir=str(tmp_path / name),
            deterministic=True,
            checkpoint_minutes=1e-9,
        )
        for name in ("whole", "cut")
    )
    train.train(make_experiment(whole, tiny_data))
    stop_after(6)
    with pytest.raises(KeyboardInterrupt):
        train.train(make_experiment(cut, tiny_data))
    stop_after(None)
    train.train(make_experiment(cut, tiny_data))
    ours, theirs = weights_of(tmp_path / "whole"), weights_of(tmp_path / "cut")
    assert len(ours) > 20
    for one, other in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(one, other)


def test_another_network_under_the_same_name_does_not_go_on(
    user_config, tiny_data, stop_after, tmp_path
):
    path = tmp_path / "net.py"
    shutil.copy(FILE, path)
    config = user_config(**SUBCLASS, model=f"{path}:subclass")
    stop_after(4)
    with pytest.raises(KeyboardInterrupt):
        train.train(make_experiment(config, tiny_data))
    stop_after(None)
    path.write_text(
        FILE.read_text().replace("Conv2D(8, 3, str", "Conv2D(9, 3, str")
    )
    with pytest.raises(UserError, match=r"inputs\.model: \w+ -> \w+"):
        train.train(make_experiment(config, tiny_data))


def test_a_finished_run_is_evaluated_without_the_file(
    user_config, tiny_data, tmp_path, capsys
):
    path = tmp_path / "net.py"
    shutil.copy(FILE, path)
    config = user_config(model=f"{path}:mobile", stage_steps=(1, 1))
    directory = train.train(make_experiment(config, tiny_data))
    path.unlink()
    summary = evaluate_run.evaluate_run(
        dataclasses.replace(config, mode="evaluate", model="resnet")
    )
    assert summary["variants"]["plain"]["cost"] == 1
    assert (directory / "evaluation.json").exists()


def test_layers_of_the_users_own_are_found_in_another_process(
    user_config, tiny_data
):
    config = user_config(
        **SUBCLASS, model=f"{FILE}:subclass", stage_steps=(1, 1)
    )
    directory = train.train(make_experiment(config, tiny_data))
    code = (
        "import pathlib, sys\n"
        "from smartgrowth.evaluation.saved_model import load_model\n"
        "model = load_model(pathlib.Path(sys.argv[1]), 4)\n"
        "print(model.layers[1].__class__.__name__)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(directory)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "Subclass"


def test_a_run_starts_from_another_of_its_network(
    user_config, tiny_data, tmp_path, capsys
):
    first = user_config(
        grow_size=(16,), stage_steps=(1,), workdir=str(tmp_path / "first")
    )
    train.train(make_experiment(first, tiny_data))
    second = dataclasses.replace(
        first,
        workdir=str(tmp_path / "second"),
        init_from=first.workdir,
        grow_trainable=("head",),
    )
    directory = train.train(make_experiment(second, tiny_data))
    assert "all classes keep their weights" in capsys.readouterr().out
    before = weights_of(pathlib.Path(first.workdir))
    after = weights_of(directory)
    moved = [
        not np.array_equal(one, other)
        for one, other in zip(before, after, strict=True)
    ]
    assert sum(moved) == 2, "kernel and bias of the head"


# Beside others


def trial(arm, model, trained_here=True, layers=None) -> Trial:
    identity = {"model": model, "num_classes": 4, "inputs": {"model": layers}}
    config = object() if trained_here else None
    return Trial(arm, 0, 1.0, pathlib.Path(arm), {"identity": identity}, config)


def test_arms_may_be_of_other_networks_if_their_flagfiles_say_so():
    trials = [trial("plain", "resnet"), trial("mine", "mobile()")]
    check_same_task(trials)
    trials[1] = trial("mine", "mobile()", trained_here=False)
    with pytest.raises(UserError, match=r"model resnet against mobile\(\)"):
        check_same_task(trials)


def test_finished_runs_of_functions_of_one_name_need_the_same_layers():
    trials = [
        trial(arm, "mobile()", False, layers)
        for arm, layers in (("one", "abc"), ("other", "def"))
    ]
    with pytest.raises(UserError, match="layers of the network abc against"):
        check_same_task(trials)


def test_what_names_a_function():
    assert is_users("net.py:make") and is_users("package.module:make")
    assert not any(map(is_users, MODELS))
