"""The conformance classes of the tasks."""

from __future__ import annotations

from pool_core.interfaces.values import Answer
from pool_core.testing import Supports, TaskConformance, TaskExample

__all__ = ["TestChat", "TestCodeGeneration", "TestTextGeneration"]

_ROW = {"instruction": "Add two numbers.", "source": "exam"}
_TALK = {"messages": [{"role": "user", "content": "Hi."}], "tone": "kind"}
_CUT = {"accept_truncated": True}
_CODE = "Sure:\n```python\na + b\n```\nDone."


class TestTextGeneration(TaskConformance):
    use = "standard/text-generation"
    supports = Supports(unreadable=False, truncated=True, schema=False)
    examples = (
        TaskExample(_ROW, "Four.", {"generation": "Four."}),
        TaskExample(_ROW, Answer("Fo", "length"), {"generation": "Fo"}, _CUT),
        TaskExample(_ROW, " a\n", {"generation": " a\n"}, {"system_prompt": "{{ source }}"}),
    )


class TestChat(TaskConformance):
    use = "standard/chat"
    supports = Supports(unreadable=False, truncated=True, schema=False)
    examples = (
        TaskExample(_TALK, "Hello.", {"generation": "Hello."}),
        TaskExample(_TALK, Answer("Hel", "length"), {"generation": "Hel"}, _CUT),
        TaskExample(_TALK, "Hi", {"generation": "Hi"}, {"system_prompt": "Be {{ tone }}."}),
    )


class TestCodeGeneration(TaskConformance):
    use = "standard/code-generation"
    supports = Supports(unreadable=True, truncated=True, schema=False)
    examples = (
        TaskExample(_ROW, _CODE, {"code": "a + b"}),
        TaskExample(_ROW, _CODE, {"code": _CODE}, {"extract": "none"}),
        TaskExample(_ROW, _CODE, {"code": "a + b"}, {"extract": "all", "language": "c"}),
        TaskExample(_ROW, Answer("```python\na", "length"), {"code": "a"}, _CUT | {"extract": "longest"}),
        TaskExample(_ROW, "No.", None, {"without_block": "fail"}),
    )
