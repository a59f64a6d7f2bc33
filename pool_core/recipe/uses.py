"""Plugins' contributions by name, as they may stand in a recipe: ``{use: name, ...}``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, WrapValidator

from pool_core.interfaces.isolation import Placement
from pool_core.interfaces.policy import expand_combination

__all__ = ["BackendField", "PolicyField", "Use", "UseBackend", "UseField"]


class Use(BaseModel):
    """A plugin's contribution by name, with its configuration beside: ``{use: name, ...}``.

    From Python it may also stand for an object that is ready: a task, a backend, a policy.
    """

    model_config = ConfigDict(frozen=True, extra="allow")

    use: str = Field(description="Name of the task, backend, policy or prompt format.")
    _instance: Any = PrivateAttr(default=None)

    @property
    def options(self) -> dict[str, Any]:
        """The configuration that stands beside ``use``."""
        return dict(self.model_extra or {})

    @property
    def instance(self) -> Any:
        """The ready object, None where a name is given."""
        return self._instance


class UseBackend(Placement, Use):
    """A backend by name: ``{use: name, isolate: ..., device: ..., ...}``. The other keys are its own configuration."""


def _read_use(value: Any, handler: Callable[[Any], Use], model: type[Use] = Use) -> Use:
    """Accept ``name``, ``{use: name, ...}``, and from Python a ready object."""
    if isinstance(value, model):
        return value
    if isinstance(value, str):
        return handler({"use": value})
    if isinstance(value, Mapping) or value is None or isinstance(value, int | float | list):
        return handler(value)
    use = model(use=getattr(value, "__name__", type(value).__name__))
    use._instance = value  # noqa: SLF001 - a private attribute of this very model
    return use


UseField = Annotated[Use, WrapValidator(_read_use)]


def _read_backend(value: Any, handler: Callable[[Any], UseBackend]) -> Use:
    if isinstance(value, Use) and not isinstance(value, UseBackend):  # from Python
        value = {"use": value.use, **value.options} if value.instance is None else value.instance
    return _read_use(value, handler, UseBackend)


BackendField = Annotated[UseBackend, WrapValidator(_read_backend)]


def _read_policy(value: Any, handler: Callable[[Any], Use]) -> Use:
    """Accept ``any_of: [...]`` and ``all: [...]`` where ``use`` with ``policies`` is meant."""
    return _read_use(expand_combination(value), handler)


PolicyField = Annotated[Use, WrapValidator(_read_policy)]
