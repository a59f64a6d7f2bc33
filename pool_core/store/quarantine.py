"""A file that was built anew takes the place of a damaged one, which is kept: also after a kill halfway."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from pool_core.store.files import make_folder, sync

__all__ = ["finish_repair", "name_repaired"]


def name_repaired(path: Path) -> Path:
    """Where the file that is to take the place of ``path`` stands, once it is complete."""
    return path.with_name(f"{path.name}-repaired")


def finish_repair(path: Path) -> Path | None:
    """Put the repaired file, if there is one, in the place of ``path``. The run directory must be owned.

    Returns:
        The folder in which the damaged file and its log are kept; None where there was nothing to do.
    """
    repaired = name_repaired(path)
    if not repaired.exists():
        return None
    log = path.with_name(f"{path.name}-wal")
    folder = _choose_folder(path)
    make_folder(folder)
    for file in (path, log):
        if file.exists() and not (folder / file.name).exists():
            _copy(file, folder / file.name)
    sync(folder)
    # the log of the damaged file must be gone before the new one stands there: SQLite would apply it
    for file in (log, path.with_name(f"{path.name}-shm")):
        file.unlink(missing_ok=True)
    sync(path.parent)
    repaired.replace(path)
    sync(path.parent)
    return folder


def _choose_folder(path: Path) -> Path:
    """``damaged-N`` beside the file: the one that holds it already, or else the first that is free."""
    number = 1
    while (folder := path.with_name(f"damaged-{number}")).exists():
        kept = folder / path.name
        if not kept.exists() or (path.exists() and kept.samefile(path)):
            break
        number += 1
    return folder


def _copy(file: Path, target: Path) -> None:
    """Link where that can be: a damaged disk should not have to give the whole file once more."""
    try:
        os.link(file, target)
    except OSError:  # a file system without links
        shutil.copyfile(file, target)
        target.chmod(0o600)
        sync(target)
