"""How the adaptive limit finds and follows the capacity of a server, in virtual time.

Two servers of a scripted world step from 8 to 64 to 4 calls at a time: one refuses what is too much, the
other lets it wait. Prints what the limit makes of them and of servers that stay as they are, and draws the
curve::

    python benchmarks/limit_curve.py [--seeds 5] [--svg docs/design/limit-curve.svg]
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from statistics import mean, median
from typing import Any

from pool_core.engine.adapt.limit import AdaptiveLimit
from pool_core.engine.quota import Quota
from pool_core.testing.load import Load, Moment
from pool_core.testing.virtual_time import run_virtual
from pool_core.testing.world import Counts, World

STEPS = [(0.0, 8), (90.0, 64), (180.0, 4)]
SECONDS = 270.0
ENDLESS = 100_000
MOST_OF_TEN = 7
#: The picture: its measures in pixels, and the highest figure that it shows.
WIDTH, HEIGHT, LEFT, RIGHT, TOP, GAP, MOST = 720, 190, 46, 24, 30, 34, 128
KINDS = {"refuses": 0, "queues": ENDLESS}
SERVERS = [(1, 1.0), (4, 1.0), (16, 0.05), (16, 1.0), (64, 0.3), (64, 5.0), (250, 1.0), (500, 1.0), (500, 5.0)]


def run_load(seed: int, seconds: float, **script: Any) -> list[Moment]:
    """The curve of a limit that adapts to one server."""

    async def main() -> list[Moment]:
        server = World(seed, traced=False).add_server("server", **script)
        load = Load(Quota(AdaptiveLimit(1024)), server, timeout=600.0, seed=seed)
        await load.run(seconds)
        return load.curve

    return run_virtual(main())


def find(curve: Sequence[Moment], at: float) -> Moment:
    return next(moment for moment in curve if moment.time >= at)


def find_first(curve: Sequence[Moment], capacity: int, start: float, low: float, high: float) -> float | None:
    """Seconds from ``start`` until the limit is in its range for the first time and most of ten seconds."""
    near = [
        (moment.time - start, low * capacity - 1 <= moment.limit <= high * capacity + 1)
        for moment in curve
        if moment.time >= start
    ]
    for number, (seconds, is_near) in enumerate(near):
        if is_near and sum(each for _, each in near[number : number + 10]) >= MOST_OF_TEN:
            return seconds
    return None


def show(seconds: float | None) -> str:
    return "never" if seconds is None else f"{seconds:.0f} s"


def print_servers(seeds: int) -> None:
    print("server   capacity  latency  found after  utilisation      refused  limit / capacity")
    for kind, queue in KINDS.items():
        for capacity, latency in SERVERS:
            settled = max(30.0, 10 * latency)
            seconds = settled + max(60.0, 20 * latency, 200 * latency / capacity)
            script = {"capacity": capacity, "latency": latency, "queue": queue}
            curves = [run_load(seed, seconds, **script) for seed in range(seeds)]
            low, high = (0.9, 1.1) if kind == "refuses" else (0.8, 1.8)
            found = [find_first(curve, capacity, 0.0, low, high) for curve in curves]
            slowest = None if None in found else median(each for each in found if each is not None)
            counts = [curve[-1].counts.since(find(curve, settled).counts) for curve in curves]
            limits = [moment.limit for curve in curves for moment in curve if moment.time >= settled]
            print(
                f"{kind:8} {capacity:8}  {latency:5.2f} s  {show(slowest):>11}"
                f"  {min(each.utilisation for each in counts):11.1%}"
                f"  {max(each.refused_share for each in counts):11.2%}  {mean(limits) / capacity:16.2f}"
            )


def print_steps(curves: dict[str, list[Moment]]) -> None:
    print("\nserver   step       found after  utilisation, from there on  refused")
    for kind, curve in curves.items():
        low, high = (0.9, 1.1) if kind == "refuses" else (0.8, 1.8)
        for (start, capacity), (end, _) in pairwise([*STEPS, (SECONDS, 0)]):
            part = [moment for moment in curve if start <= moment.time <= end]
            found = find_first(part, capacity, start, low, high)
            since: Counts = part[-1].counts.since(find(part, start + (found or 0.0)).counts)
            print(
                f"{kind:8} {f'to {capacity}':9}  {show(found):>11}  {since.utilisation:26.1%}"
                f"  {since.refused_share:7.2%}"
            )


def draw(curves: dict[str, list[Moment]]) -> str:
    """The curves over the capacity as an SVG picture; what is above its top is cut off."""
    parts = [
        draw_panel(kind, curve, TOP + number * (HEIGHT + GAP)) for number, (kind, curve) in enumerate(curves.items())
    ]
    bottom = TOP + len(curves) * (HEIGHT + GAP) - GAP
    parts += [
        f'<text x="{place_across(at):.1f}" y="{bottom + 16}" text-anchor="middle">{at} s</text>'
        for at in range(0, int(SECONDS) + 1, 30)
    ]
    style = (
        "text{font:12px sans-serif;fill:#555}.title{font-weight:bold;fill:#222}.grid{stroke:#ddd}"
        "polyline{fill:none;stroke-width:2}.capacity{stroke:#999;stroke-dasharray:5 3}.limit{stroke:#1f6feb}"
    )
    body = "\n".join(parts)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {bottom + 26}" role="img">\n'
        "<title>Calls in flight that the limit allows (line) and the server bears (dashed)</title>\n"
        f'<style>{style}</style>\n<rect width="{WIDTH}" height="{bottom + 26}" fill="#fff"/>\n{body}\n</svg>\n'
    )


def draw_panel(kind: str, curve: Sequence[Moment], top: int) -> str:
    parts = [f'<text x="{LEFT}" y="{top - 6}" class="title">a server that {kind}</text>']
    for value in range(0, MOST + 1, 32):
        y = top + HEIGHT * (1 - value / MOST)
        parts.append(f'<line x1="{LEFT}" y1="{y:.1f}" x2="{WIDTH - RIGHT}" y2="{y:.1f}" class="grid"/>')
        parts.append(f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{value}</text>')
    outline = [STEPS[0]]
    for (_, before), (at, capacity) in pairwise(STEPS):
        outline += [(at, before), (at, capacity)]
    outline.append((SECONDS, STEPS[-1][1]))
    limits = [(moment.time, moment.limit) for moment in curve]
    for name, values in (("capacity", outline), ("limit", limits)):
        points = (f"{place_across(at):.1f},{top + HEIGHT * (1 - min(value, MOST) / MOST):.1f}" for at, value in values)
        parts.append(f'<polyline points="{" ".join(points)}" class="{name}"/>')
    return "\n".join(parts)


def place_across(at: float) -> float:
    return LEFT + at / SECONDS * (WIDTH - LEFT - RIGHT)


def main() -> None:
    parser = argparse.ArgumentParser(description="How the adaptive limit finds and follows a capacity")
    parser.add_argument("--seeds", type=int, default=5, help="worlds per server; the worst one is printed")
    parser.add_argument("--svg", type=Path, help="where to draw the curve")
    options = parser.parse_args()
    print_servers(options.seeds)
    curves = {kind: run_load(1, SECONDS, capacity=STEPS, queue=queue, spread=0.3) for kind, queue in KINDS.items()}
    print_steps(curves)
    if options.svg is not None:
        options.svg.write_text(draw(curves), encoding="utf-8")


if __name__ == "__main__":
    main()
