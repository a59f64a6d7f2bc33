"""What every program that measures speed is given: where to work, how much, and what is measured already."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from environments import NotInstalledError, install

from speed.results import FOLDER, Key, Measurement, append, read
from speed.systems import TOOLS, System, prepare

__all__ = ["Bench", "NoFiguresError", "make_parser", "open_bench"]

CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "pool-core" / "speed"


class NoFiguresError(Exception):
    """A system did not do the job; the message says what it did."""


@dataclass(slots=True)
class Bench:
    """One invocation."""

    #: Where environments and scratch folders are.
    folder: Path
    results: Path
    repetitions: int
    quick: bool
    #: Where every measurement says what it found.
    tell: Callable[[str], None]
    found: dict[Key, Measurement] = field(default_factory=dict)
    _pythons: dict[str, tuple[Path, str] | NotInstalledError] = field(default_factory=dict)

    @property
    def scratch(self) -> Path:
        """A folder for what runs leave; each program has one of its own in it."""
        return self.folder / "scratch"

    def is_known(self, key: Key) -> bool:
        """Whether it was measured before, in this run or in one that was stopped."""
        return key in self.found

    def find_tools(self) -> Path | None:
        """The Python that has matplotlib; nothing where it cannot be installed, which is said."""
        try:
            return install(self.folder / "tools", TOOLS)
        except NotInstalledError as error:
            self.tell(f"without plots: {error}")
            return None

    def find_python(self, system: System) -> tuple[Path, str] | None:
        """The Python of a system and its versions; nothing where it cannot be installed, which is said once."""
        if system.name not in self._pythons:
            self.tell(f"{system.title}: preparing its environment")
            try:
                self._pythons[system.name] = prepare(system, self.folder)
            except NotInstalledError as error:
                self._pythons[system.name] = error
                self.tell(f"{system.title}: {error}")
        found = self._pythons[system.name]
        return None if isinstance(found, NotInstalledError) else found

    def measure(self, key: Key, version: str, take: Callable[[], dict[str, float]]) -> None:
        """Measure what is not known yet, and keep it."""
        if self.is_known(key):
            return
        load = os.getloadavg()[0]
        try:
            figures, trouble = take(), ""
        except NoFiguresError as error:
            figures, trouble = {}, str(error)
        one = Measurement(key, figures, trouble, version, load=round(load, 2))
        self.found[key] = append(self.results, one)
        shown = ", ".join(f"{name} {value:,.4g}" for name, value in figures.items())
        self.tell(f"{key.program}: {key.case}: {key.system}: {shown or trouble}")


def make_parser(description: str | None) -> argparse.ArgumentParser:
    """The options that all programs have."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repetitions", type=int, default=3)
    parser.add_argument(
        "--quick", action="store_true", help="small sizes, to see that it works; has results of its own"
    )
    parser.add_argument("--fresh", action="store_true", help="forget what was measured before")
    parser.add_argument("--folder", type=Path, default=CACHE, help=f"environments and scratch; default: {CACHE}")
    parser.add_argument("--results", type=Path, help=f"default: {FOLDER / 'speed.jsonl'}")
    return parser


def open_bench(options: argparse.Namespace) -> Bench:
    """What the options of `make_parser` say."""
    results = options.results or (options.folder / "quick.jsonl" if options.quick else FOLDER / "speed.jsonl")
    if options.fresh:
        results.unlink(missing_ok=True)
    options.folder.mkdir(parents=True, exist_ok=True)
    folder = options.folder.resolve()
    return Bench(folder, results, options.repetitions, options.quick, _tell, read(results))


def _tell(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
