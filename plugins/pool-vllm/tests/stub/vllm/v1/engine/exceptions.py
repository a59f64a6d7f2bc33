"""Errors of the engine."""

from vllm.exceptions import VLLMServerError


class EngineGenerateError(VLLMServerError):
    """Recoverable."""


class EngineDeadError(VLLMServerError):
    """Unrecoverable."""
