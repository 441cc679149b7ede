"""A network that the user wrote: `--model=PATH.py:FUNCTION`.

The function gets the number of classes, and `width`, `depth` and `dropout` if
it has such parameters; it returns an uncompiled `keras.Model` of raw RGB images
in 0..255, of any size, that makes logits. What does not fit is refused when the
plan is made. Keras is imported once there is a function to call.
"""

import functools
import importlib
import importlib.util
import inspect
import math
import pathlib
import sys
import traceback
from collections.abc import Callable

from smartgrowth import UserError
from smartgrowth.models.flops import Cost
from smartgrowth.models.groups import BODY, HEAD
from smartgrowth.models.network import Network
from smartgrowth.runtime import backend

OPTIONS = ("width", "depth", "dropout")
# Functions that a Python session gave, by the name that stands for them.
FUNCTIONS: dict[str, Callable] = {}


class UserNetwork(Network):
    """A network of the user's; the interface is that of `Network`."""

    def __post_init__(self):
        """Allows any name: `model` finds out whether it is one."""

    @classmethod
    def of_model(cls, name: str, model) -> "UserNetwork":
        """Returns the network that a `keras.Model` is, without its function."""
        from smartgrowth.models import fitting

        network = cls(name, model.output_shape[-1])
        fitting.set_groups(model)
        network.__dict__["model"] = model
        return network

    @functools.cached_property
    def model(self):
        """The `keras.Model` in float32, checked; to be looked at alone.

        Raises:
          UserError: there is no such function, or its network does not fit.
        """
        from smartgrowth.models import fitting

        model = self.build()
        fitting.check(self.name, model)
        return model

    @functools.cached_property
    def fingerprint(self) -> str:
        """A digest of the layers, but for how they are called."""
        from smartgrowth.models.fingerprint import fingerprint

        return fingerprint(self.model)

    @functools.cached_property
    def stride(self) -> int:
        """Pixels of the image from one position of its last map to the next."""
        from smartgrowth.models import fitting

        return fitting.total_stride(self.model)

    def check_size(self, size: int) -> None:
        from smartgrowth.models import fitting

        fitting.check_size(self.name, self.model, size)

    def build(
        self,
        mean=None,
        variance=None,
        dtype="float32",
        stock=False,
        synchronized=False,
    ):
        """Calls the user's function; returns its network with float32 logits.

        Of `Network.build`'s arguments, the images' statistics and `stock` mean
        nothing here: the layers are what the user made.

        Raises:
          UserError: the function fails, returns something else, or a batch norm
            of its network is not `synchronized`.
        """
        function = find_function(self.name)
        import keras

        from smartgrowth.models import fitting

        before = keras.config.dtype_policy()
        keras.config.set_dtype_policy(dtype)
        try:
            made = self._call(function)
            model = fitting.make_functional(self.name, made, self.num_classes)
        finally:
            keras.config.set_dtype_policy(before)
        if synchronized:
            fitting.check_synchronized(self.name, model)
        fitting.set_groups(model)
        return model

    def plain_copy(self, model):
        return self.build()

    def _call(self, function: Callable):
        parameters = inspect.signature(function).parameters
        taken = {}
        for name in OPTIONS:
            value = getattr(self, name)
            if name in parameters:
                taken[name] = value
            elif value != Network.__dataclass_fields__[name].default:
                raise UserError(
                    f"--{name}={value}: the function of --model={self.name} "
                    f"has no parameter {name}; leave the flag out"
                )
        try:
            return function(self.num_classes, **taken)
        except Exception as error:
            where = inspect.getsourcefile(inspect.unwrap(function)) or ""
            raise _as_user_error(self.name, where, error) from error

    def _count(self, size: int) -> Cost:
        costs = self.__dict__.setdefault("_costs", {})
        if size not in costs:
            costs[size] = self._count_anew(size)
        return costs[size]

    def _count_anew(self, size: int) -> Cost:
        import keras

        from smartgrowth.models import freezing
        from smartgrowth.runtime.multiplications import count_multiplications

        cost, model = Cost(), self.model
        cost.groups = list(freezing.group_names(model))
        cost.parameters = sum(
            math.prod(variable.shape) for variable in model.trainable_variables
        )
        left = 2 * count_multiplications(model, size)
        if HEAD in cost.groups[1:]:
            before = keras.Model(model.input, freezing.input_of(model, HEAD))
            body = 2 * count_multiplications(before, size)
            cost.layers.append((BODY, body))
            left -= body
        cost.layers.append((cost.groups[-1], left))
        return cost


def make(name: str, *dimensions) -> UserNetwork:
    """Returns a user's network; the same one as long as its file is the same.

    Args:
      name: of `--model`.
      dimensions: classes, width, depth, dropout.

    Raises:
      UserError: there is no such function, or its file cannot be run.
    """
    return _make(find_function(name), name, *dimensions)


@functools.lru_cache(maxsize=8)
def _make(function: Callable, *arguments) -> UserNetwork:
    return UserNetwork(*arguments)


def find_function(name: str) -> Callable:
    """Returns the function that a value of `--model` names.

    Raises:
      UserError: there is none, or its file cannot be run.
    """
    if name in FUNCTIONS:
        return FUNCTIONS[name]
    where, _, function = name.rpartition(":")
    if where.endswith(".py"):
        path = pathlib.Path(where).expanduser()
        if not path.is_file():
            raise UserError(f"--model={name}: there is no file {path}")
        module = _run_file(name, path, path.stat().st_mtime_ns)
    else:
        module = _import(name, where)
    found = getattr(module, function, None)
    if callable(found):
        return found
    there = ", ".join(
        key
        for key, value in vars(module).items()
        if inspect.isfunction(value) and value.__module__ == module.__name__
    )
    raise UserError(
        f"--model={name}: {where} has no function {function}; it has "
        f"{there or 'none'}"
    )


@functools.cache
def _run_file(name: str, path: pathlib.Path, changed: int):
    """Returns a file as a module; it is run again once it has changed."""
    backend.import_backend()
    # A name of its own: a file keras.py hides no package.
    spec = importlib.util.spec_from_file_location(f"model_{path.stem}", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    _look_in(path.parent)
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise _as_user_error(name, str(path), error) from error
    return module


def _import(name: str, where: str):
    backend.import_backend()
    _look_in(pathlib.Path.cwd())
    try:
        return importlib.import_module(where)
    except Exception as error:
        raise _as_user_error(name, where, error) from error


def _look_in(folder: pathlib.Path) -> None:
    """Has modules of a folder found, after all others."""
    if str(folder.resolve()) not in sys.path:
        sys.path.append(str(folder.resolve()))


def _as_user_error(name: str, where: str, error: Exception) -> UserError:
    """Returns an error within the user's code as one line, with its place."""
    from smartgrowth.models.fitting import one_line

    frames = traceback.extract_tb(error.__traceback__)
    lines = [frame.lineno for frame in frames if frame.filename == where]
    place = f"line {lines[-1]}: " if lines else ""
    return UserError(f"--model={name}: {place}{one_line(error)}")
