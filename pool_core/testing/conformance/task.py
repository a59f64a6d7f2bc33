"""The checks of a task: prompts that are pure, and a parser that is total."""

from __future__ import annotations

from pool_core.testing.conformance.task_answers import AnswerChecks
from pool_core.testing.conformance.task_prompts import PromptChecks

__all__ = ["TaskConformance"]


class TaskConformance(PromptChecks, AnswerChecks):
    """A task that is what `Task` promises.

    ::

        class TestSentiment(TaskConformance):
            use = "sentiment/sentiment"
            supports = Supports(unreadable=True, truncated=False, schema=False)
            examples = [
                TaskExample({"text": "Fine."}, "Positive.", {"label": "positive"}),
                TaskExample({"text": "Fine."}, "Good or bad?", None),
            ]
    """
