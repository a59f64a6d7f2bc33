"""Run 17 faults of LLM servers against this system and its peers, and print one dated table.

    nice python benchmarks/faults.py [--systems pool,openai] [--faults 500,quota] [--reuse] [--cache DIR] [--limit 120]

All of them against all writes docs/benchmarks/faults.md too. See that page for what is judged and how.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic
from typing import Any

from fault_cases import CONTROL, FAULTS, Case, Fault
from fault_judge import LEAST_WAIT, Seen, Verdict, judge
from fault_page import write_cell, write_page
from fault_results import Measured, Outcome, read_measured, write_measured
from fault_run import NoVerdictError, run_case
from fault_systems import SYSTEMS, NotMeasuredError, System, make_environment

PAGE = Path(__file__).parents[1] / "docs" / "benchmarks" / "faults.md"
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "pool-core" / "faults"
#: Seconds within which three requests for a row are looked at again, and how often.
BLURRED = 1.0
TRIES = 3


def main() -> None:
    """Run what is asked for, print the table, and write the page where it has everything."""
    options = _read_options()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # as after Ctrl-C, what runs is killed
    whole = len(options.faults) == len(FAULTS)
    measured = {}
    for system in SYSTEMS:
        if system in options.systems:
            measured[system] = _measure(system, options)
            if whole:
                write_measured(options.cache, system, measured[system])
        elif options.reuse and (kept := read_measured(options.cache, system)) is not None:
            measured[system] = kept
    page = write_page(options.faults, measured, options.limit)
    sys.stdout.write(page)
    if whole and len(measured) == len(SYSTEMS):
        PAGE.parent.mkdir(exist_ok=True)
        PAGE.write_text(page, encoding="utf-8")
        _tell(f"written: {PAGE}")


def _measure(system: System, options: argparse.Namespace) -> Measured:
    _tell(f"{system.title}: preparing its environment")
    day = str(datetime.now(UTC).date())
    try:
        python = make_environment(system, options.cache)
        _control(system, python, options)
    except NotMeasuredError as error:
        _tell(f"{system.title}: {error}")
        return Measured(day, str(error), {})
    outcomes = {fault.name: _meet(system, python, fault, options) for fault in options.faults}
    return Measured(day, _read_versions(system, python), outcomes)


def _control(system: System, python: Path, options: argparse.Namespace) -> None:
    """See that the system answers all rows where there is no fault: its verdicts would mean nothing else."""
    verdict = _run(system, python, CONTROL, options)
    if isinstance(verdict, str) or verdict.kind != "right":
        reasons = verdict if isinstance(verdict, str) else "; ".join(verdict.reasons)
        raise NotMeasuredError(f"does not work without a fault: {reasons}")


def _meet(system: System, python: Path, fault: Fault, options: argparse.Namespace) -> Outcome:
    started = monotonic()
    outcome = {case.name: _run(system, python, case, options) for case in fault.cases}
    _tell(f"{system.title}: {fault.name}: {write_cell(outcome)}, {monotonic() - started:.0f} s")
    return outcome


def _run(system: System, python: Path, case: Case, options: argparse.Namespace) -> Verdict | str:
    """The verdict, or why there is none."""
    folder = options.cache / "runs" / system.name / case.name.replace(" ", "-")
    try:
        for _ in range(TRIES):
            seen = run_case(system, python, case, folder, options.limit)
            if not is_blurred(seen):
                break
    except NoVerdictError as error:
        return str(error)
    return judge(case.expected, seen)


def is_blurred(seen: Seen) -> bool:
    """Whether requests followed one another so closely that a busy machine alone may have kept them apart."""
    times = [seen.requests.get(row, ()) for row in seen.faulty]
    return any(len(one) > 2 and LEAST_WAIT <= one[-1] - one[0] < BLURRED for one in times)  # noqa: PLR2004


def _read_versions(system: System, python: Path) -> str:
    """The version of what the system's requirements name, as it is installed."""
    names = [requirement.partition("==")[0] for requirement in system.requirements] or ["pool-core", "pool-openai"]
    code = "import sys; from importlib.metadata import version; print(*map(version, sys.argv[1:]))"
    done = subprocess.run([python, "-c", code, *names], check=True, capture_output=True, text=True)
    return ", ".join(f"{name} {version}" for name, version in zip(names, done.stdout.split(), strict=True))


def _read_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Run faults of LLM servers against this system and its peers.")
    parser.add_argument("--systems", default=list(SYSTEMS), type=lambda text: _choose(SYSTEMS, text))
    parser.add_argument("--faults", default=list(FAULTS), type=lambda text: _choose(FAULTS, text))
    parser.add_argument("--reuse", action="store_true", help="take the other systems from the cache")
    parser.add_argument("--cache", default=CACHE, type=lambda text: Path(text).resolve(), help=f"default: {CACHE}")
    parser.add_argument("--limit", default=120.0, type=float, help="seconds after which a run is killed; default: 120")
    return parser.parse_args()


def _choose(known: Sequence[System] | Sequence[Fault], text: str) -> list[Any]:
    names = {one.name: one for one in known}
    try:
        return [names[name.strip()] for name in text.split(",")]
    except KeyError as error:
        raise argparse.ArgumentTypeError(f"there is no {error}; there are {', '.join(names)}") from None


def _tell(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
