"""Data that cannot be changed, for foreign eyes: policies and hooks see what the plan itself rests on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NoReturn

from pydantic import BaseModel

__all__ = ["FrozenDict", "FrozenList", "freeze"]


def _refuse(self: object, *_args: object, **_options: object) -> NoReturn:
    raise TypeError(f"this is read-only; change a copy: {type(self).__base__.__name__}(...)")  # type: ignore[union-attr]


class FrozenDict(dict[Any, Any]):
    """A dict that refuses changes. Whatever reads dicts reads it; a copy of it is an ordinary dict."""

    __slots__ = ()
    __setitem__ = __delitem__ = __ior__ = clear = pop = popitem = setdefault = update = _refuse

    def __reduce__(self) -> tuple[Any, ...]:
        return dict, (dict(self),)


class FrozenList(list[Any]):
    """A list that refuses changes. Whatever reads lists reads it; a copy of it is an ordinary list."""

    __slots__ = ()
    __setitem__ = __delitem__ = __iadd__ = __imul__ = append = clear = extend = insert = _refuse
    pop = remove = reverse = sort = _refuse

    def __reduce__(self) -> tuple[Any, ...]:
        return list, (list(self),)


def freeze(value: Any) -> Any:
    """``value`` with all mappings, lists, sets and models in it read-only. Other objects stay what they are."""
    match value:
        case FrozenDict() | FrozenList():
            return value
        case Mapping():
            return FrozenDict({name: freeze(item) for name, item in value.items()})
        case list():
            return FrozenList(map(freeze, value))
        case tuple() if type(value) is tuple:
            return tuple(map(freeze, value))
        case set():
            return frozenset(value)
        case BaseModel():
            return _freeze_model(value)
        case _:
            return value


def _freeze_model(model: BaseModel) -> BaseModel:
    """A copy with frozen contents. What stands in its private attributes, such as a ready object, is shared."""
    copied = model.model_copy()
    object.__setattr__(copied, "__dict__", {name: freeze(value) for name, value in model.__dict__.items()})
    if model.__pydantic_extra__ is not None:
        object.__setattr__(copied, "__pydantic_extra__", freeze(model.__pydantic_extra__))
    return copied
