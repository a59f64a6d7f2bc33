"""Makes pydantic's first model, for what pydantic does then. Imported by the modules that make models.

At its first model pydantic loads plugins of its own, by the entry points of everything that is installed. One
``entry_points.txt`` that cannot be read, of whatever package, ends that with an error, and with it every command. At
the next model pydantic goes on without plugins of its own: so the first one is made here, and the error is a warning.
"""

from __future__ import annotations

import warnings

from pydantic import create_model

from pool_core.watchdog import describe_error

__all__: list[str] = []


def _make_first_model() -> None:
    try:
        create_model("First")
    except Exception as error:  # noqa: BLE001 - whatever a text file of anybody holds
        warnings.warn(
            f"pydantic goes on without plugins of its own: the entry points of what is installed cannot be read "
            f"({describe_error(error)}). `pool plugins list` names the package where it is a plugin of the pool; "
            "reinstall it",
            RuntimeWarning,
            stacklevel=2,
        )


_make_first_model()
