"""A run in a directory that cannot be written: read where that is safe, and else told what to do."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

import pytest

from pool_core.errors import RunLockedError
from pool_core.store.lock import RunLock, find_owner
from pool_core.store.store import Store

SCRIPT = """
import sys
from pathlib import Path
from pool_core.errors import StoreError
from pool_core.store.store import Store

try:
    with getattr(Store, sys.argv[2])(Path(sys.argv[1])) as store:
        print([row.row_id for row in store.iterate_rows()])
except StoreError as error:
    print(error)
"""


def run_without_rights(folder, opener="read"):
    """Run the script as somebody whom the rights of files bind, as they do not bind root."""
    command = [sys.executable, "-c", SCRIPT, str(folder), opener]
    if os.geteuid() == 0:
        if shutil.which("setpriv") is None:
            pytest.skip("root needs setpriv to give up its rights")
        command = ["setpriv", "--bounding-set=-dac_override,-dac_read_search", "--inh-caps=-all", *command]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=True)
    return done.stdout.rstrip("\n")


@pytest.fixture
def folder(tmp_path, make):
    with Store.open(tmp_path / "run") as store:
        store.ingest([make.row("a"), make.row("b")], store.register_members("pool", ["m"]), "rows")
    yield tmp_path / "run"
    (tmp_path / "run").chmod(0o700)


@pytest.fixture
def locked(folder):
    """The run where nothing can be written."""
    for path in folder.iterdir():
        path.chmod(0o400)
    folder.chmod(0o500)
    return folder


def test_a_run_that_has_ended_can_be_read(locked):
    before = sorted(path.name for path in locked.iterdir())
    assert run_without_rights(locked) == "['a', 'b']"
    assert sorted(path.name for path in locked.iterdir()) == before == ["lock", "run.sqlite"]


def test_a_copy_without_its_lock_can_be_read(folder):
    (folder / "lock").unlink()
    folder.chmod(0o500)
    assert run_without_rights(folder) == "['a', 'b']"


def test_working_there_is_refused(locked):
    assert run_without_rights(locked, "open") == (
        f"{locked}: the run directory cannot be written: Permission denied\n  choose another one: --run-dir DIR"
    )


def test_a_run_that_was_killed_cannot_be_read_there(folder, tmp_path, make):
    """What its log holds would be missed."""
    with Store.read(folder) as reader, reader.freeze(), Store.open(folder) as store:
        store.ingest([make.row("c")], [1], "rows")
        shutil.copytree(folder, tmp_path / "copy")
    copy = tmp_path / "copy"
    (copy / "run.sqlite-shm").unlink()
    copy.chmod(0o500)
    assert run_without_rights(copy) == (
        f"{copy}: the run directory is read-only and the run in it was not closed\n"
        "  make the directory writable, or copy all of it to where it is"
    )
    copy.chmod(0o700)
    assert run_without_rights(copy) == "['c']"


def test_a_run_that_goes_on_can_be_read_there(folder, make):
    """By somebody who may only look, while another works on it."""
    with Store.open(folder) as store:
        store.ingest([make.row("c")], [1], "rows")
        folder.chmod(0o500)
        assert run_without_rights(folder) == "['c']"


def test_who_only_looks_keeps_others_from_starting(folder, monkeypatch):
    monkeypatch.setattr("pool_core.store.lock._MOST_PATIENCE", 0.3)
    lock = RunLock(folder)
    assert lock.share()
    assert not lock.is_owner
    with pytest.raises(RunLockedError):
        Store.open(folder)
    lock.release()
    lock.release()
    with Store.open(folder):
        assert not RunLock(folder).share()
        assert find_owner(folder) == f"process {os.getpid()} on {os.uname().nodename}"
    assert find_owner(folder) is None


def test_looking_whether_somebody_works_disturbs_no_start(folder):
    (folder / "owner.json").write_text('{"pid": 1, "host": "gone"}')  # of a process that was killed
    assert find_owner(folder) is None
    with Store.open(folder):
        (folder / "owner.json").write_text("{")
        assert find_owner(folder) == "another process"
