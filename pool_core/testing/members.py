"""Members as policies see them, in a line."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pool_core.interfaces.policy import MemberSignature
from pool_core.interfaces.task import Task
from pool_core.interfaces.type_text import parse_type
from pool_core.interfaces.types import FieldType
from pool_core.testing.scripted import EchoTask

__all__ = ["make_signature"]


def make_signature(
    name: str,
    outputs: Mapping[str, str],
    *,
    task: type[Task[Any]] = EchoTask,
    inputs: Mapping[str, str] | None = None,
    columns: Mapping[str, str] | None = None,
    **more: Any,
) -> MemberSignature:
    """What a member needs and gives, with types as texts: ``make_signature("a", {"code": "str", "score": "float?"})``.

    Args:
        name: Its name.
        outputs: Output field to its type; each is the task's own field of that name, without an adapter.
        task: The class of its task.
        inputs: The task's input to the column that it is read from.
        columns: Columns of the rows and their types; None where no rows are known.
        more: Other fields of `MemberSignature`, as they are.

    Raises:
        ValueError: a type is none.
    """
    types = {field: parse_type(text) for field, text in outputs.items()}
    known: Mapping[str, FieldType] | None = None
    if columns is not None:
        known = {column: parse_type(text) for column, text in columns.items()}
    values: dict[str, Any] = {
        "task": f"test/{task.__name__.lower()}",
        "inputs": dict(inputs or {}),
        "sources": {field: field for field in outputs},
        "fields": types,
        "columns": known,
    }
    return MemberSignature(name=name, task_class=task, outputs=types, **(values | more))
