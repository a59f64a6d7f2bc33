"""Draw the pictures of the page about speed: ``python plots.py RESULTS FOLDER``, where matplotlib is installed."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1]))  # as a script, its own folder is there alone
import matplotlib as mpl

mpl.use("svg")
from matplotlib import pyplot as plt

from speed.bars import Figures
from speed.page import PLOTS
from speed.results import read
from speed.systems import FLOORS, POOL, SCRIPT, SYSTEMS

CASE = "2,000 x 3, {}"
#: This system, programs by hand, peers.
COLOURS = ("#d9480f", "#868e96", "#4263eb")


def main(results: Path, folder: Path) -> None:
    """Draw all of them."""
    figures = Figures(read(results))
    # the same file gives the same picture, byte by byte
    mpl.rcParams.update({"svg.hashsalt": "speed", "svg.fonttype": "none", "font.family": "sans-serif", "font.size": 10})
    cost, share, start = (folder / name for name in PLOTS)
    still, late = CASE.format("no latency"), CASE.format("100 ms")
    draw(figures, still, "cpu_us", f"CPU per call, microseconds, log scale ({still})", "{:,.0f}", cost, log=True)
    draw(figures, late, "share_span", f"share of a schedule without cost ({late})", "{:.2f}", share, most=True)
    draw(figures, still, "start_s", "start of the process to the first request, seconds", "{:.2f}", start)


def draw(
    figures: Figures,
    case: str,
    name: str,
    title: str,
    form: str,
    path: Path,
    *,
    log: bool = False,
    most: bool = False,
) -> None:
    """Bars, the best on top; nothing where the case was not measured."""
    known = [(system, figures.find("throughput", case, name, system.name)) for system in SYSTEMS]
    bars = [(system, value) for system, value in known if value is not None]
    if not bars:
        return
    key: Callable[[tuple[object, float]], float] = lambda one: one[1]  # noqa: E731
    bars.sort(key=key, reverse=not most)
    values = [value for _, value in bars]
    kinds = [0 if system is POOL else 1 if system in {*FLOORS, SCRIPT} else 2 for system, _ in bars]
    figure, axes = plt.subplots(figsize=(8.4, 0.6 + 0.36 * len(bars)))
    drawn = axes.barh(
        [system.title.replace("`", "") for system, _ in bars],
        values,
        color=[COLOURS[kind] for kind in kinds],
        height=0.7,
    )
    axes.bar_label(drawn, [form.format(value) for value in values], padding=4)
    if log:
        axes.set_xscale("log")
        axes.set_xlim(left=10)
    axes.set_xlim(right=max(values) * (2.2 if log else 1.12))
    axes.set_title(title, loc="left", fontsize=10)
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(axis="y", length=0)
    figure.patch.set_facecolor("white")
    figure.savefig(path, bbox_inches="tight", metadata={"Date": None})
    plt.close(figure)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
