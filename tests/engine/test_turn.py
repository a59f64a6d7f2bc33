"""A turn of the event loop is over after so many pieces of work, and the next one begins anew."""

from __future__ import annotations

import asyncio

from pool_core.engine.turn import Turn
from pool_core.testing.virtual_time import run_virtual


def test_a_turn_is_over_after_so_many_pieces():
    async def run():
        turn = Turn(3)
        first = [turn.is_over() for _ in range(5)]
        await asyncio.sleep(0)
        return first, [turn.is_over() for _ in range(3)]

    assert run_virtual(run()) == ([False, False, True, True, True], [False, False, True])


def test_work_that_waits_is_never_told_to_wait_once_more():
    async def run():
        turn = Turn(2)
        ends = []
        for _ in range(50):
            ends.append(turn.is_over())
            await asyncio.sleep(0.1)
        return any(ends)

    assert not run_virtual(run())
