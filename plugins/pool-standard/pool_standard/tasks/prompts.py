"""What the standard tasks share: functions, so that no task is another one's kind."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pool_core.errors import ParseError
from pool_core.interfaces.paths import InputPath
from pool_core.interfaces.values import Answer, Cause
from pool_core.templates import Template


def compile_system_prompt(source: str | None) -> Template | None:
    """Compile the template of a system prompt, where there is one."""
    return None if source is None else Template(source, where="system_prompt")


def render_system_prompt(template: Template | None, values: Mapping[str, Any]) -> str | None:
    """Render the system prompt, where there is one."""
    return None if template is None else template.render(values)


def list_names(*templates: Template | None) -> tuple[str, ...]:
    """The variables that any of the templates takes, sorted."""
    return tuple(sorted({name for template in templates if template is not None for name in template.names}))


def list_paths(**templates: Template | None) -> dict[str, Sequence[InputPath]]:
    """The places inside columns that each template needs, by the key of the configuration that it stands under."""
    return {key: template.paths for key, template in templates.items() if template is not None}


def take_text(answer: Answer) -> str:
    """Give the answer's text as it is.

    Raises:
        ParseError: the answer has no text.
    """
    if answer.text is None:
        raise ParseError(
            "the answer has no text",
            cause=Cause.EMPTY,
            hint="A model that calls tools, or only reasons before the token limit, gives none.",
        )
    return answer.text
