"""A place in a quota, and how the call that held it ended."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

__all__ = ["End", "Place"]


class End(StrEnum):
    """How a call ended, as far as it says something about the limit."""

    ANSWERED = "answered"  #: the server answered, whatever it said
    LIMITED = "limited"  #: the server refused: too many requests
    OVERLOADED = "overloaded"  #: the server has no capacity
    FAILED = "failed"  #: no answer for another reason
    CANCELLED = "cancelled"  #: the call was given up on this side


@dataclass(slots=True)
class Place:
    """A place in a quota, from the moment it is given until its release."""

    #: Index of the member that holds it.
    member: int
    #: When it was given, on the loop's clock.
    since: float
    #: Calls in flight then, this one among them.
    in_flight: int
    #: Tokens that the call was thought to need.
    tokens: float
    #: Places that the quota had given by then, this one among them.
    number: int = 0
