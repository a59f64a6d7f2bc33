"""What a process that has nothing loaded learns of one plugin. Run as a program: a record in, JSON out.

The entry module is imported first, while only `pool_core.api` is there: so its time and its modules are its
own. Only then the registry is, which judges it.
"""

from __future__ import annotations

import json
import os
import sys
from contextlib import redirect_stdout
from importlib import import_module
from time import process_time
from typing import Any

import pool_core.api  # noqa: F401 - every entry module imports it: no plugin pays for it

__all__: list[str] = []

#: What an entry module may import beside the standard library and its own package.
_LIGHT = frozenset({"pluggy", "pool_core", "pool_core.api"})


def _measure_import(module: str) -> tuple[float, list[str]]:
    """The CPU seconds that an import takes, and the foreign packages that it brings. Failures are judged later."""
    before = set(sys.modules)
    started = process_time()
    try:
        import_module(module)
    except KeyboardInterrupt:
        raise
    except BaseException:  # noqa: BLE001, S110 - the registry imports it again and says what is wrong
        pass
    seconds = process_time() - started
    own = module.partition(".")[0]
    found = set()
    for name in set(sys.modules) - before - _LIGHT:
        package = name.partition(".")[0]
        if package == "pool_core":
            found.add(".".join(name.split(".")[:2]))
        elif package not in (own, "pluggy") and package not in sys.stdlib_module_names and package[:2] != "__":
            found.add(package)
    return seconds, sorted(found)


def _load(given: dict[str, Any]) -> dict[str, Any]:
    """How the registry judges the plugin, and whether the classes that it offers can be imported."""
    from pool_core.errors import PluginError  # noqa: PLC0415 - only after the measurement
    from pool_core.registry.loading import HookManager, list_missing, load_plugin  # noqa: PLC0415
    from pool_core.registry.records import Record  # noqa: PLC0415
    from pool_core.registry.registry import Registry  # noqa: PLC0415

    plugin = load_plugin(HookManager(), Record(**given))
    offers = []
    for entry in plugin.entries:
        contribution = entry.contribution
        problem = ""
        missing = list_missing(contribution)
        if not missing:
            try:
                Registry().load(entry)
            except PluginError as error:
                problem = error.message
        offers.append(
            {
                "kind": entry.kind,
                "name": entry.name,
                "suffixes": list(contribution.suffixes),
                "missing": missing,
                "install": contribution.install or " ".join(missing),
                "problem": problem,
            }
        )
    unmarked = _list_unmarked(given["module"]) if plugin.state == "active" else []
    return {
        "state": plugin.state,
        "reason": plugin.reason,
        "offers": offers,
        "hooks": list(plugin.hooks),
        "unmarked": unmarked,
    }


def _list_unmarked(entry_module: str) -> list[str]:
    """The functions that are named as hooks are and that nothing calls, since they are not marked."""
    from pool_core import hookspecs  # noqa: PLC0415 - only after the measurement

    module, _, attribute = entry_module.partition(":")
    plugin = getattr(sys.modules[module], attribute) if attribute else sys.modules[module]
    named = [name for name in dir(plugin) if name.startswith("pool_") and name in vars(hookspecs)]
    found = ((name, getattr(plugin, name)) for name in named)
    return [name for name, value in found if callable(value) and not hasattr(value, "pool_core_impl")]


def _main(record: str) -> None:
    given = json.loads(record)
    with os.fdopen(os.dup(1), "w", encoding="utf-8") as answer:
        os.dup2(2, 1)  # what a plugin prints, from C too, must not stand in the answer
        with redirect_stdout(sys.stderr):
            seconds, heavy = _measure_import(given["module"].partition(":")[0])
            found = _load(given)
        json.dump({"seconds": seconds, "heavy": heavy, **found}, answer)


if __name__ == "__main__":
    _main(sys.argv[1])
