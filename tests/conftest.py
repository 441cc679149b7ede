"""A dataset and a finished run, both tiny, for every module's tests."""

import os
import pathlib
import shutil
import tempfile

# Before TensorFlow is imported, as in main.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
# JAX compiles for seconds what many tests train: once a session, then, and in
# the processes that tests start as well.
os.environ.setdefault(
    "JAX_COMPILATION_CACHE_DIR", tempfile.mkdtemp(prefix="smartgrowth_jax_")
)
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")

import numpy as np
import pytest

from smartgrowth.config import Config
from smartgrowth.data import build, registry, store
from smartgrowth.data.source import TRAIN, VALIDATION, Encoded, Example, Source
from smartgrowth.data.sources.decode import decode_example
from smartgrowth.models.network import MODELS

CLASSES = ("rook", "rock crystal", "sun", "moon")
GROUPS = dict(zip(CLASSES, ("chess", "stone", "sky", "sky"), strict=True))
TRAIN_COUNTS = (13, 12, 11, 10)  # no batch size divides them all
VALIDATION_COUNT = 5  # of every class
NATIVE = 24  # pixels a side
COLORS = ((200, 60, 60), (60, 190, 70), (60, 70, 210), (190, 190, 60))


def pytest_unconfigure(config):
    made = pathlib.Path(os.environ["JAX_COMPILATION_CACHE_DIR"])
    # Workers of pytest-xdist share that of the process that started them.
    started = not hasattr(config, "workerinput")
    if started and made.name.startswith("smartgrowth_jax_"):
        shutil.rmtree(made, ignore_errors=True)


def decoded(source: Source) -> list:
    """Examples and refusals, as `examine` gets them."""
    return [
        decode_example(given) if isinstance(given, Encoded) else given
        for given in source.examples()
    ]


def make_examples():
    """Noise around a color of the class, the splits' classes in turn."""
    random = np.random.default_rng(7)
    for split, counts in (
        (TRAIN, TRAIN_COUNTS),
        (VALIDATION, [VALIDATION_COUNT] * len(CLASSES)),
    ):
        for number in range(max(counts)):
            for label, count in enumerate(counts):
                if number < count:
                    noise = random.normal(0, 40, (NATIVE, NATIVE, 3))
                    image = np.clip(COLORS[label] + noise, 0, 255)
                    yield Example(
                        f"{split}/{CLASSES[label]}/{number}.png",
                        split,
                        label,
                        image.astype(np.uint8),
                    )


@pytest.fixture(scope="session")
def tiny_source() -> Source:
    """Four classes of 24 px images, 46 to train on and 20 to validate."""
    return Source(
        name="tiny",
        fingerprint="tiny-1",
        class_names=CLASSES,
        native_size=NATIVE,
        examples=make_examples,
        groups=GROUPS,
    )


@pytest.fixture(scope="session")
def tiny_store(tiny_source, tmp_path_factory):
    """The directory of its store, at 16 and 24 px."""
    return build.ensure_store(
        f"{tiny_source.name} {tiny_source.fingerprint}",  # as data.open_data
        lambda: tiny_source,
        (16, 24),
        tmp_path_factory.mktemp("tiny_cache"),
    )


@pytest.fixture(scope="session")
def tiny_data(tiny_store) -> store.Data:
    return store.open_data(tiny_store)


@pytest.fixture
def tiny_dataset(tiny_source, tiny_store, monkeypatch):
    """Makes `--dataset=tiny` known; returns the `--cache_dir` of its store."""
    known = registry.fingerprint

    def fingerprint(dataset, *data_dir):
        if dataset == tiny_source.name:
            return tiny_source.fingerprint
        return known(dataset, *data_dir)

    monkeypatch.setitem(registry.DATASETS, "tiny", lambda *_: tiny_source)
    monkeypatch.setattr(registry, "fingerprint", fingerprint)
    return str(tiny_store.parents[1])


def make_config(workdir, **overrides) -> Config:
    """Two stages of four steps, 16 then 24 px, of the smallest network."""
    model = MODELS.get(overrides.get("model", "resnet"))
    settings = {
        "workdir": str(workdir),
        "dataset": "tiny",
        "grow_size": (16, 24),
        "stage_steps": (4, 4),
        "batch_size": (8,),
        "width": 8,
        # One block in all: most of a test's time goes into tracing layers.
        "depth": (0, 0, 0, 1) if model and model.stages > 1 else 1,
        "precision": "float32",
        "evals": 2,
        "report": False,  # or each run would spend seconds on plots
    }
    return Config(**settings | overrides)


@pytest.fixture
def tiny_config(tmp_path):
    """Makes a `Config` that writes to this test's own folder."""

    def make(**overrides) -> Config:
        return make_config(**{"workdir": tmp_path / "run"} | overrides)

    return make


@pytest.fixture
def stop_after(monkeypatch):
    """Makes training stop right after the checkpoint at a step is written."""
    from smartgrowth.runs import checkpoint

    save = checkpoint.save

    def arrange(step):
        def save_then_stop(directory, arrays, facts, best=False, **how):
            save(directory, arrays, facts, best, **how)
            if facts["step"] == step:
                raise KeyboardInterrupt

        monkeypatch.setattr(checkpoint, "save", save_then_stop)

    yield arrange


@pytest.fixture(scope="session")
def tiny_run(tiny_data, tiny_store, tmp_path_factory):
    """The directory of a finished run on it: look, do not touch."""
    from smartgrowth.experiment import make_experiment
    from smartgrowth.training.train import train

    config = make_config(
        tmp_path_factory.mktemp("tiny_run") / "run",
        cache_dir=str(tiny_store.parents[1]),
        report=True,
    )
    return train(make_experiment(config, tiny_data))


@pytest.fixture(scope="session")
def model(tiny_data):
    """A tiny network that has learned nothing: do not train it."""
    import keras

    from smartgrowth.models.network import Network

    keras.utils.set_random_seed(1)
    network = Network("resnet", len(tiny_data.class_names), width=8, depth=1)
    return network.build(tiny_data.mean, tiny_data.variance)


@pytest.fixture
def evaluator(model, tiny_data, monkeypatch):
    """Of that network, in batches of 8."""
    from smartgrowth.evaluation import evaluator as module
    from smartgrowth.evaluation import tta

    monkeypatch.setattr(module, "BATCH", 8)
    monkeypatch.setattr(tta, "BATCH", 8)
    return module.Evaluator(model, tiny_data)
