"""What all readers and writers check: that a file can be read, and that no field gets lost."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pool_core.errors import PoolError, RowsError

__all__ = ["explain_os_errors", "refuse_unknown_fields"]


@contextmanager
def explain_os_errors(path: Path) -> Iterator[None]:
    """Turn what the operating system says about ``path`` into errors that say what to do.

    Raises:
        RowsError: the file is missing, is a directory, may not be read, or reading it fails.
    """
    where = str(path)
    try:
        yield
    except FileNotFoundError as error:
        hint = "Check the path of the rows; a relative path starts at the recipe's folder."
        raise RowsError("the file does not exist", where=where, hint=hint) from error
    except IsADirectoryError as error:
        raise RowsError("this is a directory, not a file", where=where, hint="Name one file in it.") from error
    except PermissionError as error:
        hint = "Change the file's permissions, or run as a user who may read it."
        raise RowsError("there is no permission to read the file", where=where, hint=hint) from error
    except OSError as error:
        hint = "Check that the file is complete and its disk works."
        raise RowsError(f"the file cannot be read: {error.strerror or error}", where=where, hint=hint) from error


def refuse_unknown_fields(record: Mapping[str, Any], schema: Mapping[str, object], number: int) -> None:
    """Make sure that a format with fixed columns drops nothing of ``record``, the ``number``-th from 1.

    Raises:
        PoolError: the record has a field that ``schema`` does not have.
    """
    if not record.keys() <= schema.keys():
        names = ", ".join(repr(name) for name in sorted(record.keys() - schema.keys()))
        hint = "Give the writer a schema with every field of every record."
        raise PoolError(f"fields that are not in the schema: {names}", where=f"record {number}", hint=hint)
