"""``pool plugins``: what is installed, and how it stands."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from pool_core.cli import doctor
from pool_core.cli.options import BlockOption, JsonOption, PluginsOption, make_console, make_registry, print_json

if TYPE_CHECKING:
    from pool_core.registry import Plugin

__all__ = ["app"]

#: Exit codes of pytest.
FAILED_CHECKS = 1
NOTHING_TO_CHECK = 5

app = typer.Typer(no_args_is_help=True, help="What is installed, and how it stands.")
app.command("doctor")(doctor.doctor)


@app.command("list")
def list_plugins(json: JsonOption = False, plugins: PluginsOption = None, block: BlockOption = None) -> None:
    """List the plugins and what each offers. Imports entry modules and no implementation."""
    found = make_registry(plugins, block).plugins
    if json:
        print_json({"version": 1, "plugins": [_describe(plugin) for plugin in found]})
        return
    from rich.table import Table
    from rich.text import Text

    from pool_core.report.text import make_harmless

    console = make_console()
    if not found:
        console.print("no plugins are installed; the standard ones are pool-standard, pool-replay and pool-openai")
        return
    table = Table(header_style="bold")
    for name in ("plugin", "state", "distribution", "offers"):
        table.add_column(name)
    for plugin in found:
        active = plugin.state == "active"
        offers = ", ".join(dict.fromkeys([*(entry.name for entry in plugin.entries), *plugin.hooks]))
        table.add_row(
            Text(make_harmless(plugin.record.name, 100)),
            Text(plugin.state, "green" if active else "red"),
            Text(make_harmless(f"{plugin.record}", 200) + (" (editable)" if plugin.record.editable else "")),
            Text(offers if active else make_harmless(plugin.reason, 1000), "" if active else "red"),
        )
    console.print(table)


@app.command("show")
def show_plugin(
    name: Annotated[str, typer.Argument(help="Name of the plugin or of its distribution.", show_default=False)],
    json: JsonOption = False,
    plugins: PluginsOption = None,
    block: BlockOption = None,
) -> None:
    """Show one plugin: where it comes from, how it stands, and everything it offers."""
    from pool_core.errors import PluginError

    found = [
        plugin
        for plugin in make_registry(plugins, block).plugins
        if name in (plugin.record.name, plugin.record.distribution)
    ]
    if not found:
        raise PluginError(f"no plugin {name!r} is installed", hint="see `pool plugins list`")
    if json:
        print_json({"version": 1, "plugins": [_describe(plugin) for plugin in found]})
        return
    from rich.text import Text

    from pool_core.report.lines import indent_rest

    console = make_console()
    for plugin in found:
        record = plugin.record
        console.print(Text(f"{record.name}: {plugin.state}", "bold green" if plugin.state == "active" else "bold red"))
        if plugin.reason:
            console.print(Text(f"  {indent_rest(plugin.reason)}"))
        console.print(Text(f"  from {record}, module {record.module}, plugin API {record.api_major}"))
        for entry in plugin.entries:
            console.print(Text(f"  {entry.kind.replace('_', ' '):14}{entry.qualified:32}{entry.contribution.summary}"))
        for hook in plugin.hooks:
            console.print(Text(f"  {'hook':14}{hook}"))


@app.command("check")
def check_plugin(
    name: Annotated[str, typer.Argument(help="Name of the plugin or of its distribution.", show_default=False)],
) -> None:
    """Run the conformance kit against an installed plugin: `pip install "pool-core[testing]"`.

    Exit code 3 where a check fails.
    """
    import subprocess
    import sys

    from pool_core.errors import PluginError

    command = [sys.executable, "-P", "-m", "pool_core.testing", name]
    code = subprocess.run(command, check=False).returncode  # noqa: S603 - the interpreter itself
    if code == NOTHING_TO_CHECK:
        raise PluginError(
            f"the plugin {name!r} offers nothing that the conformance kit is for",
            hint="it checks what recipes name, such as tasks and backends; hooks are for tests of their own",
        )
    raise typer.Exit({0: 0, FAILED_CHECKS: 3, 2: 2}.get(code, 1))


def _describe(plugin: Plugin) -> dict[str, Any]:
    record = plugin.record
    return {
        "name": record.name,
        "state": plugin.state,
        "reason": plugin.reason,
        "distribution": record.distribution,
        "version": record.version,
        "api": record.api_major,
        "module": record.module,
        "editable": record.editable,
        "offers": [
            {
                "kind": entry.kind,
                "name": entry.name,
                "qualified": entry.qualified,
                "factory": entry.contribution.factory,
                "summary": entry.contribution.summary,
            }
            for entry in plugin.entries
        ],
        "hooks": list(plugin.hooks),
    }
