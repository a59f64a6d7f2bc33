"""Find out what real servers honour of a request, and write the table.

    nice python benchmarks/honours.py [--servers llama-server,aimock] [--folder DIR] [--page]

Each server that is on this machine is started with a tiny model, which is made first, and asked through the backend
``openai``. Which are missing, and how to get them, is said. See docs/reference/servers.md for what was found.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from counterparts.models import NotMadeError, make_model
from counterparts.page import write_page
from counterparts.probes import probe_all
from counterparts.results import RESULTS, Asked, read_results, write_results
from counterparts.servers import COUNTERPARTS, Counterpart
from counterparts.start import NotStartedError, read_version, start

PAGE = Path(__file__).parents[1] / "docs" / "reference" / "servers.md"


def main() -> None:
    """Ask the servers that are here, keep what was seen, and write the page."""
    options = _read_options()
    results = read_results(options.results)
    if not options.page:
        with _open_folder(options.folder) as folder:
            asked = {one.name: found for one in options.servers if (found := ask(one, folder)) is not None}
        if not asked:
            raise SystemExit("no server was asked")
        results |= asked
        write_results(options.results, results)
        _tell(f"written: {options.results}")
    options.write.write_text(write_page(results), encoding="utf-8")
    _tell(f"written: {options.write}")


def ask(counterpart: Counterpart, folder: Path) -> Asked | None:
    """What was seen of one server; None where it cannot be asked here."""
    if counterpart.find() is None:
        _tell(f"{counterpart.name}: not on this machine: {counterpart.get}")
        return None
    try:
        model = make_model(counterpart, folder / "models")
        with start(counterpart, model, folder / counterpart.name) as running:
            seen = asyncio.run(probe_all(running))
    except (NotMadeError, NotStartedError) as error:
        _tell(f"{counterpart.name}: {error}")
        return None
    _tell(f"{counterpart.name}: asked")
    return Asked(str(datetime.now(UTC).date()), read_version(counterpart), seen)


@contextmanager
def _open_folder(given: Path | None) -> Iterator[Path]:
    if given is not None:
        yield given
        return
    with tempfile.TemporaryDirectory(prefix="pool-honours-") as folder:
        yield Path(folder)


def _read_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Find out what real servers honour of a request.")
    parser.add_argument("--servers", default=list(COUNTERPARTS), type=_choose, help="names, with commas")
    parser.add_argument("--folder", type=lambda text: Path(text).resolve(), help="for models and logs; kept")
    parser.add_argument("--page", action="store_true", help="ask nobody, write the page")
    parser.add_argument("--results", default=RESULTS, type=Path, help="where what was seen is kept")
    parser.add_argument("--write", default=PAGE, type=Path, help="where the page is written")
    return parser.parse_args()


def _choose(text: str) -> list[Counterpart]:
    known = {one.name: one for one in COUNTERPARTS}
    try:
        return [known[name.strip()] for name in text.split(",")]
    except KeyError as error:
        raise argparse.ArgumentTypeError(f"there is no {error}; there are {', '.join(known)}") from None


def _tell(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
