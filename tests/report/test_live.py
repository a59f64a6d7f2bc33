"""The bars of a run: what they say, that they leave the terminal as it was, and where they are not drawn."""

from __future__ import annotations

import asyncio
import io
import re
from collections import Counter

import pytest
from rich.console import Console

from pool_core.engine.events import MemberProgress
from pool_core.report import live
from pool_core.report.live import show_progress
from pool_core.testing.virtual_time import run_virtual

ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


def draw(*members, width=80, terminal=True, during=None):
    """What is drawn for ``members`` from start to end; ``during`` is awaited in between."""
    stream = io.StringIO()
    console = Console(file=stream, width=width, force_terminal=terminal, color_system="standard" if terminal else None)

    async def run():
        async with show_progress(console, members):
            await asyncio.sleep(0)
            if during is not None:
                await during()
        assert len(asyncio.all_tasks()) <= 2  # the refresher ends with the block

    run_virtual(run())
    return stream.getvalue()


def read_last(text, members):
    """The last picture, a line per member."""
    return ESCAPES.sub("", text).replace("\r", "\n").rstrip("\n").splitlines()[-members:]


def test_a_bar_per_member_says_how_far_it_is():
    done = MemberProgress("ann", total=2, ok=2)
    busy = MemberProgress("bob", total=1000, ok=10, failed=Counter(parse=2, auth=1), in_flight=4, retries=5)
    ann, bob = read_last(draw(done, busy, width=100), 2)
    assert re.fullmatch(r"ann ━+ +2/2 +\d:\d\d:\d\d *", ann)
    assert re.fullmatch(r"bob ╸━+ +13/1000 3 failed, 4 in flight, 5 retries (-:--:--|\d:\d\d:\d\d) *", bob)


@pytest.mark.parametrize(
    ("progress", "state"),
    [
        (MemberProgress("ann", total=9, in_flight=3), "3 in flight"),
        (MemberProgress("ann", total=9, stopped="no key"), "stopped"),
        (
            MemberProgress("ann", total=9, stopped="no key", failed=Counter(auth=1), in_flight=1, retries=1),
            "stopped, 1 failed, 1 in flight, 1 retries",
        ),
    ],
)
def test_what_a_member_does_is_told(progress, state):
    (line,) = read_last(draw(progress, width=120), 1)
    assert f"/9 {state} " in line


@pytest.mark.parametrize("width", [24, 40, 60, 80])
def test_the_last_columns_stay_free(width):
    member = MemberProgress("a" * 64, total=99_999, failed=Counter(parse=1234), in_flight=64, retries=321)
    for line in ESCAPES.sub("", draw(member, width=width)).replace("\r", "\n").splitlines():
        assert len(line.rstrip()) <= width - live.MARGIN


def test_text_of_names_and_states_is_no_markup():
    (line,) = read_last(draw(MemberProgress("[red]x[/]", total=1)), 1)
    assert line.startswith("[red]x[/] ")


def test_the_cursor_is_hidden_and_shown_again():
    text = draw(MemberProgress("ann", total=1))
    assert text.count("\x1b[?25l") == text.count("\x1b[?25h") == 1
    assert text.endswith("\x1b[?25h")


def test_the_cursor_is_shown_again_after_an_error():
    stream = io.StringIO()
    console = Console(file=stream, width=80, force_terminal=True)

    async def run():
        async with show_progress(console, [MemberProgress("ann", total=1)]):
            raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        asyncio.run(run())
    assert stream.getvalue().endswith("\x1b[?25h")


def test_it_follows_the_engine(monkeypatch):
    monkeypatch.setattr(live, "REFRESH_SECONDS", 0.001)
    member = MemberProgress("ann", total=3)

    async def work():
        for _ in range(3):
            member.ok += 1
            await asyncio.sleep(0.01)

    text = ESCAPES.sub("", draw(member, during=work))
    assert [f"{n}/3" in text for n in range(4)] == [True] * 4


def test_nothing_is_drawn_where_there_is_no_terminal():
    assert draw(MemberProgress("ann", total=1), terminal=False) == ""
