"""Which plugins there are, and which class a recipe's name stands for.

Three stages, each cheaper than the next: ``discovery`` reads metadata and imports nothing,
``admission`` decides which plugins may load, ``loading`` imports their entry modules, and
`Registry` looks names up and imports a factory on first use.
"""

from pool_core.registry.admission import Selection
from pool_core.registry.records import Entry, Kind, Plugin, Record
from pool_core.registry.registry import Registry

__all__ = ["Entry", "Kind", "Plugin", "Record", "Registry", "Selection"]
