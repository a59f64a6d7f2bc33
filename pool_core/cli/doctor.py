"""``pool plugins doctor``: how the installed plugins fare, each in a process of its own."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import typer

import pool_core
from pool_core.cli.options import BlockOption, JsonOption, PluginsOption, make_console, print_json

if TYPE_CHECKING:
    from pool_core.doctor.examination import Examination
    from pool_core.interfaces.values import Finding

__all__ = ["doctor"]


def doctor(json: JsonOption = False, plugins: PluginsOption = None, block: BlockOption = None) -> None:
    """Examine every plugin in a process of its own: does it load, what does it cost, what does it lack?

    Exit code 3 where a plugin cannot be used.
    """
    from pool_core.doctor.diagnosis import diagnose
    from pool_core.doctor.examination import examine_plugins
    from pool_core.registry import Selection

    chosen = os.environ.get("POOL_PLUGINS") if plugins is None else plugins
    examinations = examine_plugins(Selection.parse(chosen, block or ()))
    findings = diagnose(examinations)
    well = all(finding.level != "error" for finding in findings)
    if json:
        print_json(_describe(examinations, findings, well=well))
    else:
        _print(examinations, findings)
    raise typer.Exit(0 if well else 3)


def _describe(examinations: Sequence[Examination], findings: Sequence[Finding], *, well: bool) -> dict[str, Any]:
    """The examinations as plain values. ``version`` is that of this form."""
    from pool_core.api import PLUGIN_API

    return {
        "version": 1,
        "well": well,
        "core": {"version": pool_core.__version__, "api": PLUGIN_API, "python": platform.python_version()},
        "plugins": [_describe_plugin(seen) for seen in examinations],
        "findings": [
            {name: getattr(finding, name) for name in ("level", "rule", "source", "message", "hint")}
            for finding in findings
        ],
    }


def _describe_plugin(seen: Examination) -> dict[str, Any]:
    record = seen.plugin.record
    return {
        "name": record.name,
        "state": seen.plugin.state,
        "reason": seen.plugin.reason,
        "distribution": record.distribution,
        "version": record.version,
        "editable": record.editable,
        "api": record.api_major,
        "requires_core": record.requires_core,
        "import_seconds": seen.seconds,
        "heavy": list(seen.heavy),
        "hooks": list(seen.plugin.hooks),
        "offers": [
            {
                "kind": offer.kind,
                "name": offer.name,
                "missing": list(offer.missing),
                "install": offer.install,
                "problem": offer.problem,
            }
            for offer in seen.offers
        ],
    }


def _print(examinations: Sequence[Examination], findings: Sequence[Finding]) -> None:
    from rich.table import Table
    from rich.text import Text

    from pool_core.report.drawing import print_table
    from pool_core.report.findings import print_finding
    from pool_core.report.lines import count, make_line

    console = make_console()
    if not examinations:
        console.print("no plugins are installed; the standard ones are pool-standard, pool-replay and pool-openai")
        return
    table = Table(header_style="bold")
    for name in ("plugin", "state", "distribution", "needs core", "import", "offers"):
        table.add_column(name)
    for seen in examinations:
        record = seen.plugin.record
        usable = sum(not offer.missing and not offer.problem for offer in seen.offers)
        table.add_row(
            Text(make_line(record.name)),
            Text(seen.plugin.state, "green" if seen.plugin.state == "active" else "red"),
            Text(make_line(f"{record}") + (" (editable)" if record.editable else "")),
            Text(record.requires_core or "-"),
            Text("-" if seen.seconds is None else f"{seen.seconds * 1000:.0f} ms"),
            Text(f"{usable} of {len(seen.offers)}" if usable != len(seen.offers) else f"{usable}"),
        )
    if not print_table(console, table):
        for seen in examinations:
            console.print(Text(make_line(f"{seen.plugin.record.name}: {seen.plugin.state}")))
    for finding in findings:
        print_finding(console, finding, about=finding.source)
    errors = sum(finding.level == "error" for finding in findings)
    console.print(f"{count(len(examinations), 'plugin')}, {count(errors, 'error')}")
