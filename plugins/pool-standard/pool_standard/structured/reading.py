"""Finding the JSON object in an answer, as forgiving as can be without guessing what was meant. Pure.

Tried in this order: the whole text, a fenced block, the first object within prose, and that object after
repair. What is found is held against the schema in any case.
"""

from __future__ import annotations

import json
import math
import re
from typing import Any, NoReturn

from pool_core.errors import ParseError
from pool_standard.code_blocks import extract_code

__all__ = ["read_object"]

#: Braces in prose that are tried as the beginning of an object.
_MOST_TRIES = 50
#: What is mended has no more characters, and no more open brackets: beyond, mending takes seconds or worse.
_LONGEST_MENDED, _DEEPEST_MENDED = 50_000, 50
_BRACKET = re.compile(r"[{}\[\]]")
#: What ends the thoughts that some models write before their answer.
_THOUGHTS_END = "</think>"


def read_object(text: str, *, repair: bool = True) -> dict[str, Any]:
    """The JSON object in ``text``.

    Args:
        repair: mend what is nearly JSON: quotes, commas and brackets that are wrong or missing.

    Raises:
        ParseError: there is none.
    """
    found = _decode(text.strip())
    if found is not None:  # whatever stands in its strings
        return found
    text = text.rpartition(_THOUGHTS_END)[2].strip()
    block = extract_code(text, "json", "first")
    for candidate in (text, block):
        found = None if candidate is None else _decode(candidate.strip())
        if found is not None:
            return found
    for candidate in (block, text):
        if candidate is not None and (found := _search(candidate)) is not None:
            return found
    if repair and (found := _repair(text if block is None else block)) is not None:
        return found
    raise ParseError(
        "the answer has no JSON object",
        hint="`reask: {times: 2}` asks again and shows the schema; see what the backend says of JSON Schema.",
    )


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")


def _read_float(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text} is beyond all numbers")
    return value


_DECODER = json.JSONDecoder(parse_constant=_refuse_constant, parse_float=_read_float)


def _decode(text: str) -> dict[str, Any] | None:
    try:
        found = _DECODER.decode(text)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _search(text: str) -> dict[str, Any] | None:
    """The first object within other text."""
    start = -1
    for _ in range(_MOST_TRIES):
        start = text.find("{", start + 1)
        if start < 0:
            return None
        try:
            found, _ = _DECODER.raw_decode(text, start)
        except (ValueError, RecursionError):
            continue
        if isinstance(found, dict) and found:
            return found
    return None


def _measure_depth(text: str) -> int:
    """How many brackets are open at once, at most; those within strings count as well."""
    depth = deepest = 0
    for bracket in _BRACKET.findall(text):
        depth += 1 if bracket in "{[" else -1
        deepest = max(deepest, depth)
    return deepest


def _repair(text: str) -> dict[str, Any] | None:
    from json_repair import loads  # noqa: PLC0415 - optional, and most answers need no repair

    start = text.find("{")
    if start < 0 or len(text) > _LONGEST_MENDED or _measure_depth(text) > _DEEPEST_MENDED:
        return None
    try:
        found = loads(text[start:], skip_json_loads=True)
        plain = json.dumps(found, allow_nan=False)
    except (ValueError, TypeError, RecursionError):
        return None
    return found if isinstance(found, dict) and found and plain else None
