"""Errors of requests."""


class VLLMError(Exception):
    """Base."""


class VLLMClientError(VLLMError):
    """The request is wrong."""


class VLLMServerError(VLLMError):
    """The engine failed."""


class GenerationError(VLLMServerError):
    """A request failed in the engine."""


class GracefulHTTPError(VLLMError):
    """Not now."""
