"""The conformance class of the task that needs ``pool-standard[structured]``."""

from __future__ import annotations

from pool_core.testing import Supports, TaskConformance, TaskExample

__all__ = ["TestStructuredGeneration"]

_ROW = {"instruction": "Rate it.", "source": "exam"}
_SCHEMA = {
    "type": "object",
    "properties": {"score": {"type": "integer", "maximum": 10}, "why": {"type": "string"}},
    "required": ["score"],
}
_CONFIG = {"json_schema": _SCHEMA}


class TestStructuredGeneration(TaskConformance):
    """Gives the properties of a schema."""

    use = "standard/structured-generation"
    config = _CONFIG
    supports = Supports(unreadable=True, truncated=False, schema=True)
    examples = (
        TaskExample(_ROW, '{"score": 7, "why": null}', {"score": 7, "why": None}),
        TaskExample(_ROW, "Sure: {'score': 7, 'why': 'so',}", {"score": 7, "why": "so"}),
        TaskExample(_ROW, '{"score": 11}', None),
        TaskExample(_ROW, "I would not.", None, {"system_prompt": "{{ source }}"}),
        TaskExample(_ROW, "{'score': 7}", None, {"repair": False}),
    )
