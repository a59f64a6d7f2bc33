"""pool-core: run several LLMs over the same rows, each with its own task, and merge what they say."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pool_core.errors import PoolError
    from pool_core.pool import Pool, Result, run_recipe
    from pool_core.recipe.models import Member, Recipe
    from pool_core.registry import Registry

__all__ = ["Member", "Pool", "PoolError", "Recipe", "Registry", "Result", "__version__", "run_recipe"]

__version__ = "0.1.0"

_MODULES = {
    "Member": "pool_core.recipe.models",
    "Pool": "pool_core.pool",
    "PoolError": "pool_core.errors",
    "Recipe": "pool_core.recipe.models",
    "Registry": "pool_core.registry",
    "Result": "pool_core.pool",
    "run_recipe": "pool_core.pool",
}


def __getattr__(name: str) -> Any:
    """Import a public name on first use, so that importing a part does not pay for the whole."""
    if name in _MODULES:
        return getattr(import_module(_MODULES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
