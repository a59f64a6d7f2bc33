"""The merged file: every row once and in order, all of it or nothing, also while a run goes on."""

from __future__ import annotations

import json
import os
import sqlite3

import pytest

from pool_core.data.export import export_run
from pool_core.data.layouts import make_schema
from pool_core.data.records import MemberInfo, read_generations, read_run_info
from pool_core.errors import RowsError, StoreError
from pool_core.interfaces.config import PluginConfig
from pool_core.interfaces.data import Writer
from pool_core.interfaces.types import Conflict, FieldType, infer_type, unify
from pool_core.store.store import Store
from pool_core.testing.scripted_plugin import JsonWriter

ROWS = [{"n": 1, "text": "x"}, {"n": 2, "text": None}, {"n": 3, "more": [1]}]


@pytest.fixture
def export(run, tmp_path):
    """Exports the run and gives the records of the file."""

    def export_to_file(layout="nested", *, raw=False, store=None, writer=JsonWriter):
        path = tmp_path / "out" / "merged.json"
        store = store or run.store
        count = export_run(store, read_run_info(store), path, writer, PluginConfig(), layout, raw=raw)
        records = json.loads(path.read_text())
        assert count == len(records)
        return records

    return export_to_file


def pick(records, *names):
    return [tuple(record[name] for name in names) for record in records]


def test_every_row_is_there_in_input_order(run, export):
    run.start(ROWS)
    run.save(("id3", "b", 0, {"said": "late", "score": 1}), ("id1", "a", 0, {"said": "early", "score": 2}))
    assert [{key: value for key, value in record.items() if key != "generations"} for record in export()] == ROWS
    run.start(ROWS[::-1])
    records = export()
    assert pick(records, "n") == [(3,), (2,), (1,)]
    assert [pick(record["generations"], "said") for record in records] == [
        [(None,), ("late",)],
        [(None,), (None,)],
        [("early",), (None,)],
    ]


def test_a_generation_is_complete(run, export):
    run.start(ROWS[:1])
    run.save(("id1", "a", 0, {"said": "yes", "score": 3}), ("id1", "b", 0, "refusal"))
    assert export()[0]["generations"] == [
        {
            "member": "a",
            "model": "model-a",
            "task": "task-a",
            "sample": 0,
            "status": "ok",
            "cause": None,
            "message": None,
            "said": "yes",
            "score": 3,
            "usage": {"input_tokens": 5, "output_tokens": 7},
        },
        {
            "member": "b",
            "model": "model-b",
            "task": "task-b",
            "sample": 0,
            "status": "failed",
            "cause": "refusal",
            "message": "because of refusal",
            "said": None,
            "score": None,
            "usage": None,
        },
    ]


def test_cells_that_are_pending_or_failed_hold_their_place(run, export):
    run.start(ROWS[:1], assigned=b"\3\2")
    run.save(
        ("id1", "a", 2, {"said": "third"}), ("id1", "a", 0, "parse"), ("id1", "b", 1, {"said": "fifth", "score": 5})
    )
    (record,) = export("columns")
    assert record["member"] == ["a", "a", "a", "b", "b"]
    assert record["sample"] == [0, 1, 2, 0, 1]
    assert record["status"] == ["failed", "pending", "ok", "pending", "ok"]
    assert record["said"] == [None, None, "third", None, "fifth"]
    assert record["score"] == [None, None, None, None, 5]
    assert {len(value) for value in record.values() if isinstance(value, list)} == {5}


def test_a_condition_that_failed_is_one_generation(run, export):
    run.start(ROWS[:1], assigned=b"\xff\0")
    run.save(("id1", "a", 0, "render"))
    assert pick(export()[0]["generations"], "member", "cause") == [("a", "render")]


def test_a_row_that_nobody_answers_is_there(run, export):
    run.start(ROWS[:1], assigned=b"\0\0")
    assert export()[0]["generations"] == []
    assert export("columns")[0]["said"] == []
    assert export("long") == []


def test_254_samples_of_many_members(run, export):
    names = [f"m{number}" for number in range(260)]
    run.start(ROWS[:1], assigned=b"\0" * 258 + b"\1\xfe", members=names)
    run.save(("id1", "m259", 253, {"said": "last"}), ("id1", "m258", 0, {"said": "first"}))
    generations = export()[0]["generations"]
    assert len(generations) == 255
    assert pick([generations[0], generations[-1]], "member", "sample", "said") == [
        ("m258", 0, "first"),
        ("m259", 253, "last"),
    ]


def test_an_empty_run(run, export):
    run.start([])
    for layout in ("nested", "columns", "long"):
        assert export(layout) == []


def test_a_run_that_has_not_started(run):
    with pytest.raises(StoreError) as error:
        read_run_info(run.store)
    assert str(error.value) == f"{run.store.folder}: the run has not started: it holds no rows yet"


def test_long_has_a_record_per_cell(run, export):
    run.start(ROWS)
    run.save(("id2", "b", 0, {"said": "yes"}))
    assert pick(export("long"), "row_id", "member", "status", "said") == [
        ("id1", "a", "pending", None),
        ("id1", "b", "pending", None),
        ("id2", "a", "pending", None),
        ("id2", "b", "ok", "yes"),
        ("id3", "a", "pending", None),
        ("id3", "b", "pending", None),
    ]


def test_raw_is_the_text_as_it_came(run, export):
    run.start(ROWS[:1], assigned=b"\1\2")
    run.save(("id1", "a", 0, {"said": "x"}), ("id1", "b", 0, "timeout"))
    assert pick(export("long", raw=True), "raw") == [("a0: \ud83d",), (None,), (None,)]
    assert export("columns", raw=True)[0]["raw"] == ["a0: \ud83d", None, None]
    assert "raw" not in export()[0]["generations"][0]


def test_outcomes_of_other_fields_do_not_shift(run, export):
    run.start(ROWS[:1])
    run.save(("id1", "a", 0, {"old": 1, "said": "x"}))
    assert list(export()[0]["generations"][0]) == [
        *("member", "model", "task", "sample", "status", "cause", "message"),
        *("said", "score", "usage"),
    ]


# The file


class Torn(Writer[PluginConfig]):
    """Writes half of a file and then fails."""

    Config = PluginConfig
    error: Exception = ValueError("torn")

    def write(self, records, schema):
        self.path.write_text("[")
        next(iter(records))
        raise self.error


@pytest.mark.parametrize(
    "error", [ValueError("torn"), OSError(28, "No space left on device"), KeyboardInterrupt("torn")]
)
def test_a_writer_that_fails_leaves_the_old_file_and_nothing_else(run, export, tmp_path, monkeypatch, error):
    run.start(ROWS)
    before = export()
    monkeypatch.setattr(Torn, "error", error)
    with pytest.raises((StoreError, ValueError, KeyboardInterrupt)) as caught:
        export(writer=Torn)
    if isinstance(error, OSError):
        assert str(caught.value) == (
            f"{tmp_path / 'out' / 'merged.json'}: the output cannot be written: No space left on device\n"
            "  the answers are safe in the run; mend it and write the file with: "
            f"pool export {run.store.folder}"
        )
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["merged.json"]
    assert json.loads((tmp_path / "out" / "merged.json").read_text()) == before


def test_a_new_file_takes_the_place_of_the_old_one(run, export, tmp_path):
    run.start(ROWS)
    export()
    run.save(("id1", "a", 0, {"said": "new"}))
    assert export()[0]["generations"][0]["said"] == "new"
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["merged.json"]


def test_a_folder_in_the_place_of_the_file_is_refused(run, export, tmp_path):
    run.start(ROWS)
    (tmp_path / "out" / "merged.json").mkdir(parents=True)
    with pytest.raises(StoreError, match="the output cannot be written: Is a directory"):
        export()
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["merged.json"]


def test_a_column_that_the_layout_would_overwrite_leaves_the_old_file(run, export, tmp_path):
    run.start(ROWS)
    before = export()
    run.start([*ROWS, {"n": 4, "generations": "mine"}])
    with pytest.raises(RowsError, match="the row 'id4' has a column 'generations'"):
        export()
    assert json.loads((tmp_path / "out" / "merged.json").read_text()) == before
    assert len(export("long")) == 8


class Keeping(JsonWriter):
    """Keeps what it was given."""

    given: list = []  # noqa: RUF012

    def write(self, records, schema):
        records = list(records)
        self.given.append((records, dict(schema), self.path.name))
        return super().write(records, schema)


@pytest.mark.parametrize("layout", ["nested", "columns", "long"])
@pytest.mark.parametrize("raw", [False, True])
def test_the_schema_matches_the_records(run, export, layout, raw):
    run.start(ROWS, assigned=b"\2\1")
    run.save(("id1", "a", 0, {"said": "x", "score": 1}), ("id2", "b", 0, "parse"))
    Keeping.given.clear()
    export(layout, raw=raw, writer=Keeping)
    ((records, schema, _),) = Keeping.given
    for record in records:
        assert record.keys() <= schema.keys()
        for name, value in record.items():
            assert holds(schema[name], value), (name, value)
    assert {name for record in records for name in record} == schema.keys()


def holds(type_, value):
    """Whether ``type_`` can hold ``value`` as it is."""
    if type_.kind == "struct" and value is not None:
        return value.keys() == dict(type_.fields).keys() and all(holds(t, value[n]) for n, t in type_.fields)
    if type_.kind == "list" and value is not None:
        return all(holds(type_.items, item) for item in value)
    unified = unify(type_, infer_type(value))
    return not isinstance(unified, Conflict) and unified == type_


def test_the_temporary_file_keeps_the_ending_in_its_name(run, export):
    run.start(ROWS)
    Keeping.given.clear()
    export(writer=Keeping)
    assert Keeping.given[0][2] == f".merged.json.{os.getpid()}.part"


# Beside a run


def test_a_run_can_be_exported_while_another_connection_writes(run, export):
    run.start(ROWS)
    run.save(("id1", "a", 0, {"said": "x"}))
    other = sqlite3.connect(run.store.folder / "run.sqlite", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    other.execute("DELETE FROM cells")
    with Store.read(run.store.folder) as reader:
        assert export(store=reader)[0]["generations"][0]["said"] == "x"
        other.execute("COMMIT")
        assert export(store=reader)[0]["generations"][0]["said"] is None
    other.close()


class Interrupting(JsonWriter):
    """Lets something happen between the first record and the others."""

    happen = None

    def write(self, records, schema):
        records = iter(records)
        first = next(records)
        type(self).happen()
        return super().write([first, *records], schema)


def test_an_export_shows_one_moment(run, export, monkeypatch):
    run.start(ROWS)
    with Store.read(run.store.folder) as reader:
        change = staticmethod(lambda: run.start([{"n": 9, "other": 1}], assigned=b"\1\1\1", members=["c", "b", "a"]))
        monkeypatch.setattr(Interrupting, "happen", change)
        records = export(store=reader, writer=Interrupting)
        assert pick(records, "n") == [(1,), (2,), (3,)]
        assert [pick(record["generations"], "member") for record in records] == [[("a",), ("b",)]] * 3
        assert pick(export(store=reader), "n") == [(9,)]


def test_the_cells_of_the_last_row_are_of_the_same_moment(run):
    run.start(ROWS)
    with Store.read(run.store.folder) as reader:
        found = read_generations(reader, run.info)
        next(found)
        run.save(("id3", "a", 0, {"said": "late"}))
        *_, (row, generations) = found
        assert (row.row_id, [generation["status"] for generation in generations]) == ("id3", ["pending", "pending"])
        *_, (_, generations) = read_generations(reader, run.info)
        assert [generation["status"] for generation in generations] == ["ok", "pending"]


def test_generations_that_are_left_early_hold_nothing(run):
    run.start(ROWS)
    with Store.read(run.store.folder) as reader:
        generations = read_generations(reader, run.info)
        next(generations)
        run.start([*ROWS, {"n": 4}])
        assert len(reader.read_rows()) == 3
        generations.close()
        assert len(reader.read_rows()) == 4


class Blind(JsonWriter):
    """Never looks at the types."""

    def write(self, records, schema):
        return super().write(records, {})


def test_rows_are_read_twice_only_for_a_writer_that_looks_at_the_types(run, export, monkeypatch):
    run.start(ROWS)
    reads = []
    iterate = Store.iterate_rows
    monkeypatch.setattr(Store, "iterate_rows", lambda store: (reads.append(1), iterate(store))[1])
    export(writer=Blind)
    assert len(reads) == 1
    export(writer=Keeping)
    assert len(reads) == 3


def test_the_schema_is_of_the_same_moment_as_the_records(run, export, monkeypatch):
    """Rows that come in while the columns are being looked at are in neither."""
    import pool_core.data.export as module

    run.start(ROWS)
    with Store.read(run.store.folder) as reader:
        look = module.merge_columns

        def look_late(rows):
            columns = look(rows)
            run.start([{"n": 9, "other": 1}])
            return columns

        monkeypatch.setattr(module, "merge_columns", look_late)
        Keeping.given.clear()
        export(store=reader, writer=Keeping)
        ((records, schema, _),) = Keeping.given
        assert schema.keys() == {"n", "text", "more", "generations"}
        assert pick(records, "n") == [(1,), (2,), (3,)]


def test_generations_are_of_the_members_that_the_rows_were_assigned_to(run, export):
    """A run that ended between taking its rows in and starting: its note is that of the run before."""
    run.start(ROWS[:1], members=("a", "b"))
    run.save(("id1", "a", 0, {"said": "from a"}), ("id1", "b", 0, {"said": "from b"}))
    run.start(ROWS[:1], members=("b", "new", "a"), assigned=b"\1\1\1", note=False)
    assert pick(export()[0]["generations"], "member", "model", "status", "said") == [
        ("b", "model-b", "ok", "from b"),
        ("new", None, "pending", None),
        ("a", "model-a", "ok", "from a"),
    ]


def test_two_members_that_are_alike_are_kept_apart(run, export):
    run.start(ROWS[:2])
    run.save(("id1", "b", 0, {"said": "x"}), ("id2", "a", 0, {"said": "x"}))
    assert [pick(record["generations"], "said") for record in export()] == [[(None,), ("x",)], [("x",), (None,)]]


def test_the_info_of_a_run_is_what_was_noted(run):
    run.start(ROWS)
    assert run.info.members == (
        MemberInfo("a", "model-a", "task-a", 1),
        MemberInfo("b", "model-b", "task-b", 2),
    )
    assert list(run.info.fields) == ["said", "score"]
    assert [row.row_id for row, _ in read_generations(run.store, run.info)] == ["id1", "id2", "id3"]


def test_rows_with_half_emojis_are_exported(run, export):
    run.start([{"n": 1, "text": "\ud83d"}])
    run.save(("id1", "a", 0, {"said": "\ude00"}))
    (record,) = export()
    assert (record["text"], record["generations"][0]["said"]) == ("\ud83d", "\ude00")
    assert make_schema("nested", {"text": FieldType("str")}, {}, raw=False)["text"] == FieldType("str")
