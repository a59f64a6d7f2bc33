"""Writing a run's merged file: from the store, streaming, and all of it or nothing."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec
from pydantic import BaseModel

from pool_core.data.layouts import Layout, arrange, list_names, make_schema
from pool_core.data.records import RunInfo, read_generations
from pool_core.errors import StoreError
from pool_core.interfaces.data import Writer
from pool_core.interfaces.encoding import decode_json
from pool_core.interfaces.types import FieldType
from pool_core.plan.rows import merge_columns
from pool_core.store.files import sync
from pool_core.store.store import Store

__all__ = ["export_run"]


def export_run(
    store: Store, info: RunInfo, path: Path, writer: type[Writer[Any]], config: BaseModel, layout: Layout, *, raw: bool
) -> int:
    """Write the run's file at ``path``. What stood there before stays until the new one is complete.

    Returns:
        The number of records.

    Raises:
        StoreError: the file cannot be written.
        RowsError: a row has a column that the layout writes itself.
    """
    fields = {name: msgspec.convert(type_, FieldType) for name, type_ in info.fields.items()}
    with store.freeze():  # the columns and the records are of one moment
        columns = merge_columns(decode_json(row.data) for row in store.iterate_rows()) if layout != "long" else {}
        schema = make_schema(layout, columns, fields, raw=raw, fallbacks=info.fallbacks)
        names = list_names(fields, raw=raw, fallbacks=info.fallbacks)
        records = arrange(layout, read_generations(store, info, raw=raw), names)
        temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            count = writer(temporary, config).write(records, schema)
            sync(temporary)
            temporary.replace(path)
            sync(path.parent)
        except OSError as error:
            raise StoreError(
                f"the output cannot be written: {error.strerror or error}",
                where=str(path),
                hint=f"the answers are safe in the run; mend it and write the file with: pool export {store.folder}",
            ) from error
        finally:
            with suppress(OSError):  # where there is nothing to remove, that is not what went wrong
                temporary.unlink()
    return count
