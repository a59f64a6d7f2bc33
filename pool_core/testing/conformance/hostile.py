"""Text that nobody wants and everybody gets: for answers, for rows, for files."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st

from pool_core.interfaces.types import FieldType
from pool_core.interfaces.values import Answer

__all__ = ["ADVERSARIAL", "ANY_TEXT", "HOSTILE_TEXTS", "QUIET", "VALUES", "draw_value", "list_huge"]

#: The variable of the environment that code in an answer would set, were it run.
TRIPWIRE = "POOL_CONFORMANCE_RAN"

#: The same examples in every run; nothing is written down, and no example has a time limit of its own.
QUIET = settings(
    max_examples=60,
    derandomize=True,
    database=None,
    deadline=None,
    report_multiple_bugs=False,
    # what fails is told clipped; to look for a smaller example first can take minutes
    phases=(Phase.explicit, Phase.generate),
    suppress_health_check=list(HealthCheck),
)

#: Any text, half surrogate pairs and control characters included.
ANY_TEXT = st.text(st.characters(), max_size=200) | st.text(st.characters(categories=("Cs", "Cc", "Lu")), max_size=20)

#: Plain JSON values.
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False) | ANY_TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)

#: Text that gets the better of careless code. UTF-8 can hold all of it.
HOSTILE_TEXTS = (
    "",
    " ",
    "\n",
    "a\nb\r\nc\rd",
    "a,b;c\td",
    "\"quoted\" and 'quoted' and \\",
    "=1+1",
    "nul\0inside",
    "line\u2028and\u2029paragraph\u0085next",
    "\ufeffmark",
    "right \u202e left",
    "e\u0301 \U0001f468\u200d\U0001f469\u200d\U0001f467",
    "{{ 7 * 7 }} {% for x in y %}",
    "<script>alert(1)</script>",
    "'; DROP TABLE rows; --",
    "../../etc/passwd",
    "null",
    "NaN",
    "1e999",
    "true",
    "x" * 70_000,
)

_CODE = f"__import__('os').environ.__setitem__('{TRIPWIRE}', '1')"

#: Answers that are made to break a parser, or to be run by it.
ADVERSARIAL = (
    *HOSTILE_TEXTS[:-1],
    "{",
    "[" * 2_000,
    '{"a":' * 2_000,
    "(" * 2_000,
    '{"a": NaN, "b": Infinity, "c": 1e999}',
    '{"a": ' + "9" * 5_000 + "}",
    '{"a": 1, "a": 2}',
    "null",
    "[]",
    '"text"',
    "```",
    "```python\n",
    "```\n```\n```",
    "~~~~\n```\n~~~~",
    "<answer>",
    "</answer><answer>",
    "<!DOCTYPE x [<!ENTITY a 'b'>]><x>&a;</x>",
    "\x1b[31mred\x1b[0m \x07",
    "a" * 3_000 + "!",
    ("a b " * 800) + "\n" + ("| - " * 800),
    _CODE,
    f"```python\n{_CODE}\n```",
    f"!!python/object/apply:builtins.eval [{_CODE!r}]",
    f"{{{{ {_CODE} }}}}",
)


def list_huge(texts: list[str]) -> Iterator[str]:
    """Answers of several hundred thousand characters: letters, lines, markers, and the examples over and over."""
    size = 300_000
    for unit in ("a", "\n", " ", "a ", "```\n", "`", "*", "# \n", '{"', "[", '"\\', "<a>", "1.", "| ", "\t\n "):
        yield (unit * (size // len(unit) + 1))[:size]
    for text in texts:
        if text:
            yield (text * (size // len(text) + 1))[:size]


def list_without_text() -> list[Answer]:
    """Answers that have no text, or another reason than ``stop``."""
    call = {"id": "call-1", "type": "function", "function": {"name": "search", "arguments": "{}"}}
    return [
        Answer(None),
        Answer(None, "stop"),
        Answer("", "stop"),
        Answer(" \n\t ", "stop"),
        Answer(None, "tool_calls", tool_calls=[call]),
        Answer(None, "length", reasoning="I was thinking"),
        Answer("", "because"),
    ]


def list_refusals() -> list[Answer]:
    """Answers in which the model declines."""
    words = "I cannot help with that."
    return [
        Answer(None, "stop", refusal=words),
        Answer("", "content_filter", refusal=words),
        Answer(words, "stop"),
        Answer(words, "content_filter", refusal=words),
    ]


def draw_value(type_: FieldType) -> st.SearchStrategy[Any]:
    """Values of a type, hostile ones too; null where it may be."""
    found = _draw_plain(type_)
    return st.none() | found if type_.nullable else found


def _draw_plain(type_: FieldType) -> st.SearchStrategy[Any]:
    utf8 = st.text(st.characters(codec="utf-8"), max_size=40)
    match type_.kind:
        case "str":
            return st.sampled_from(HOSTILE_TEXTS[:-1]) | utf8
        case "int":
            return st.integers(-(2**63), 2**63 - 1)
        case "float":
            return st.floats(allow_nan=False, allow_infinity=False)
        case "bool":
            return st.booleans()
        case "literal":
            return st.sampled_from(type_.values)
        case "list" if type_.items is not None:
            return st.lists(draw_value(type_.items), max_size=4)
        case "struct":
            return st.fixed_dictionaries({name: draw_value(inner) for name, inner in type_.fields})
        case "map" if type_.items is not None:
            return st.dictionaries(utf8, draw_value(type_.items), max_size=4)
        case _:
            return VALUES
