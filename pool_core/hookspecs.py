"""The hooks that a plugin's entry module may implement.

All hooks are ordinary functions (never ``async``) and all are optional. Contributing hooks return
`pool_core.api.Contribution` objects, which are names and import strings: nothing heavy is imported
until a recipe uses the name. An implementation takes as many of a hook's arguments as it needs.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import pluggy

if TYPE_CHECKING:
    from pool_core.api import Contribution
    from pool_core.engine.events import CellFinished, RunFinished, RunStarted
    from pool_core.interfaces.values import Finding
    from pool_core.plan.model import Plan

hookspec = pluggy.HookspecMarker("pool_core")


@hookspec
def pool_tasks() -> Iterable[Contribution]:  # type: ignore[empty-body]
    """Offer tasks: classes derived from `pool_core.interfaces.task.Task`."""


@hookspec
def pool_backends() -> Iterable[Contribution]:  # type: ignore[empty-body]
    """Offer backends: classes derived from `pool_core.interfaces.backend.Backend`."""


@hookspec
def pool_policies() -> Iterable[Contribution]:  # type: ignore[empty-body]
    """Offer policies: classes derived from `pool_core.interfaces.policy.Policy`.

    A policy acts when a recipe names it. A check that is to be always on is `pool_check_compatibility`.
    """


@hookspec
def pool_prompt_formats() -> Iterable[Contribution]:  # type: ignore[empty-body]
    """Offer prompt formats: classes derived from `pool_core.interfaces.prompt_format.PromptFormat`."""


@hookspec
def pool_readers() -> Iterable[Contribution]:  # type: ignore[empty-body]
    """Offer readers: classes derived from `pool_core.interfaces.data.Reader`, with their suffixes."""


@hookspec
def pool_writers() -> Iterable[Contribution]:  # type: ignore[empty-body]
    """Offer writers: classes derived from `pool_core.interfaces.data.Writer`, with their suffixes."""


@hookspec
def pool_conformance() -> Iterable[str]:  # type: ignore[empty-body]
    """Name the modules that have the plugin's conformance classes, such as ``pool_sentiment.conformance``.

    Nothing imports them but the check of an installed plugin, ``python -m pool_core.testing PLUGIN``.
    """


@hookspec
def pool_check_compatibility(plan: Plan) -> Iterable[Finding] | None:
    """Add findings to a plan: the custom compatibility check of every installed plugin.

    Called once for every plan, before anything is contacted. ``plan`` is read-only. An exception,
    and a result that is neither findings nor None, is a finding of level ``error`` that names the
    plugin, so a broken check never lets a plan pass. So is a check that takes longer than ten seconds.
    """


@hookspec
def pool_run_started(run: RunStarted) -> None:
    """A run starts or goes on. An exception is reported once and never stops the run."""


@hookspec
def pool_cell_finished(cell: CellFinished) -> None:
    """A cell ended. Called from the event loop: return quickly. Exceptions never stop the run.

    A plugin that takes longer than ten seconds is told nothing more in this run.
    """


@hookspec
def pool_run_finished(run: RunFinished) -> None:
    """A run ended, complete or not. An exception is reported and changes nothing."""
