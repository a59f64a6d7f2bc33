"""What backends that load a model have in common: where the model is, what it is asked, and what it is not."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path, PurePath
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, ValidationInfo

from pool_core.errors import BackendError
from pool_core.interfaces.config import PluginConfig
from pool_core.interfaces.values import Cause, Message

__all__ = ["HubModelConfig", "make_turns", "refuse_unknown"]


def _resolve_folder(model: str, info: ValidationInfo) -> str:
    """A folder that is there, relative to the recipe's, is meant before a name on the Hub."""
    folder = Path((info.context or {}).get("folder") or "") / model
    return str(folder.absolute()) if folder.is_dir() else model


class HubModelConfig(PluginConfig):
    """Base of the configurations of engines that load what the Hugging Face Hub has."""

    model: Annotated[str, AfterValidator(_resolve_folder)] = Field(
        min_length=1, description="Folder of the model, relative to the recipe, or its name on the Hugging Face Hub."
    )
    name: str | None = Field(None, description="Name of the model in outputs; by default the last part of `model`.")
    revision: str | None = Field(None, description="Branch, tag or commit on the Hub.")
    takes: Literal["chat", "text"] = Field(
        "chat", description="`chat` writes messages with the model's own chat template, `text` takes one text."
    )
    dtype: Literal["auto", "float32", "float16", "bfloat16"] = Field(
        "auto", description="Type of the weights; `auto` is the engine's choice, as a rule that of the file."
    )
    max_tokens: int = Field(512, ge=1, description="Most tokens of an answer where `sampling` does not say.")

    @property
    def known_as(self) -> str:
        """What the model is called in outputs."""
        return self.name or PurePath(self.model).name


def refuse_unknown(sampling: Iterable[str], known: Collection[str], engine: str) -> None:
    """Raise `BackendError` where a sampling parameter is not among those that ``engine`` honours."""
    unknown = sorted(set(sampling).difference(known))
    if unknown:
        raise BackendError(
            Cause.BAD_REQUEST,
            f"{engine} is not given {', '.join(unknown)}",
            stops_member=True,
            hint=f"it knows {', '.join(sorted(known))}",
        )


def make_turns(messages: Iterable[Message]) -> list[dict[str, str]]:
    """Messages as chat templates take them. Raises `BackendError` where a part is no text."""
    return [{"role": message.role, "content": _join_parts(message.content)} for message in messages]


def _join_parts(content: str | Sequence[Mapping[str, Any]]) -> str:
    if isinstance(content, str):
        return content
    kinds = {str(part.get("type")) for part in content} - {"text"}
    if kinds:
        raise BackendError(Cause.BAD_REQUEST, f"this backend takes text, and a message has {', '.join(sorted(kinds))}")
    return "".join(str(part.get("text", "")) for part in content)
