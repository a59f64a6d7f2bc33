"""The text of what a plugin raised."""

from __future__ import annotations

__all__ = ["describe_error"]


def describe_error(error: BaseException) -> str:
    """The class and the text of an error. Making the text runs the plugin's code, so it may fail too."""
    name = type(error).__name__
    try:
        return f"{name}: {error}"
    except KeyboardInterrupt:
        raise
    except BaseException:  # noqa: BLE001 - whatever it is, the class says enough
        return f"{name}, whose text cannot be made"
