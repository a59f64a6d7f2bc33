"""What goes into the store and what comes out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

__all__ = ["CellRecord", "KnownCell", "Measured", "NewAnswer", "NewRow", "Spent", "StoredRow"]


@dataclass(frozen=True, slots=True)
class NewRow:
    """A row of the input, on its way in."""

    row_id: str
    #: Where it stands for a person, such as ``line 12``.
    place: str
    data: bytes
    assigned: bytes


class StoredRow(NamedTuple):
    """A row of the store."""

    key: int
    position: int
    row_id: str
    assigned: bytes
    data: bytes


class NewAnswer(NamedTuple):
    """An answer that was just paid for."""

    created: float
    seconds: float
    request: bytes
    body: bytes
    #: Key of the member that paid, and what it paid: tokens and dollars. None where it is not known.
    member: int | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    cost: float | None = None


@dataclass(frozen=True, slots=True)
class Spent:
    """What a member has paid for over the whole life of a run, in all its processes. Can be added up."""

    answers: int = 0
    #: Sums over the answers that say it.
    input_tokens: int = 0
    output_tokens: int = 0
    #: Dollars.
    cost: float = 0.0
    #: Answers that lack a count of tokens, and answers whose cost is not known.
    unknown_tokens: int = 0
    unknown_cost: int = 0

    def __add__(self, other: Spent) -> Spent:
        return Spent(
            self.answers + other.answers,
            self.input_tokens + other.input_tokens,
            self.output_tokens + other.output_tokens,
            self.cost + other.cost,
            self.unknown_tokens + other.unknown_tokens,
            self.unknown_cost + other.unknown_cost,
        )


class CellRecord(NamedTuple):
    """The outcome of a cell. ``answer`` is the key of a stored answer; the writer fills it in for a new one."""

    key: int
    status: str
    basis: int | None
    answer: int | None
    attempts: int
    seconds: float
    input_tokens: int | None
    output_tokens: int | None
    cause: str
    message: str
    outputs: bytes | None
    #: Key of the member that answered in the place of the cell's own; None where it did so itself.
    answered_by: int | None = None


class KnownCell(NamedTuple):
    """What a run needs to know of a cell that an earlier one has finished."""

    status: str
    cause: str
    basis: int | None
    answer: int | None
    #: Key of the member that answered in the place of the cell's own.
    answered_by: int | None = None


class Measured(NamedTuple):
    """What the stored answers of a member were like."""

    answers: int
    #: Mean seconds from the request to the answer.
    seconds: float
    #: Of the answers that say how many tokens they have: their number, and the mean and mean square of the tokens.
    told: int
    output_tokens: float
    output_squares: float
