"""While nothing can be sent, the engine sleeps: it has no loop that is busy with waiting (I14)."""

from __future__ import annotations

import pytest
from invariants import judge
from simulate import simulate
from worlds import MemberSpec, ServerSpec, Start, World

SCRIPT = {"latency": 1.0, "spread": 0.0, "capacity": 1000, "tokens": 10.0}
FOR_EVER = {"concurrency": 32, "max_stall": 1e6, "max_wait": 1e6, "deadline": 1e6, "timeout": 60.0}
WAITS = {
    "down": ({"outages": [(10.0, 36_000.0, "down")]}, {}),
    "failing": ({"outages": [(10.0, 36_000.0, "failing")]}, {}),
    "silent": ({"outages": [(10.0, 36_000.0, "silent")]}, {}),
    "limited": ({"outages": [(10.0, 36_000.0, "limited")], "retry_after": 600.0}, {}),
    "a slow rate": ({}, {"rpm": 1}),
    "few tokens": ({}, {"tpm": 30}),
    "a slow server": ({"latency": 3600.0}, {"timeout": 1e6}),
}


@pytest.mark.parametrize("kind", WAITS)
def test_an_engine_that_waits_does_nothing(kind, watchdog):
    script, limits = WAITS[kind]
    members = tuple(MemberSpec(name, n, limits={**FOR_EVER, **limits}, max_tokens=10) for n, name in enumerate("ab"))
    servers = tuple(ServerSpec(f"s{number}", SCRIPT | script) for number in range(2))
    texts = tuple(f"row {number}" for number in range(600))
    rows = 600 if "outages" in script else 64
    history = simulate(World(1, servers, texts, (Start(members, tuple(range(rows)), 2),)), watchdog)
    assert judge(history) == []
    (start,) = history.starts
    hours = start.ended_at / 3600
    assert hours > 0.9
    waiting = start.callbacks - 40 * len(history.calls) - 20 * len(start.cells)
    assert waiting < 1000 * hours  # per hour and member, one callback in seven seconds
