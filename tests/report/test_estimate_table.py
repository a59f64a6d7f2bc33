"""An estimate as people read it: ranges, what is unknown, and what would make it better."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console

from pool_core.plan.prices import Rate, TokenPrice, format_dollars
from pool_core.report.duration import Span
from pool_core.report.estimate import RunEstimate
from pool_core.report.estimate_table import format_seconds, format_span, print_estimate
from pool_core.report.member_estimate import MemberEstimate

PRICE = TokenPrice(Rate(1, 2), "recipe")
AT_LEAST_A_MINUTE = Span(60.0, None)
HOSTILE = "\x1b[31mred\x1b[0m [red]x[/x] [/] \u202etxet \x9b2J\r\ntotal: forged"


def make_member(name="ann", **figures):
    values = {
        "model": "m",
        "cells": 1000,
        "reused": 0,
        "failing": 0,
        "problem": "",
        "requests": 1000,
        "input_tokens": Span(1200, 3400),
        "output_tokens": Span(0, 50_000),
        "cost": Span(0.0012, 0.1034),
        "price": PRICE,
        "max_tokens": 50,
        "measured": 0,
        "latency": None,
    }
    return MemberEstimate(name, **{**values, **figures})


def make_blind_member(name="bob"):
    return make_member(
        name, output_tokens=Span(0, None), cost=None, price=None, max_tokens=None, input_tokens=Span(5, None)
    )


def show(*members, seconds=AT_LEAST_A_MINUTE, run=None, width=200, terminal=False):
    stream = io.StringIO()
    console = Console(
        file=stream,
        width=width,
        highlight=False,
        force_terminal=terminal,
        color_system="standard" if terminal else None,
    )
    print_estimate(console, RunEstimate(1000, members, seconds, run), Path("runs/x"))
    return stream.getvalue()


def test_an_estimate_in_full():
    assert show(make_member(latency=1.25), seconds=Span(60.0, 90.0), run=Path("runs/x")) == (
        "1,000 rows; nothing is sent\n"
        "┏━━━━━━━━┳━━━━━━━┳━━━━━━━━┳━━━━━━━━━┳━━━━━━━━━━┳━━━━━━━━━━━━━━━━┳━━━━━━━━━━━━━┳━━━━━━━━━━━━━━━━━━━━┓\n"
        "┃ member ┃ cells ┃ reused ┃ failing ┃ requests ┃      tokens in ┃  tokens out ┃               cost ┃\n"
        "┡━━━━━━━━╇━━━━━━━╇━━━━━━━━╇━━━━━━━━━╇━━━━━━━━━━╇━━━━━━━━━━━━━━━━╇━━━━━━━━━━━━━╇━━━━━━━━━━━━━━━━━━━━┩\n"
        "│ ann    │ 1,000 │      0 │       0 │    1,000 │ 1,200 to 3,400 │ 0 to 50,000 │ $0.0012 to $0.1034 │\n"
        "└────────┴───────┴────────┴─────────┴──────────┴────────────────┴─────────────┴────────────────────┘\n"
        "total: 1,000 requests, cost $0.0012 to $0.1034\n"
        "time: 1 min to 1 min 30 s at the recipe's limits; a call is taken to last, as stored answers did: ann 1.2 s\n"
    )


def test_what_is_unknown_is_told_with_what_to_write():
    shown = show(make_member(), make_blind_member(), make_blind_member("cyd"))
    assert (
        "│ bob    │ 1,000 │      0 │       0 │    1,000 │     at least 5 │     unknown │            unknown │" in shown
    )
    assert shown.partition("┘\n")[2] == (
        "total: 3,000 requests, cost at least $0.0012\n"
        "time: at least 1 min at the recipe's limits; how long a call of ann, bob, cyd lasts is not known before some "
        "are answered\n"
        "note: the whole recipe is counted: there is no run in runs/x\n"
        "note: no price is known for bob, cyd: write `price: {input: ..., output: ...}`, dollars per million tokens\n"
        "note: nothing bounds the answers of bob, cyd: write `sampling: {max_tokens: ...}`\n"
        "note: bob, cyd: prompts hold more than text, whose tokens are not known\n"
    )


def test_cells_that_cannot_be_asked_are_told():
    shown = show(make_member(failing=2, problem="row 'r7': no text"), run=Path("runs/x"))
    assert "note: 2 cells of ann cannot be asked; the first: row 'r7': no text\n" in shown


def test_a_run_that_is_done_needs_nothing():
    nothing = {"reused": 1000, "requests": 0, "input_tokens": Span(0, 0), "output_tokens": Span(0, 0)}
    shown = show(make_member(cost=Span(0.0, 0.0), price=None, **nothing), seconds=Span(0.0, 0.0), run=Path("runs/x"))
    assert shown.partition("┘\n")[2] == "total: 0 requests, cost $0.00\ntime: 0.0 s at the recipe's limits\n"


def test_a_console_that_the_table_does_not_fit_gets_sentences():
    shown = show(make_member(reused=5, failing=2, problem="x"), make_blind_member(), width=60)
    assert shown.startswith(
        "1,000 rows; nothing is sent\n"
        "ann: 1,000 cells: 1,000 requests, 5 reused, 2 failing,\n"
        "  tokens in 1,200 to 3,400, tokens out 0 to 50,000, cost\n"
        "  $0.0012 to $0.1034\n"
        "bob: 1,000 cells: 1,000 requests, tokens in at least 5,\n"
        "  tokens out unknown, cost unknown\n"
    )


@pytest.mark.parametrize("width", [60, 200])
@pytest.mark.parametrize("terminal", [False, True])
def test_hostile_text_acts_on_nothing(width, terminal):
    shown = show(make_member(failing=1, problem=HOSTILE), width=width, terminal=terminal)
    assert not any(character in shown for character in "\u202e\x9b\r")
    assert "\x1b[31mred" not in shown
    assert "[red]x[/x] [/]" in shown
    assert "total: forged" not in shown.splitlines()


@pytest.mark.parametrize(
    ("span", "text"),
    [
        (Span(0.5, 1.5), "$0.5000 to $1.50"),
        (Span(0.0, 1.5), "$0.00 to $1.50"),
        (Span(1.501, 1.502), "$1.50"),
        (Span(None, 1.5), "$1.50"),
        (Span(0.5, None), "at least $0.5000"),
        (Span(0.0, None), "unknown"),
        (Span(None, None), "unknown"),
        (Span(0.0, 0.0), "$0.00"),
    ],
)
def test_spans_as_people_read_them(span, text):
    assert format_span(span, format_dollars) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0.0 s"),
        (0.44, "0.4 s"),
        (12.3, "12 s"),
        (60, "1 min"),
        (200, "3 min 20 s"),
        (7500, "2 h 5 min"),
        (7559, "2 h 5 min"),
        (273_600, "3 d 4 h"),
        (86_400 * 400, "400 d"),
    ],
)
def test_seconds_as_people_read_them(seconds, text):
    assert format_seconds(seconds) == text
