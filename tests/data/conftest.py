"""What the tests of data share: a run with rows, members and outcomes, made without an engine."""

from __future__ import annotations

from dataclasses import asdict

import pytest

from pool_core.data.records import read_run_info
from pool_core.interfaces.encoding import encode_answer, encode_json
from pool_core.interfaces.types import FieldType
from pool_core.interfaces.values import Answer
from pool_core.store.records import CellRecord, NewAnswer, NewRow
from pool_core.store.schema import pack_cell
from pool_core.store.store import Store

FIELDS = {"said": FieldType("str", nullable=True), "score": FieldType("int", nullable=True)}


class MadeRun:
    """A run whose outcomes a test writes itself."""

    def __init__(self, folder):
        self.store = Store.open(folder)
        self.keys: list[int] = []

    def start(self, rows, assigned=b"\1\1", members=("a", "b"), fields=None, note=True):
        """Ingest rows, with one assignment or one for each, and note what the run is about."""
        self.keys = self.store.register_members("pool", list(members))
        each = [assigned] * len(rows) if isinstance(assigned, bytes) else assigned
        new = [NewRow(f"id{row.get('n', i)}", "", encode_json(row), each[i]) for i, row in enumerate(rows)]
        self.store.ingest(new, self.keys, "rows")
        if note:
            self.note(members, fields)

    def note(self, members=("a", "b"), fields=None):
        """Keep what an export needs to know of the run."""
        described = [
            {"name": name, "model": f"model-{name}", "task": f"task-{name}", "key": key}
            for name, key in zip(members, self.keys, strict=True)
        ]
        types = {name: asdict(type_) for name, type_ in (fields or FIELDS).items()}
        self.store.set_meta("run", {"members": described, "fields": types, "output": {}})

    def save(self, *cells):
        """Save outcomes: (row id, member's name, sample, outputs or a cause)."""
        keys = dict(self.store._connection.execute("SELECT name, key FROM members"))
        for row_id, member, sample, outcome in cells:
            ok = not isinstance(outcome, str)
            record = CellRecord(
                pack_cell(self.store.find_row(row_id).key, keys[member], sample),
                "ok" if ok else "failed",
                None,
                None,
                1,
                0.0,
                5 if ok else None,
                7 if ok else None,
                "" if ok else outcome,
                "" if ok else f"because of {outcome}",
                encode_json(outcome) if ok else None,
            )
            answer = NewAnswer(0.0, 0.0, b"k", encode_answer(Answer(f"{member}{sample}: \ud83d"))) if ok else None
            self.store.writer.submit(record, answer)
        self.store.writer.start()
        self.store.writer.close()

    @property
    def info(self):
        return read_run_info(self.store)


@pytest.fixture
def run(tmp_path):
    made = MadeRun(tmp_path / "run")
    yield made
    made.store.close()
