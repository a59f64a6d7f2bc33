"""What is sent: prompts become the bodies of requests. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pool_anthropic.config import AnthropicConfig
from pool_anthropic.schemas import can_constrain, simplify_schema
from pool_core.http.body import add_parameters, encode_body, refuse
from pool_core.interfaces.structured import describe_schema
from pool_core.interfaces.values import Message, Prompt

__all__ = ["encode_request"]

#: Sampling parameters that the API has under another name.
_NAMES = {"stop": "stop_sequences"}
#: Those of a recipe that it does not have.
_UNKNOWN = frozenset({"frequency_penalty", "min_p", "presence_penalty"})
_INSTRUCTING = ("system", "developer")
_DATA_URL = re.compile(r"data:(?P<type>[\w.+-]+/[\w.+-]+);base64,(?P<data>.*)", re.DOTALL)


def encode_request(config: AnthropicConfig, prompt: Prompt, sampling: Mapping[str, Any]) -> bytes:
    """The body of a request: model, system prompt, messages, parameters in the order of their names, ``extra``.

    ``sampling`` may hold a mapping ``extra`` of parameters of the API. Those that are None or empty lists are not sent.

    Raises:
        BackendError: the prompt is one text, or a parameter cannot be sent.
    """
    if prompt.text is not None:
        refuse("the prompt is one text, and the Messages API takes messages", "remove prompt_format")
    if prompt.schema is not None and not can_constrain(prompt.schema):
        prompt = describe_schema(prompt)
    instructing, turns = _split_system(prompt.messages)
    body: dict[str, Any] = {"model": config.model}
    if instructing:
        body["system"] = _join_system(instructing)
    body["messages"] = [{"role": turn.role, "content": _convert_content(turn.content)} for turn in turns]
    for name in sorted(_UNKNOWN & sampling.keys()):
        if sampling[name] is not None:
            refuse(f"the Messages API has no parameter {name}", f"remove {name} from the member's sampling")
    parameters = {_NAMES.get(name, name): value for name, value in sampling.items() if name != "extra"}
    add_parameters(body, {"max_tokens": config.max_tokens} | parameters, "sampling")
    add_parameters(body, sampling.get("extra") or {}, "extra of sampling")
    if prompt.schema is not None:
        schema = {"type": "json_schema", "schema": simplify_schema(prompt.schema)}
        add_parameters(body, {"output_config": {"format": schema}}, "the task's schema")
    extra = dict(config.extra)
    if isinstance(extra.get("output_config"), dict) and "output_config" in body:
        body["output_config"] = extra.pop("output_config") | body["output_config"]  # an effort goes with a schema
    add_parameters(body, extra, "extra")
    return encode_body(body)


def _split_system(messages: Sequence[Message]) -> tuple[Sequence[Message], Sequence[Message]]:
    """The system messages at the front, which the API takes apart from the turns, and the turns."""
    count = next((n for n, message in enumerate(messages) if message.role not in _INSTRUCTING), len(messages))
    turns = messages[count:]
    for turn in turns:
        if turn.role not in ("user", "assistant"):
            refuse(
                f"a message of the role {turn.role} stands among the turns, where the Messages API takes none",
                "only user and assistant may follow the system prompt",
            )
    if not turns:
        refuse("the prompt has no user message", "a system prompt alone is no question")
    return messages[:count], turns


def _join_system(messages: Iterable[Message]) -> Any:
    """One text where all of them are text, else a list of blocks."""
    contents = [message.content for message in messages]
    texts = [content for content in contents if isinstance(content, str)]
    if len(texts) == len(contents):
        return "\n\n".join(texts)
    blocks: list[Any] = []
    for content in contents:
        blocks += [{"type": "text", "text": content}] if isinstance(content, str) else _convert_content(content)
    return blocks


def _convert_content(content: str | Sequence[Mapping[str, Any]]) -> Any:
    if isinstance(content, str):
        return content
    return [_convert_image(part) if part.get("type") == "image_url" else dict(part) for part in content]


def _convert_image(part: Mapping[str, Any]) -> dict[str, Any]:
    """An image as OpenAI's API has it, as a block of this one."""
    image = part.get("image_url")
    url = image.get("url") if isinstance(image, Mapping) else image
    if not isinstance(url, str):
        refuse("an image_url part has no url", "write it as {type: image_url, image_url: {url: ...}}")
    found = _DATA_URL.fullmatch(url)
    if found is None:
        return {"type": "image", "source": {"type": "url", "url": url}}
    return {"type": "image", "source": {"type": "base64", "media_type": found["type"], "data": found["data"]}}
