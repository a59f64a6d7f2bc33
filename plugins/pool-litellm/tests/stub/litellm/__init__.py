"""What pool-litellm uses of LiteLLM, by the same names. Answers are made up: an echo that heeds what it is sent."""

from __future__ import annotations

import asyncio
import json


class APIError(Exception):
    """The base of most of LiteLLM's, with the status and what the provider said."""

    status_code = 500

    def __init__(self, message="It failed.", body=None):
        super().__init__(message)
        self.message = message
        self.body = body


class InternalServerError(APIError):
    pass


class ServiceUnavailableError(APIError):
    status_code = 503


class AuthenticationError(APIError):
    status_code = 401


class NotFoundError(APIError):
    status_code = 404


class RateLimitError(APIError):
    status_code = 429


class ContextWindowExceededError(APIError):
    status_code = 400


class Timeout(APIError):  # noqa: N818 - LiteLLM's name
    status_code = 408


#: What a prompt that fails raises.
FAILING = {
    "fails": InternalServerError,
    "full": ServiceUnavailableError,
    "locked": AuthenticationError,
    "gone": NotFoundError,
    "too many": RateLimitError,
    "too long": ContextWindowExceededError,
}


class ModelResponse:
    def __init__(self, values):
        self._values = values

    def model_dump(self, mode):
        assert mode == "json"
        return self._values


async def acompletion(
    *,
    model,
    messages,
    timeout,  # noqa: ASYNC109 - LiteLLM's name
    num_retries,
    max_retries,
    stop=(),
    response_format=None,
    temperature=None,
    max_tokens=None,
    seed=None,
    stub_seconds=0.0,
):
    """The last message, said again; or what `FAILING` says. ``stub_seconds`` makes it slow."""
    assert (num_retries, max_retries) == (0, 0)
    try:
        async with asyncio.timeout(timeout):
            await asyncio.sleep(stub_seconds)
    except TimeoutError:
        raise Timeout(f"Request timed out after {timeout} seconds.") from None
    asked = messages[-1]["content"]
    if asked in FAILING:
        raise FAILING[asked]
    text = f"This is what was asked: {asked}"
    if response_format is not None:
        text = json.dumps(dict.fromkeys(response_format["json_schema"]["schema"]["required"], "x"))
    for word in stop:
        text = text.partition(word)[0]
    choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": text}}
    usage = {"prompt_tokens": len(asked.split()), "completion_tokens": len(text.split())}
    return ModelResponse({"id": "stub", "model": model, "choices": [choice], "usage": usage})
