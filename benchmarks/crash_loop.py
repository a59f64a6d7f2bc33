"""A run that is killed again and again (kill -9), against a server that counts what it is asked.

805 rows and three members by default, as made up here, or the rows of a JSON Lines file with a column
``instruction``. Each life of the run ends at a random moment; then the run goes on to its end, and a run without
interruption is made beside it. It fails where an answer that was stored is asked again, a row is lost, or the two
merged files differ; and prints what was paid twice::

    python benchmarks/crash_loop.py [--kills 200] [--rows 805] [--data FILE] [--seed 7]
"""

from __future__ import annotations

import argparse
import json
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

from pool_core.errors import StoreError
from pool_core.interfaces.encoding import decode_answer
from pool_core.store.store import Store
from pool_core.testing.server import ReceivedRequest, Reply, ScriptedServer, make_chat_body

MEMBERS = ("ann", "bob", "cat")
CONCURRENCY = 16
WORDS = ("amber", "basin", "cedar", "delta", "ember", "fjord", "grove", "harbor", "inlet", "jetty", "kelp", "marsh")


@dataclass
class Counts:
    """What the server has seen. Written in its thread."""

    random: Random
    latency: float
    lock: threading.Lock = field(default_factory=threading.Lock)
    asked: list[str] = field(default_factory=list)

    def reply(self, request: ReceivedRequest) -> Reply:
        """An answer that only the request decides, after a time that it does not."""
        prompt = "\n".join(message["content"] for message in request.body["messages"])
        name = f"{request.body['model']} {blake2b(prompt.encode(), digest_size=12).hexdigest()}"
        with self.lock:
            self.asked.append(name)
        delay = min(self.random.expovariate(1 / self.latency), 20 * self.latency) if self.latency else 0.0
        return Reply(body=make_chat_body(f"{name} {prompt[::-1]}"), delay=delay)

    def count(self) -> int:
        with self.lock:
            return len(self.asked)


def write_rows(path: Path, rows: int, random: Random, data: Path | None) -> int:
    """The rows, all different. Returns their number."""
    if data is not None:
        lines = [json.loads(line) for line in data.read_text(encoding="utf-8").splitlines()][:rows]
        found = [{**row, "id": f"row-{number}"} for number, row in enumerate(lines)]
    else:
        texts = (" ".join(random.choices(WORDS, k=random.randint(5, 120))) for _ in range(rows))
        found = [{"id": f"row-{number}", "instruction": f"{number}: {text}"} for number, text in enumerate(texts)]
    path.write_text("".join(json.dumps(row) + "\n" for row in found), encoding="utf-8")
    return len(found)


def write_recipe(path: Path, url: str, output: str) -> None:
    """Three members of one server."""
    lines = ["rows: {path: rows.jsonl, id: id}", f"output: {output}", "pool:", "  members:"]
    for name in MEMBERS:
        backend = {"use": "openai", "model": name, "base_url": url}
        lines += [f"    - name: {name}", f"      backend: {json.dumps(backend)}", "      task: text-generation"]
        lines += [f"      limits: {{concurrency: {CONCURRENCY}}}"]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def start(folder: Path, recipe: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "pool_core", "run", recipe, "--quiet"]
    return subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


def read_stored(folder: Path) -> Counter[str]:
    """The answers that are in the store, by what the server calls them."""
    try:
        store = Store.read(folder)
    except StoreError as error:
        if "there is no run" not in str(error):
            raise
        return Counter()  # killed before its tables were made
    with store:
        bodies = [body for (body,) in store.query("SELECT body FROM answers")]
    return Counter(" ".join((decode_answer(body).text or "").split()[:2]) for body in bodies)


def live_and_die(folder: Path, counts: Counts, random: Random, *, asks: bool) -> bool:
    """One life, ended after a random number of requests and a moment more. Returns whether it was killed.

    Where nothing is left to ask, it ends at a random moment of what a run does besides.
    """
    process = start(folder, "recipe.yaml")
    wanted = counts.count() + random.randint(0, 2 * CONCURRENCY)
    while asks and process.poll() is None and counts.count() < wanted:
        time.sleep(0.001)
    time.sleep(random.random() * (0.08 if asks else 1.5))
    process.kill()
    _, errors = process.communicate()
    if process.returncode not in (0, -signal.SIGKILL):
        raise SystemExit(f"a run ended with {process.returncode}:\n{errors.decode()}")
    return process.returncode != 0


def finish(folder: Path, recipe: str) -> None:
    process = start(folder, recipe)
    _, errors = process.communicate()
    if process.returncode:
        raise SystemExit(f"the last run ended with {process.returncode}:\n{errors.decode()}")


def measure(folder: Path, counts: Counts, url: str, cells: int, kills: int, random: Random) -> None:
    """Kill, go on, compare, and print the figures."""
    write_recipe(folder / "recipe.yaml", url, "output.jsonl")
    stored: Counter[str] = Counter()
    lost, killed, lives = [], 0, 0
    while killed < kills:
        before = counts.count()
        killed += live_and_die(folder, counts, random, asks=stored.total() < cells)
        lives += 1
        again = set(counts.asked[before:]) & set(stored)
        if again:
            raise SystemExit(f"asked again although it was stored: {sorted(again)[:5]}")
        now = read_stored(folder / "runs" / "recipe")
        if not stored <= now:
            raise SystemExit(f"lost: {sorted(stored - now)[:5]}")
        lost.append(counts.count() - before - (now - stored).total())
        stored = now
    before = counts.count()
    finish(folder, "recipe.yaml")
    again = set(counts.asked[before:]) & set(stored)
    if again:
        raise SystemExit(f"asked again although it was stored: {sorted(again)[:5]}")
    total = counts.count()
    if len(set(counts.asked)) != cells:
        raise SystemExit(f"{len(set(counts.asked))} different requests instead of {cells}")
    write_recipe(folder / "whole.yaml", url, "whole.jsonl")
    finish(folder, "whole.yaml")
    same = (folder / "output.jsonl").read_bytes() == (folder / "whole.jsonl").read_bytes()
    rows = (folder / "output.jsonl").read_bytes().count(b"\n")
    print(
        f"{cells:,} cells, {killed} kills in {lives} lives, {len(MEMBERS)} x {CONCURRENCY} requests in flight at most"
    )
    print(f"requests: {total:,}, which is {total - cells:,} more than cells")
    print(
        f"lost with a kill, in flight or not yet on the disk: {max(lost)} at most, {sum(lost) / killed:.1f} on average"
    )
    print(f"answers that were stored and asked again: 0; rows in the output: {rows:,} of {cells // len(MEMBERS):,}")
    print(f"output equal to the uninterrupted run's, byte by byte: {'yes' if same else 'NO'}")
    if not same or rows != cells // len(MEMBERS):
        raise SystemExit(1)


def main() -> None:
    """Run it in a temporary folder."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--rows", type=int, default=805)
    parser.add_argument("--data", type=Path, help="a JSON Lines file with the column `instruction`")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--latency", type=float, default=0.1, help="mean seconds of an answer")
    options = parser.parse_args()
    random = Random(options.seed)
    with TemporaryDirectory() as name:
        folder = Path(name)
        rows = write_rows(folder / "rows.jsonl", options.rows, random, options.data)
        counts = Counts(Random(options.seed + 1), options.latency)
        with ScriptedServer(counts.reply) as server:
            measure(folder, counts, server.url, rows * len(MEMBERS), options.kills, random)
        shutil.rmtree(folder / "runs")


if __name__ == "__main__":
    main()
