"""Backends that need no model: replay a recording, make one, simulate a model."""

from __future__ import annotations

from collections.abc import Iterator

from pool_core.api import Contribution, hookimpl


@hookimpl
def pool_backends() -> Iterator[Contribution]:
    yield Contribution("replay", "pool_replay.replay:Replay", "Answers from a recording.")
    yield Contribution("record", "pool_replay.record:Record", "Passes on to another backend and records its answers.")
    yield Contribution("simulate", "pool_replay.simulate:Simulate", "Seeded made-up answers, with faults on demand.")


@hookimpl
def pool_conformance() -> Iterator[str]:
    yield "pool_replay.conformance"
