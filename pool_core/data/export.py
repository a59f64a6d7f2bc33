"""Writing a run's merged file: from the store, streaming, and all of it or nothing."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from functools import cached_property, partial
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
        schema = _Schema(store, layout, fields, raw=raw, fallbacks=info.fallbacks)
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


class _Schema(Mapping[str, FieldType]):
    """The types of the records' fields, found when a writer looks: for the columns of the rows all rows are read."""

    def __init__(
        self, store: Store, layout: Layout, fields: Mapping[str, FieldType], *, raw: bool, fallbacks: bool
    ) -> None:
        self._store = store
        self._layout = layout
        self._make = partial(make_schema, layout, fields=fields, raw=raw, fallbacks=fallbacks)

    @cached_property
    def _types(self) -> dict[str, FieldType]:
        rows = () if self._layout == "long" else self._store.iterate_rows()
        return self._make(columns=merge_columns(decode_json(row.data) for row in rows))

    def __getitem__(self, name: str) -> FieldType:
        return self._types[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._types)

    def __len__(self) -> int:
        return len(self._types)
