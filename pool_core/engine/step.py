"""What follows a failed call: the pure part of the retry loop."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto
from random import Random

from pool_core.engine.cell import Cell
from pool_core.engine.retry import ACTIONS, SHORT_SECONDS, Action, compute_backoff
from pool_core.errors import BackendError
from pool_core.recipe.models import Limits

__all__ = ["Next", "Step", "choose_step", "describe_duration"]

#: Calls of one cell that may be billed and brought nothing, after which it is not sent again.
MOST_BILLED = 2


class Next(Enum):
    """Where a cell goes."""

    END = auto()  #: nowhere: its outcome is recorded
    LEAVE = auto()  #: nowhere: it stays unfinished
    AGAIN = auto()  #: it is asked next
    PROBE = auto()  #: it is asked again when its turn comes; the breaker says when that is
    RETRY = auto()  #: it is asked again after a wait, if the retry budget allows it
    WAIT = auto()  #: it is asked again after a wait, for which its whole quota is paused
    FAIL = auto()  #: it has failed, or its member's fallback takes it over


@dataclass(frozen=True, slots=True)
class Step:
    """What becomes of a cell after a call."""

    next: Next
    #: Seconds to wait.
    seconds: float = 0.0
    error: BackendError | None = None
    #: Why the member is to be stopped; empty if it is not.
    stop: str = ""


def choose_step(cell: Cell, error: BackendError, limits: Limits, random: Random, now: float, *, probe: bool) -> Step:
    """Act on the error's cause and on what it asks for, never on its text.

    ``cell`` has the failed call counted already; only its waits are counted here.

    Args:
        now: seconds on the loop's clock.
        probe: the call was a breaker's probe, and the next one is another cell's.
    """
    action = Action.STOP_MEMBER if error.stops_member else ACTIONS[error.cause]
    if action is Action.STOP_MEMBER:
        return Step(Next.FAIL, error=error, stop=str(error))
    if action in (Action.RETRY, Action.WAIT) and (refused := _refuse_named_wait(error, limits)) is not None:
        return refused
    if action is Action.RETRY and cell.billed < MOST_BILLED and cell.failures < limits.attempts:
        probe = probe and not _is_named(error)  # a wait that is named to a probe holds for its cell as well
        seconds = 0.0 if probe else compute_backoff(max(1, cell.failures), error.retry_after, random)
        refused = _refuse_late(cell, error, now + seconds, limits)
        return refused or Step(Next.PROBE if probe else Next.RETRY, seconds)
    if action is Action.WAIT:
        cell.waits += 1
        seconds = compute_backoff(cell.waits, error.retry_after, random)
        cell.waited += _count_waiting(error, seconds)
        refused = _refuse_late(cell, error, now + seconds, limits)
        if refused is None and cell.waited > limits.max_wait:
            text = f"it would have waited {cell.waited:.3g} s, more than "
            refused = Step(Next.FAIL, error=_extend(error, f"{text}`limits: {{max_wait: {limits.max_wait:g}}}`"))
        return refused or Step(Next.WAIT, seconds)
    return Step(Next.FAIL, error=error)


def _count_waiting(error: BackendError, seconds: float) -> float:
    """What of a wait counts as asked for: all of it, but for the jitter on top of a wait that the server names."""
    return error.retry_after if error.retry_after is not None and error.retry_after >= SHORT_SECONDS else seconds


def _is_named(error: BackendError) -> bool:
    return error.retry_after is not None and error.retry_after > 0


def _refuse_named_wait(error: BackendError, limits: Limits) -> Step | None:
    """A server that asks for more patience than the recipe has stops the member: others would be told the same."""
    if error.retry_after is None or not error.retry_after > limits.max_wait:
        return None
    text = (
        f"it asks to wait {describe_duration(error.retry_after)}, more than `limits: {{max_wait: {limits.max_wait:g}}}`"
    )
    refused = _extend(error, f"{text}; what is left can be asked then, by the same command")
    return Step(Next.FAIL, error=refused, stop=str(refused))


def _refuse_late(cell: Cell, error: BackendError, then: float, limits: Limits) -> Step | None:
    if then - cell.started <= limits.deadline:
        return None
    return Step(Next.FAIL, error=_extend(error, f"its time is over: `limits: {{deadline: {limits.deadline:g}}}`"))


def describe_duration(seconds: float) -> str:
    """A time span as people write it, rounded up: ``90 s``, ``15 min``, ``24 h``."""
    if seconds == float("inf"):
        return "for ever"
    for unit, size in (("h", 3600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{-int(-seconds // size):,} {unit}"
    return f"{seconds:.0f} s"


def _extend(error: BackendError, text: str) -> BackendError:
    return BackendError(error.cause, f"{error.message}; {text}", where=error.where, hint=error.hint)
