"""What a call does beside returning is seen, and nothing else is."""

from __future__ import annotations

import gc
import importlib
import os
import socket
import sys
import threading
import weakref
from pathlib import Path

from pool_core.testing.conformance.effects import watch_effects


def test_files_connections_and_variables_are_seen(tmp_path, monkeypatch):
    monkeypatch.delenv("POOL_TEST", raising=False)
    with watch_effects() as effects:
        (tmp_path / "a").write_text("b")
        os.environ["POOL_TEST"] = "1"
        with socket.socket() as client:
            client.connect_ex(("127.0.0.1", 9))
    assert effects == [
        f"opened '{tmp_path / 'a'}'",
        "set the environment variable b'POOL_TEST'",
        "connected to ('127.0.0.1', 9)",
    ]
    monkeypatch.delenv("POOL_TEST")


def test_only_what_is_asked_for_is_seen(tmp_path):
    with watch_effects("socket.connect") as effects:
        (tmp_path / "a").write_text("b")
    (tmp_path / "c").write_text("d")
    assert effects == []


def test_code_that_is_imported_is_no_effect():
    with watch_effects() as effects, Path(__file__).open() as file:
        file.read()
    assert effects == []


def test_an_import_of_what_was_never_compiled_is_no_effect(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "never_compiled").mkdir()
    (tmp_path / "never_compiled" / "__init__.py").write_text("x = 1")
    with watch_effects() as effects:
        importlib.import_module("never_compiled")
    del sys.modules["never_compiled"]
    assert effects == []
    assert (tmp_path / "never_compiled" / "__pycache__").exists()


def test_folders_threads_and_prints_are_seen(tmp_path, capsys):
    with watch_effects() as effects:
        (tmp_path / "new").mkdir()
        thread = threading.Thread(target=int)
        thread.start()
        thread.join()
        sys.stdout.write("hello\n")
    assert effects == [f"made the folder {str(tmp_path / 'new')!r}", "started a thread", r"printed 'hello\n'"]
    assert capsys.readouterr().out == ""


def test_other_threads_and_the_garbage_of_others_are_no_effect(tmp_path):
    class Cycle:
        pass

    one = Cycle()
    one.self = one
    weakref.finalize(one, (tmp_path / "garbage").write_text, "x")
    del one
    begin = threading.Event()
    thread = threading.Thread(target=lambda: begin.wait() and (tmp_path / "thread").write_text("x"))
    thread.start()
    with watch_effects() as effects:
        begin.set()
        thread.join()
        made = [[] for _ in range(100_000)]  # enough for the collector to run, were it allowed to
    assert effects == []
    assert len(made) == 100_000
    assert gc.isenabled()
    gc.collect()
    assert (tmp_path / "garbage").exists()
