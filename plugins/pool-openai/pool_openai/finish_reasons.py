"""Why a model stopped: the words of servers, and what they mean."""

from __future__ import annotations

__all__ = ["FINISH_REASONS"]

#: Why a model stopped, in the words of servers, as OpenAI's; in lower case. A word that is not here is kept.
FINISH_REASONS = {
    "content_filter": "content_filter",
    "end_turn": "stop",
    "eos": "stop",
    "eos_token": "stop",
    "function_call": "tool_calls",
    "length": "length",
    "max_tokens": "length",
    "model_length": "length",
    "prohibited_content": "content_filter",
    "safety": "content_filter",
    "stop": "stop",
    "stop_sequence": "stop",
    "tool_calls": "tool_calls",
}
