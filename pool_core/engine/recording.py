"""What the store keeps of an outcome."""

from __future__ import annotations

from typing import Any

from pool_core.engine.cell import Cell
from pool_core.interfaces.encoding import encode_json
from pool_core.interfaces.values import Answer, Cause, Outcome, Usage
from pool_core.store.records import CellRecord

__all__ = ["make_record", "read_usage"]

#: A count of tokens stays below this: SQLite holds no larger whole number.
MOST_TOKENS = 1 << 63

_NOT_SAID = Usage()


def make_record(
    cell: Cell, outcome: Outcome, basis: int | None, answered_by: int | None, stored: int | None, seconds: float
) -> tuple[CellRecord, Outcome]:
    """How the store has an outcome, and the outcome itself: failed where its outputs cannot be stored.

    Args:
        basis: key of what it rests on.
        answered_by: key of the member that answered in the place of the cell's own, None where it did so itself.
        stored: key of the stored answer that it was read from, None where the answer is new.
        seconds: from the first request to the end.
    """
    outputs = None
    if outcome.outputs is not None:
        try:
            outputs = encode_json(outcome.outputs)
        except Exception as error:  # noqa: BLE001 - a broken task costs its cell, never the run
            broken = f"the output fields cannot be stored: {type(error).__name__}: {error}"
            outcome = Outcome("failed", Cause.SCHEMA, broken, answer=outcome.answer)
    usage = read_usage(outcome.answer)
    record = CellRecord(
        cell.key,
        outcome.status,
        basis,
        stored,
        cell.attempts,
        seconds,
        usage.input_tokens,
        usage.output_tokens,
        outcome.cause or "",
        _make_storable(outcome.message),
        outputs,
        answered_by,
    )
    return record, outcome


def read_usage(answer: Answer | None) -> Usage:
    """The tokens of an answer. What is no count, as a hostile server may send, counts as not said."""
    usage = answer.usage if answer is not None else None
    if not isinstance(usage, Usage):
        return _NOT_SAID
    asked, answered = usage.input_tokens, usage.output_tokens
    if type(asked) is int and type(answered) is int and 0 <= asked < MOST_TOKENS and 0 <= answered < MOST_TOKENS:
        return usage
    return Usage(_keep_count(asked), _keep_count(answered))


def _keep_count(count: Any) -> int | None:
    return count if isinstance(count, int) and 0 <= count < MOST_TOKENS else None


def _make_storable(text: str) -> str:
    """SQLite text is UTF-8: lone surrogates of a hostile reply become escapes."""
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode()
