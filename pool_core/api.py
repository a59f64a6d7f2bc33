"""Everything that a plugin's entry module may import.

The entry module of a plugin is imported by every command that lists or uses plugins. It must
stay cheap, so this module imports the standard library and pluggy, and nothing else::

    from pool_core.api import Contribution, hookimpl

    @hookimpl
    def pool_tasks():
        yield Contribution("haiku", factory="pool_task_haiku.task:Haiku", summary="Writes a haiku.")

The class that ``factory`` names is imported when a recipe first uses it.
"""

from __future__ import annotations

from dataclasses import dataclass

import pluggy

__all__ = ["ENTRY_POINT_GROUP", "PLUGIN_API", "Contribution", "hookimpl"]

#: Major version of the plugin API. It is part of the entry-point group's name, so that a plugin
#: made for another major is recognised without being imported.
PLUGIN_API = 1

#: The entry-point group that plugins register their entry module in.
ENTRY_POINT_GROUP = f"pool_core.plugins.v{PLUGIN_API}"

#: Marks a function of an entry module as the implementation of a hook of :mod:`pool_core.hookspecs`.
hookimpl = pluggy.HookimplMarker("pool_core")


@dataclass(frozen=True, slots=True)
class Contribution:
    """One named thing that a plugin offers: a task, a backend, a policy, a reader and so on.

    The hook that returns it says which of these it is.
    """

    #: Short name, as recipes write it after ``use:``. The qualified name is ``plugin/name``.
    name: str
    #: Where the class is: ``"package.module:Class"``. Imported on first use.
    factory: str
    #: One line for ``pool plugins list``.
    summary: str = ""
    #: For readers and writers: the file name endings they answer for, such as ``".jsonl"``.
    suffixes: tuple[str, ...] = ()
    #: Modules that the factory imports and that the plugin does not itself depend on.
    needs: tuple[str, ...] = ()
    #: What to pip-install when one of ``needs`` is missing, such as ``"pool-standard[parquet]"``.
    install: str = ""
