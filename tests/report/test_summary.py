"""The figures of a run as data: what its status is, which exit code it has, and its JSON form."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pool_core.engine.events import MemberProgress
from pool_core.report.summary import EXIT_CODES, summarize_run


def summarize(*progress, interrupted=False, output=None, notes=(), limit=""):
    return summarize_run(
        progress,
        interrupted=interrupted,
        rows=3,
        seconds=1.5,
        folder=Path("runs/x"),
        output=output,
        notes=notes,
        limit=limit,
    )


def make_progress(name="ann", *, total=3, ok=3, failed=(), **figures):
    return MemberProgress(name, total=total, ok=ok, failed=Counter(failed), **figures)


@pytest.mark.parametrize(
    ("progress", "interrupted", "status", "code"),
    [
        ([make_progress()], False, "complete", 0),
        ([make_progress(), make_progress("bob", ok=2, failed=["parse"])], False, "partial", 3),
        ([make_progress(ok=1, stopped="no key")], False, "partial", 3),
        ([make_progress(ok=1)], True, "interrupted", 130),
        ([make_progress(), make_progress("bob", ok=0)], True, "interrupted", 130),
        ([make_progress()], True, "complete", 0),
        ([make_progress(ok=2, failed=["refusal"])], True, "partial", 3),
        ([], False, "complete", 0),
        ([make_progress(total=0, ok=0)], False, "complete", 0),
    ],
)
def test_status_and_exit_code(progress, interrupted, status, code):
    summary = summarize(*progress, interrupted=interrupted)
    assert (summary.status, summary.exit_code) == (status, code)


@pytest.mark.parametrize(
    ("progress", "interrupted", "status", "code"),
    [
        ([make_progress(ok=1)], False, "limited", 5),
        ([make_progress(ok=1)], True, "limited", 5),
        ([make_progress(ok=1, failed=["parse"])], False, "limited", 5),
        ([make_progress(ok=2, failed=["parse"])], False, "partial", 3),
        ([make_progress()], False, "complete", 0),
    ],
)
def test_a_limit_counts_where_it_left_something_over(progress, interrupted, status, code):
    summary = summarize(*progress, interrupted=interrupted, limit="the time is up")
    assert (summary.status, summary.exit_code, summary.limit) == (status, code, "the time is up")


@given(
    st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9), st.integers(0, 9)), max_size=4),
    st.booleans(),
)
def test_every_cell_is_counted_once_and_the_status_follows(figures, interrupted):
    progress = [
        make_progress(str(number), total=ok + failed + pending, ok=ok, failed=["parse"] * failed)
        for number, (ok, failed, pending) in enumerate(figures)
    ]
    summary = summarize(*progress, interrupted=interrupted)
    for member in summary.members:
        assert member.ok + sum(member.failed.values()) + member.pending == member.cells
    if all(member.ok == member.cells for member in summary.members):
        assert summary.status == "complete"
    else:
        pending = any(member.pending for member in summary.members)
        assert summary.status == ("interrupted" if interrupted and pending else "partial")
    assert summary.exit_code == EXIT_CODES[summary.status]


def test_the_summary_is_a_copy_of_what_was_counted():
    progress = make_progress(ok=1, failed=["timeout", "parse", "parse"], requests=7, retries=4, reused=1)
    summary = summarize(progress, make_progress("bob", requests=3))
    progress.failed["parse"] += 1
    (member, _) = summary.members
    assert list(member.failed.items()) == [("parse", 2), ("timeout", 1)]
    assert summary.requests == 10


def test_the_json_form_is_plain_and_complete():
    summary = summarize(
        make_progress(input_tokens=5, output_tokens=6, cost=0.25), output=Path("out.jsonl"), notes=["a note"]
    )
    assert json.loads(json.dumps(summary.to_dict())) == {
        "version": 1,
        "exit_code": 0,
        "status": "complete",
        "rows": 3,
        "seconds": 1.5,
        "members": [
            {
                "name": "ann",
                "cells": 3,
                "ok": 3,
                "failed": {},
                "pending": 0,
                "reused": 0,
                "requests": 0,
                "retries": 0,
                "input_tokens": 5,
                "output_tokens": 6,
                "stopped": "",
                "cost": 0.25,
                "reasks": 0,
                "hedges": 0,
                "maybe_billed": 0,
                "taken_over": 0,
            }
        ],
        "folder": "runs/x",
        "output": "out.jsonl",
        "notes": ["a note"],
        "limit": "",
    }
    assert summarize().to_dict()["output"] is None
    assert summarize(make_progress()).to_dict()["members"][0]["cost"] is None
