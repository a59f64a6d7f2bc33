"""A preview on terminals that are too narrow for its table, and of texts that would act on one."""

from __future__ import annotations

import io
from pathlib import Path

from rich.console import Console

from pool_core.report.preview_table import print_preview

ROWS = [{"id": f"row {number}", "text": f"text {number}"} for number in range(2)]
TWO = {"ann": {}, "bob": {}}


def draw(preview, width):
    console = Console(file=io.StringIO(), width=width, highlight=False)
    print_preview(console, preview, Path("runs/x"))
    return console.file.getvalue()


def test_a_narrow_terminal_gets_lines(preview_world):
    preview_world.run({"ann": {}}, ROWS)
    shown = draw(preview_world.preview({"ann": {"sampling": {"max_tokens": 1}}, "eve": {}}, ROWS[:1]), 60)
    assert "ann: 1 cell: 0 reused, 0 re-parsed, 1 asked, 1 dropped,\n  cost " in shown
    assert "eve: new in the recipe; asked: 1 without an outcome" in shown
    assert max(map(len, shown.splitlines())) <= 60


def test_members_that_are_gone_or_renamed(preview_world):
    preview_world.run({**TWO, "cid": {}}, ROWS)
    shown = draw(preview_world.preview({"ann": {}, "rob": {"backend": {"use": "count", "model": "bob"}}}, ROWS), 200)
    assert "rob: it was named bob; 2 stored answers read again, asked nothing: no outcome changed\n" in shown
    assert "bob: named rob now; dropped: 2 outcomes, whose answers stay stored\n" in shown
    assert "cid: not in the recipe any more; dropped: 2 outcomes, whose answers stay stored\n" in shown


def test_what_rows_and_models_say_is_shown_as_text(preview_world):
    rows = [{"id": "\x1b[2J[bold]", "text": "\x1b[31m[red]\n- all fine"}]
    preview_world.run({"ann": {}}, rows)
    preview = preview_world.preview({"ann": {"task": {"use": "echo", "suffix": "\x1b"}}}, rows)
    shown = draw(preview, 200)
    assert "\x1b" not in shown
    assert "[bold]" in shown
    assert shown.count("\n  - ") == 1


def test_a_plugin_that_was_upgraded_is_named(preview_world):
    preview_world.run({"ann": {}}, ROWS)
    preview_world.version = "2.0"
    shown = draw(preview_world.preview({"ann": {}}, ROWS), 200)
    assert "task changed: counting/echo 1.0 -> counting/echo 2.0" in shown
    assert "2 stored answers read again, asked nothing: no outcome changed" in shown
