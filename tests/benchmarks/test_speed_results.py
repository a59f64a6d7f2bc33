"""Measurements in their file, and what is made of several."""

from __future__ import annotations

from speed.results import Key, Measurement, append, read, summarize


def add(path, repetition, figures, trouble="", system="pool"):
    append(path, Measurement(Key("p", "c", system, repetition), figures, trouble, "v 1", load=0.5))


def test_what_was_measured_is_found_again_with_the_machine(tmp_path):
    path = tmp_path / "folder" / "results.jsonl"
    assert read(path) == {}
    add(path, 0, {"cpu_us": 1.5})
    (one,) = read(path).values()
    assert (one.key, one.figures, one.version, one.load) == (Key("p", "c", "pool", 0), {"cpu_us": 1.5}, "v 1", 0.5)
    assert one.cores >= 1
    assert one.memory > 2**20
    assert one.python.count(".") == 2


def test_of_two_measurements_of_one_thing_the_last_counts(tmp_path):
    path = tmp_path / "results.jsonl"
    add(path, 0, {"x": 1.0})
    add(path, 0, {"x": 2.0})
    assert [one.figures for one in read(path).values()] == [{"x": 2.0}]


def test_a_line_that_breaks_off_was_never_measured(tmp_path):
    path = tmp_path / "results.jsonl"
    add(path, 0, {"x": 1.0})
    with path.open("a", encoding="utf-8") as file:
        file.write('{"key": {"program": "p", "ca')
    assert len(read(path)) == 1
    add(path, 1, {"x": 3.0})  # goes on after it
    assert [one.figures["x"] for one in read(path).values()] == [1.0, 3.0]


def test_repetitions_become_a_median_with_its_range(tmp_path):
    path = tmp_path / "results.jsonl"
    for repetition, value in enumerate((5.0, 1.0, 3.0)):
        add(path, repetition, {"x": value})
    add(path, 3, {}, "killed after 600 s")
    add(path, 0, {"x": 7.0}, system="other")
    found = summarize(read(path), "p")
    one = found["c", "pool"]
    assert (one.figures, one.repetitions, one.trouble) == ({"x": (3.0, 1.0, 5.0)}, 3, "killed after 600 s")
    assert found["c", "other"].figures == {"x": (7.0, 7.0, 7.0)}
    assert summarize(read(path), "another program") == {}
