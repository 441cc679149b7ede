"""What starts is silent, unless it fails; several processes join in time."""

import gc
import importlib
import os
import sys

import pytest

from smartgrowth import modes
from smartgrowth.data import load
from smartgrowth.runtime import backend, distributed, reporter
from smartgrowth.runtime.cpu import CPU, read_cpu


def test_what_is_written_to_stderr_is_held_back(capfd):
    with backend.quiet():
        os.write(2, b"of a library in C\n")
    os.write(2, b"after it\n")
    assert capfd.readouterr().err == "after it\n"


def test_what_was_held_back_is_shown_if_something_fails(capfd):
    with pytest.raises(ImportError), backend.quiet():
        os.write(2, b"why\n")
        raise ImportError
    os.write(2, b"after it\n")
    assert capfd.readouterr().err == "why\nafter it\n"


def test_optional_packages_are_left_out_of_an_import(monkeypatch):
    """But not those that are imported already, nor later on."""
    monkeypatch.delitem(sys.modules, "tabnanny", raising=False)
    with backend._without(("tabnanny", "json")):
        with pytest.raises(ImportError):
            importlib.import_module("tabnanny")
        assert importlib.import_module("json").dumps([1]) == "[1]"
    assert importlib.import_module("tabnanny").__name__ == "tabnanny"


def test_garbage_is_collected_again_once_all_is_imported():
    before = gc.get_threshold()
    try:
        with backend._without_collection():
            assert not gc.isenabled()
        assert gc.isenabled() and gc.get_freeze_count()
        assert gc.get_threshold() == backend.GC_THRESHOLDS
    finally:
        gc.unfreeze()
        gc.set_threshold(*before)


@pytest.mark.parametrize(
    ("mode", "function"), [("train", "train"), ("lr_find", "find_rate")]
)
def test_what_trains_joins_the_others_before_devices_are_asked_for(
    tiny_config, monkeypatch, mode, function
):
    from smartgrowth import experiment
    from smartgrowth.training import train

    calls = []

    def note(name):
        return lambda *arguments: calls.append(name)

    monkeypatch.setattr(load, "open_data", note("open"))
    monkeypatch.setattr(experiment, "make_experiment", note("make"))
    monkeypatch.setattr(backend, "import_backend", note("import"))
    monkeypatch.setattr(distributed, "join", calls.append)
    monkeypatch.setattr(backend, "find_devices", note("devices"))
    monkeypatch.setattr(train, function, note("train"))
    modes.MODES[mode](tiny_config(devices="all"))
    assert calls == ["open", "make", "import", "all", "devices", "train"]


@pytest.mark.parametrize("rank", [0, 1])
def test_of_several_processes_the_first_speaks(monkeypatch, capsys, rank):
    import jax

    joined = []
    monkeypatch.setattr(
        jax.distributed,
        "initialize",
        lambda *arguments, **options: joined.append(arguments),
    )
    monkeypatch.setattr(distributed.keras.backend, "backend", lambda: "jax")
    monkeypatch.setattr(reporter.REPORTER, "muted", False)
    monkeypatch.setenv(distributed.ADDRESSES, "host:1,other:1")
    monkeypatch.setenv(distributed.PROCESSES, "2")
    monkeypatch.setenv(distributed.RANK, str(rank))
    distributed.join("all")
    reporter.say("here")
    assert joined == [("host:1", 2, rank)]
    assert capsys.readouterr().out == ("" if rank else "here\n")


@pytest.mark.parametrize(
    ("features", "given", "wanted"),
    [
        ({"avx2", "fma"}, None, "1"),
        ({"avx2", "fma"}, "0", "0"),
        ({"sse4_2"}, None, None),
        (set(), None, None),
    ],
)
def test_onednn_is_asked_for_where_it_helps_and_nobody_has_decided(
    features, given, wanted, monkeypatch
):
    monkeypatch.setattr(
        backend, "read_cpu", lambda: CPU("any", frozenset(features))
    )
    monkeypatch.delenv(backend.ONEDNN, raising=False)
    if given:
        monkeypatch.setenv(backend.ONEDNN, given)
    backend.ask_for_onednn()
    assert os.environ.get(backend.ONEDNN) == wanted
    monkeypatch.delenv(backend.ONEDNN, raising=False)


def test_linux_says_what_the_processor_can_do(tmp_path):
    path = tmp_path / "cpuinfo"
    path.write_text(
        "processor\t: 0\nmodel name\t: AMD EPYC 7763\nflags\t\t: fpu avx2\n\n"
        "processor\t: 1\nmodel name\t: another\nflags\t\t: sse\n"
    )
    assert read_cpu(path) == CPU("AMD EPYC 7763", frozenset({"fpu", "avx2"}))
    assert read_cpu(tmp_path / "nothing").features == frozenset()
