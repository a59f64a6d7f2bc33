"""The tables of the page about speed, from what was measured."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from speed.bars import Bar, Figures
from speed.results import Summary
from speed.systems import SYSTEMS

__all__ = [
    "write_bars",
    "write_export",
    "write_makespan",
    "write_scale",
    "write_startup",
    "write_systems",
    "write_throughput",
]

#: A column: its heading, the name of the figure, and how it is written.
Column = tuple[str, str, str]

_THROUGHPUT: tuple[Column, ...] = (
    ("CPU per call, us", "cpu_us", ",.0f"),
    ("cells/s, start to file", "cells_s", ",.0f"),
    ("start to first request, s", "start_s", ".2f"),
    ("last reply to end, s", "end_s", ".2f"),
    ("peak memory, MB", "memory_mb", ",.0f"),
    ("processes", "processes", ".0f"),
)
_SHARES: tuple[Column, ...] = (
    ("share of the schedule", "share_span", ".3f"),
    ("with start and end", "share_wall", ".3f"),
    ("most in flight, of one model", "most_inflight", ".0f"),
)
_SCALE: tuple[Column, ...] = (
    ("cells/s, without the start", "cells_s", ",.0f"),
    ("CPU per cell, us", "cpu_us", ",.0f"),
    ("run, s", "wall_s", ",.1f"),
    ("peak memory, MB", "memory_mb", ",.0f"),
    ("the same again, s", "again_s", ",.2f"),
    ("`pool status`, s", "status_s", ",.2f"),
    ("store, MB", "store_mb", ",.0f"),
)
_EXPORT: tuple[Column, ...] = (
    ("cells/s, start to file", "cells_s", ",.0f"),
    ("CPU per cell, us", "cpu_us", ",.1f"),
    ("peak memory, MB", "memory_mb", ",.0f"),
    ("file, MB", "file_mb", ",.1f"),
)
_STARTUP: tuple[Column, ...] = (
    ("CPU, ms", "cpu_ms", ",.0f"),
    ("time, ms", "wall_ms", ",.0f"),
    ("to the first request, ms", "start_ms", ",.0f"),
)


def write_bars(bars: Iterable[Bar]) -> str:
    """The goals, and whether they are reached."""
    lines = [(bar.text, bar.goal, bar.measured, "yes" if bar.reached else "**no**") for bar in bars]
    return _write_table(["what", "goal", "measured", "reached"], lines)


def write_throughput(figures: Figures) -> str:
    """A table per case, the cheapest system first."""
    parts = []
    for case in _find_cases(figures, "throughput"):
        group = _find_group(figures, "throughput", case)
        # what a system has in flight is told from its peak alone where calls take time
        columns = (*_THROUGHPUT, *(_SHARES if any("share_span" in one.figures for _, one in group) else ()))
        titles = {system.name: system.title for system in SYSTEMS}
        group.sort(key=lambda one: one[1].figures["cpu_us"][0] if one[1].figures else float("inf"))
        lines = [(titles[name], *_write_figures(one, columns)) for name, one in group]
        parts.append(f"### {case}\n\n{_write_table(['system', *(column[0] for column in columns), 'runs'], lines)}")
    return "\n".join(parts)


def write_makespan(figures: Figures) -> str:
    """Shares of the schedule, by load and system."""
    titles = {system.name: system.title for system in SYSTEMS}
    lines = []
    for case in _find_cases(figures, "makespan"):
        for name, one in sorted(_find_group(figures, "makespan", case), key=lambda pair: list(titles).index(pair[0])):
            models = [model for model in ("m0", "m1", "m2") if f"share {model}" in one.figures]
            each = ", ".join(f"{one.figures[f'share {model}'][0]:.3f}" for model in models)
            spans = ", ".join(f"{one.figures[f'span_s {model}'][0]:.2f}" for model in models)
            lines.append((case, titles[name], _write_one(one, "share", ".3f"), each, spans, str(one.repetitions)))
    return _write_table(["load", "system", "share of the schedule", "by model", "seconds by model", "runs"], lines)


def write_startup(figures: Figures) -> str:
    """Short commands."""
    return _write_program(figures, "startup", "command", _STARTUP, lambda case: f"`{case}`")


def write_scale(figures: Figures) -> str:
    """Sizes."""
    return _write_program(figures, "scale", "rows x 3", _SCALE, str)


def write_export(figures: Figures) -> str:
    """Formats and layouts."""
    return _write_program(figures, "export", "format, layout", _EXPORT, str)


def write_systems(figures: Figures) -> str:
    """What was measured, in which version and how set, and what was not."""
    newest = {name: one for (_, name), one in figures.programs.get("throughput", {}).items()}
    lines = []
    for system in SYSTEMS:
        version = newest[system.name].last.version if system.name in newest else "not measured"
        lines.append((system.title, version, system.setting))
    return _write_table(["system", "version", "setting"], lines)


def _write_program(
    figures: Figures, program: str, head: str, columns: Sequence[Column], name: Callable[[str], str]
) -> str:
    lines = [
        (name(case), *_write_figures(one, columns))
        for case in _find_cases(figures, program)
        for _, one in _find_group(figures, program, case)
    ]
    return _write_table([head, *(column[0] for column in columns), "runs"], lines)


def _find_cases(figures: Figures, program: str) -> list[str]:
    return list(dict.fromkeys(case for case, _ in figures.programs.get(program, {})))


def _find_group(figures: Figures, program: str, case: str) -> list[tuple[str, Summary]]:
    return [(name, one) for (other, name), one in figures.programs[program].items() if other == case]


def _write_figures(one: Summary, columns: Sequence[Column]) -> list[str]:
    if not one.figures:
        return [f"none: {one.trouble}", *[""] * (len(columns) - 1), "0"]
    cells = [_write_one(one, name, form) for _, name, form in columns]
    runs = f"{one.repetitions}; {one.trouble}" if one.trouble else str(one.repetitions)
    return [*cells, runs]


def _write_one(one: Summary, name: str, form: str) -> str:
    """The median, and the least and most where they are not the same."""
    if name not in one.figures:
        return ""
    middle, least, most = (format(value, form) for value in one.figures[name])
    return middle if least == most else f"{middle} ({least} to {most})"


def _write_table(head: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    written = [head, ["---"] * len(head), *lines]
    return "".join(f"| {' | '.join(cell.replace('|', '&#124;') for cell in line)} |\n" for line in written)
