"""What the operators of templates do: each counts its work before it builds anything."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

from pool_core.templates._limits import (
    MAX_INT_BITS,
    STEP,
    SandboxError,
    foreign_error,
    null_error,
    spend,
    to_text,
    weigh,
)

_NUMBERS: Final = frozenset({int, float, bool})
_WHOLE: Final = frozenset({int, bool})
_SEQUENCES: Final = frozenset({str, list, tuple})
_PLAIN: Final = frozenset({str, int, float, bool, type(None), list, tuple, dict})

#: The binary operators that the sandbox takes over.
BINARY: Final = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.truediv,
    "//": operator.floordiv,
    "**": operator.pow,
    "%": operator.mod,
}

_COMPARISONS: Final[dict[str, Callable[[Any, Any], bool]]] = {
    "eq": operator.eq,
    "ne": operator.ne,
    "lt": operator.lt,
    "lteq": operator.le,
    "gt": operator.gt,
    "gteq": operator.ge,
}


def calculate(sign: str, left: Any, right: Any) -> Any:
    """Apply a binary operator to numbers, or ``+`` and ``*`` to text and lists.

    Raises:
        SandboxError: other operands, or a result that is too large.
    """
    kinds = (type(left), type(right))
    for value, kind in zip((left, right), kinds, strict=True):
        if kind not in _PLAIN:
            raise foreign_error(value)
    if kinds[0] in _NUMBERS and kinds[1] in _NUMBERS:
        if kinds[0] in _WHOLE and kinds[1] in _WHOLE:
            _check_bits(sign, left, right)
        return BINARY[sign](left, right)
    if sign == "+" and kinds[0] is kinds[1] and kinds[0] in _SEQUENCES:
        spend(_length_cost(left) + _length_cost(right))
        return left + right
    if sign == "*":
        for sequence, count in ((left, right), (right, left)):
            if type(sequence) in _SEQUENCES and type(count) in _WHOLE:
                spend(_length_cost(sequence) * max(count, 0))
                return sequence * count
    raise SandboxError(
        f"{sign!r} cannot be applied to {kinds[0].__name__} and {kinds[1].__name__}",
        "Text is put together with '~'." if str in kinds else "",
    )


def _check_bits(sign: str, left: int, right: int) -> None:
    bits = (left.bit_length(), right.bit_length())
    largest = max(bits)
    if sign == "*":
        largest = sum(bits)
    elif sign == "**" and right > 0:
        largest = max(bits[0] * right, bits[1])
    if largest > MAX_INT_BITS:
        raise SandboxError(f"a whole number of more than {MAX_INT_BITS} bits cannot be calculated with")


def _length_cost(sequence: Sequence[Any]) -> int:
    return len(sequence) if type(sequence) is str else STEP * len(sequence)


def compare(values: Sequence[Any], *signs: str) -> bool:
    """Chain comparisons as ``a < b <= c`` does, over values that are all evaluated already."""
    return all(_compare(sign, values[index], values[index + 1]) for index, sign in enumerate(signs))


def _compare(sign: str, left: Any, right: Any) -> bool:
    if sign in ("in", "notin"):
        return contains(right, left) == (sign == "in")
    kinds = (type(left), type(right))
    if sign in ("eq", "ne") and _differ_by_type(*kinds):
        return sign == "ne"
    weigh(left, right)
    return _COMPARISONS[sign](left, right)


def _differ_by_type(left: type, right: type) -> bool:
    """Whether plain values of these types are never equal, however large: they need no looking at."""
    if left not in _PLAIN or right not in _PLAIN:
        return False
    return left is not right and not (left in _NUMBERS and right in _NUMBERS)


def contains(container: Any, item: Any) -> bool:
    """Say whether ``item`` is a part of a text, an element of a list or a key of a mapping."""
    kind = type(container)
    if kind is dict:
        return expect_key(item) in container
    weigh(container, item)
    if kind not in _SEQUENCES or (kind is str and type(item) is not str):
        raise SandboxError(f"'in' cannot be applied to {type(item).__name__} and {kind.__name__}")
    return item in container


def expect_key(key: Any) -> str:
    """Pass a mapping's key on, which has to be text."""
    if type(key) is str:
        return key
    if type(key) not in _PLAIN:
        raise foreign_error(key)
    raise SandboxError(f"a mapping's key has to be text and not {type(key).__name__}")


def show(value: Any, name: str) -> Any:
    """Pass on what an output shows. Raises `SandboxError` with the name of a value that is null."""
    if value is None:
        raise null_error(name)
    return value


def join_texts(values: Sequence[Any]) -> str:
    """Put values together as text: the operator ``~``."""
    return join_buffer([to_text(value) for value in values])


def join_buffer(texts: Sequence[str]) -> str:
    """Join the pieces of a block that is kept as one text."""
    spend(sum(map(len, texts)))
    return "".join(texts)


def take_slice(value: Any, start: Any, stop: Any, step: Any) -> Any:
    """Take ``value[start:stop:step]`` of a text or list."""
    if type(value) not in _SEQUENCES:
        if type(value) not in _PLAIN:
            raise foreign_error(value)
        raise SandboxError(f"a part of {type(value).__name__} cannot be taken with [:]")
    weigh(start, stop, step)
    spend(_length_cost(value))
    return value[start:stop:step]


class Counted:
    """The items of a loop; each one that is taken is work."""

    __slots__ = ("cost", "items")

    def __init__(self, items: Sequence[Any] | dict[str, Any], weight: int) -> None:
        self.items = items
        self.cost = STEP * weight

    def __len__(self) -> int:
        return len(self.items)

    def __iter__(self) -> Iterator[Any]:
        for item in self.items:
            spend(self.cost)
            yield item


def iterate(value: Any, weight: int) -> Counted:
    """Make what a ``for`` loops over. ``weight`` is the number of nodes that one round executes."""
    if type(value) not in _SEQUENCES and type(value) is not dict:
        if type(value) not in _PLAIN:
            raise foreign_error(value)
        raise SandboxError(f"{type(value).__name__} cannot be looped over")
    return Counted(value, weight)


#: By the names that `_rewrite` calls them by; with a space, no source can.
OPERATIONS: Final[dict[str, Callable[..., Any]]] = {
    "do compare": compare,
    "do join": join_texts,
    "do slice": take_slice,
    "do iterate": iterate,
    "do key": expect_key,
    "do show": show,
}
