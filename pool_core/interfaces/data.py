"""The interfaces of readers (rows come in) and writers (outputs go out)."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar

from pydantic import BaseModel

from pool_core.interfaces.types import FieldType
from pool_core.interfaces.values import Row

__all__ = ["Reader", "Writer"]

ConfigT = TypeVar("ConfigT", bound=BaseModel)


class Reader(ABC, Generic[ConfigT]):
    """Reads rows from a file."""

    Config: ClassVar[type[BaseModel]]

    def __init__(self, path: Path, config: ConfigT) -> None:
        self.path = path
        self.config = config

    def read_schema(self) -> Mapping[str, FieldType] | None:
        """The columns and types that the file itself declares, None for formats that declare none.

        All of them: a column that is not among them is missing in every row.

        Raises:
            RowsError: the file cannot be read.
        """
        return None

    @abstractmethod
    def read(self) -> Iterator[tuple[str, Row]]:
        """Yield ``(place, row)`` in order, without holding the file in memory.

        ``place`` is where the row stands for a person, such as ``line 12``. Rows hold plain JSON values.

        Raises:
            RowsError: the file cannot be read; the message has the place.
        """


class Writer(ABC, Generic[ConfigT]):
    """Writes records to a file. The pool gives it a temporary path and renames the file when complete."""

    Config: ClassVar[type[BaseModel]]

    def __init__(self, path: Path, config: ConfigT) -> None:
        self.path = path
        self.config = config

    @abstractmethod
    def write(self, records: Iterable[Mapping[str, Any]], schema: Mapping[str, FieldType]) -> int:
        """Write all ``records``, streaming. ``schema`` has the type of every field they can hold.

        Returns:
            The number of records written.
        """
