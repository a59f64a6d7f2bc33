"""A custom compatibility check: the longest prompt and the answer have to fit the model's window.

It counts four characters as one token, which is near enough to find rows that are far too long.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from pool_core.api import hookimpl

if TYPE_CHECKING:
    from pool_core.interfaces.values import Finding, Prompt, Row
    from pool_core.plan.model import BackendPlan, Plan, PlannedMember

#: Tokens of prompt and answer together, by model. Other models are not checked.
WINDOWS = {
    "llama-2-7b-chat": 4_096,
    "magicoder-s-ds-6.7b": 16_384,
    "notus-7b-v1": 32_768,
}
CHARACTERS_PER_TOKEN = 4
#: From this part of the window on an estimate may be wrong.
CLOSE = 0.9


@hookimpl
def pool_check_compatibility(plan: Plan) -> Iterator[Finding]:
    """An error where the longest prompt of the first rows does not fit, a warning where it nearly fills the window."""
    for member in plan.members:
        windows = [WINDOWS[model] for model in find_models(member.backend) if model in WINDOWS]
        longest = find_longest_prompt(member, plan.sample)
        if windows and longest is not None:
            yield from check_window(member, *longest, min(windows))


def check_window(member: PlannedMember, number: int, tokens: int, window: int) -> Iterator[Finding]:
    """Compare the prompt of row ``number`` and the longest answer with the window."""
    from pool_core.interfaces.values import Finding  # noqa: PLC0415 - only paid when a plan is checked

    answer = member.sampling.get("max_tokens", 0)
    total = tokens + answer
    if total <= CLOSE * window:
        return
    words = f"about {tokens} tokens" + (f" and the answer up to {answer}" if answer else "")
    fits = total <= window
    yield Finding(
        "warning" if fits else "error",
        "context-close" if fits else "context-length",
        f"{member.name}'s prompt of row {number} has {words}; the model's window holds {window}",
        (member.name,),
        hint="lower `max_tokens`, leave long rows out, or use a model with a longer window",
        key="sampling" if answer else "backend",
    )


def find_longest_prompt(member: PlannedMember, rows: Sequence[Row]) -> tuple[int, int] | None:
    """The row with the longest prompt, counted from 1, and its tokens; None where no row yields a prompt."""
    from pool_core.errors import TemplateError  # noqa: PLC0415
    from pool_core.plan.cells import make_prompt  # noqa: PLC0415

    longest = None
    for number, row in enumerate(rows, start=1):
        try:
            tokens = -(-count_characters(make_prompt(member, row)) // CHARACTERS_PER_TOKEN)
        except TemplateError:
            continue  # the core's own finding `render` tells of it
        if longest is None or tokens > longest[1]:
            longest = (number, tokens)
    return longest


def count_characters(prompt: Prompt) -> int:
    """The characters of a prompt's text; images and other parts are not counted."""
    if prompt.text is not None:
        return len(prompt.text)
    count = 0
    for message in prompt.messages:
        parts = [{"text": message.content}] if isinstance(message.content, str) else message.content
        count += sum(len(str(part.get("text", ""))) for part in parts)
    return count


def find_models(backend: BackendPlan) -> set[str]:
    """The models that may answer: a backend's own, or those of the backends that it wraps."""
    config = backend.config if backend.instance is None else backend.instance.config
    model = getattr(config, "model", None)
    own = {model} if isinstance(model, str) else set()
    return own.union(*(find_models(inner) for inner in backend.inner.values()))
