"""What SQLite says when the disk, the file or the rights fail, as errors that say what to do."""

from __future__ import annotations

import shlex
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pool_core.errors import StoreError

__all__ = ["explain_errors", "is_damage", "make_damage_error", "suggest_cure"]

#: Errors of the file's content: more room or another disk would not help.
_DAMAGED = frozenset({"SQLITE_CORRUPT", "SQLITE_NOTADB", "SQLITE_CONSTRAINT", "SQLITE_ERROR"})
_CURES = {
    "SQLITE_FULL": "make room on the disk, then run the same command again: what was committed is kept",
    "SQLITE_IOERR": "the disk or file system fails; when it is mended, run the same command again",
    "SQLITE_READONLY": "the run directory must be writable for this",
    "SQLITE_CANTOPEN": "the run directory must be there, and readable and writable",
    "SQLITE_BUSY": "another program holds the file; run the same command again when it has gone",
}


def is_damage(error: BaseException) -> bool:
    """Whether an error of SQLite is of the file's content, and not of the disk or the rights."""
    name = getattr(error, "sqlite_errorname", None) or ""
    return any(name.startswith(damaged) for damaged in _DAMAGED)


def suggest_cure(error: BaseException, folder: Path | str) -> str:
    """What a person can do about an error of SQLite."""
    name = getattr(error, "sqlite_errorname", None) or ""
    if is_damage(error):
        return f"see what is left of it with: pool repair {shlex.quote(str(folder))}"
    for prefix, cure in _CURES.items():
        if name.startswith(prefix):
            return cure
    return "make room or mend the disk, then run the same command again: what was committed is kept"


@contextmanager
def explain_errors(what: str, folder: Path, where: Path | None = None) -> Iterator[None]:
    """Turn what SQLite raises within into a `StoreError`.

    Args:
        what: what cannot be done.
        folder: the run directory.
        where: the place that the error names, by default ``folder``.
    """
    try:
        yield
    except sqlite3.ProgrammingError:
        raise  # a mistake of ours, such as a closed file
    except sqlite3.Error as error:
        raise StoreError(f"{what}: {error}", where=str(where or folder), hint=suggest_cure(error, folder)) from error


def make_damage_error(what: str, folder: Path) -> StoreError:
    """The error of a file whose content is not what was written."""
    return StoreError(
        f"the store is damaged: {what}",
        where=str(folder),
        hint=f"see what is left of it with: pool repair {shlex.quote(str(folder))}",
    )
