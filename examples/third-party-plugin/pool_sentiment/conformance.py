"""The plugin's examples: what ``python -m pool_core.testing sentiment`` holds it to, and its tests."""

from __future__ import annotations

from pool_core.testing import PolicyConformance, Supports, TaskConformance, TaskExample, make_signature

__all__ = ["TestOddNumber", "TestSentiment"]

_A, _B = make_signature("a", {"label": "str"}), make_signature("b", {"label": "str"})


class TestSentiment(TaskConformance):
    use = "sentiment/sentiment"
    supports = Supports(unreadable=True, truncated=False, schema=False)
    examples = (
        TaskExample({"text": "Fine weather."}, "It is Positive.", {"label": "positive"}),
        TaskExample({"text": "Fine weather."}, "Good or bad?", None),
    )


class TestOddNumber(PolicyConformance):
    use = "sentiment/odd-number"
    supports = Supports(fixes=False)
    accepts = ([_A],)
    refuses = ([_A, _B], [])
