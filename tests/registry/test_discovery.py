"""What the metadata of installed distributions says of plugins, broken metadata included."""

from __future__ import annotations

import sys

import pytest

from pool_core.registry.discovery import discover_records
from pool_core.registry.records import Record
from pool_core.testing.distributions import write_distribution

V1 = "pool_core.plugins.v1"


def discover(*folders):
    return discover_records([str(folder) for folder in folders])


def test_a_record_has_what_the_metadata_says(tmp_path):
    write_distribution(
        tmp_path,
        name="Pool.X",
        version="1.2",
        entry_points={V1: {"x": "pool_x:plugin"}},
        requires=["httpx>=1", "pool-core>=0.1,<0.2"],
    )
    assert discover(tmp_path) == [
        Record("x", "pool_x:plugin", "Pool.X", "1.2", 1, requires_core="<0.2,>=0.1", editable=False)
    ]
    assert str(discover(tmp_path)[0]) == "Pool.X 1.2"


def test_nothing_is_imported(tmp_path, monkeypatch):
    write_distribution(
        tmp_path, entry_points={V1: {"x": "pool_never_imported"}}, modules={"pool_never_imported": "raise SystemExit"}
    )
    monkeypatch.syspath_prepend(tmp_path)
    assert [record.name for record in discover(tmp_path)] == ["x"]
    assert "pool_never_imported" not in sys.modules


def test_without_a_path_the_interpreters_own_counts(tmp_path, monkeypatch):
    write_distribution(tmp_path, name="pool-on-sys-path", entry_points={V1: {"on-sys-path": "pool_x"}})
    assert "on-sys-path" not in {record.name for record in discover_records()}
    monkeypatch.syspath_prepend(tmp_path)
    assert "on-sys-path" in {record.name for record in discover_records()}


def test_records_are_sorted_and_of_every_major(tmp_path):
    write_distribution(
        tmp_path,
        name="pool-many",
        entry_points={
            "pool_core.plugins.v2": {"b": "m2"},
            V1: {"b": "m1", "a": "m1a"},
            "pool_core.plugins.v10": {"b": "m10"},
            "console_scripts": {"b": "m:main"},
            "pool_core.plugins.vnext": {"c": "m"},
        },
    )
    write_distribution(tmp_path, name="pool-also", entry_points={V1: {"b": "m"}})
    found = [(record.name, record.distribution, record.api_major, record.module) for record in discover(tmp_path)]
    assert found == [
        ("a", "pool-many", 1, "m1a"),
        ("b", "pool-also", 1, "m"),
        ("b", "pool-many", 1, "m1"),
        ("b", "pool-many", 2, "m2"),
        ("b", "pool-many", 10, "m10"),
    ]


def test_distributions_without_plugins_are_passed_over(tmp_path):
    write_distribution(tmp_path, name="plain", modules={"plain": ""})
    write_distribution(tmp_path, name="scripts", entry_points={"console_scripts": {"x": "m:main"}})
    assert discover(tmp_path) == []


def test_an_editable_installation_is_seen(tmp_path):
    write_distribution(tmp_path, entry_points={V1: {"x": "pool_x"}}, editable=True)
    assert [record.editable for record in discover(tmp_path)] == [True]


def test_extras_behind_the_module_are_left_out(tmp_path):
    write_distribution(tmp_path, entry_points={V1: {"x": "pool_x:plugin [fast]"}})
    assert [record.module for record in discover(tmp_path)] == ["pool_x:plugin"]


@pytest.mark.parametrize(
    ("requires", "expected"),
    [
        ([], ""),
        (["pool-core"], ""),
        (["Pool_Core >=0.1"], ">=0.1"),
        (["pool-core>=0.1", "pool.core<9"], "<9,>=0.1"),
        (['pool-core>=0.1; python_version >= "3.8"'], ">=0.1"),
        (['pool-core>=9; python_version < "3.8"'], ""),
        (['pool-core>=9; extra == "dev"'], ""),
        (["what is this", "pool-core>=0.1"], ">=0.1"),
    ],
)
def test_what_is_asked_of_pool_core_is_every_line_that_holds_here(tmp_path, requires, expected):
    write_distribution(tmp_path, entry_points={V1: {"x": "pool_x"}}, requires=requires)
    assert [record.requires_core for record in discover(tmp_path)] == [expected]


def test_of_two_copies_the_first_on_the_path_counts(tmp_path):
    for folder, version in (("early", "1.0"), ("late", "2.0")):
        write_distribution(
            tmp_path / folder,
            name="pool-x" if folder == "early" else "Pool_X",
            version=version,
            entry_points={V1: {"x": folder, folder: folder}},
        )
    early, late = tmp_path / "early", tmp_path / "late"
    assert [(r.name, r.version) for r in discover(early, late)] == [("early", "1.0"), ("x", "1.0")]
    assert [(r.name, r.version) for r in discover(late, early)] == [("late", "2.0"), ("x", "2.0")]


def test_a_first_copy_without_plugins_hides_the_second(tmp_path):
    """The import takes the first copy's modules, which are not those of the second's entry points."""
    write_distribution(tmp_path / "early", version="0.1", modules={"pool_x": ""})
    write_distribution(tmp_path / "late", version="1.0", entry_points={V1: {"x": "pool_x"}})
    assert discover(tmp_path / "early", tmp_path / "late") == []
    assert len(discover(tmp_path / "late", tmp_path / "early")) == 1


@pytest.mark.parametrize("metadata", [None, b"", b"Metadata-Version: 2.1\n", b"Name: pool-caf\xe9\n"])
def test_a_stale_folder_is_a_record_that_says_so_and_hides_nothing(tmp_path, metadata):
    stale = write_distribution(tmp_path, version="0.9", entry_points={V1: {"x": "pool_x"}})
    (stale / "METADATA").unlink()
    if metadata is not None:
        (stale / "METADATA").write_bytes(metadata)
    write_distribution(tmp_path, version="1.0", entry_points={V1: {"x": "pool_x"}})
    write_distribution(tmp_path, name="pool-a", entry_points={V1: {"a": "pool_a"}})
    found = {str(record): record for record in discover(tmp_path)}
    assert sorted(found) == ["pool-a 1.0", "pool-x 0.9", "pool-x 1.0"]
    assert [str(record) for record in found.values() if record.problem] == ["pool-x 0.9"]
    assert found["pool-x 0.9"].problem == (
        f"{stale} has no METADATA with a name, as an interrupted installation leaves it. "
        "Delete the folder, or reinstall the plugin"
    )


def test_two_stale_folders_are_two_records(tmp_path):
    for name in ("pool-a", "pool-b"):
        stale = write_distribution(tmp_path, name=name, entry_points={V1: {name: "m"}})
        (stale / "METADATA").unlink()
    assert [record.distribution for record in discover(tmp_path, tmp_path)] == ["pool-a", "pool-b"]


def test_entry_points_that_cannot_be_read_are_a_record_that_says_so(tmp_path):
    broken = write_distribution(tmp_path, name="pool-broken", version="3", entry_points={V1: {"x": "pool_x"}})
    (broken / "entry_points.txt").write_text(f"[{V1}]\nthis line says nothing\n")
    latin = write_distribution(tmp_path, name="pool-latin", version="4", entry_points={V1: {"x": "pool_x"}})
    (latin / "entry_points.txt").write_bytes(f"[{V1}]\nx = pool_caf".encode() + b"\xe9\n")
    write_distribution(tmp_path, name="pool-good", entry_points={V1: {"good": "pool_good"}})
    good, first, second = discover(tmp_path)
    assert (first.name, str(first), second.name, str(second)) == (
        "pool-broken",
        "pool-broken 3",
        "pool-latin",
        "pool-latin 4",
    )
    assert first.problem == "its entry_points.txt cannot be read (TypeError). Reinstall pool-broken"
    assert second.problem == "its entry_points.txt cannot be read (UnicodeDecodeError). Reinstall pool-latin"
    assert (good.name, good.problem) == ("good", "")


@pytest.mark.parametrize("name", ["Haiku", "a/b", "two words", "\x1b[31mred"])
def test_an_odd_name_of_a_plugin_is_a_record_that_says_so(tmp_path, name):
    write_distribution(tmp_path, entry_points={V1: {name: "pool_x", "well-2.x_y": "pool_x"}})
    problems = {record.name: record.problem for record in discover(tmp_path)}
    assert problems == {
        name: f"{name!r} is no name of a plugin; its authors can use small letters, digits and hyphens",
        "well-2.x_y": "",
    }


def test_a_foreign_distribution_that_is_no_text_is_passed_over(tmp_path):
    foreign = write_distribution(tmp_path, name="foreign", entry_points={"console_scripts": {"x": "m:main"}})
    (foreign / "entry_points.txt").write_bytes(b"[console_scripts]\ncaf\xe9 = m:main\n")
    write_distribution(tmp_path, name="pool-good", entry_points={V1: {"good": "pool_good"}})
    assert [record.name for record in discover(tmp_path)] == ["good"]


def test_a_broken_origin_is_no_editable_installation(tmp_path):
    info = write_distribution(tmp_path, entry_points={V1: {"x": "pool_x"}}, editable=True)
    (info / "direct_url.json").write_text("{")
    assert [(record.name, record.editable) for record in discover(tmp_path)] == [("x", False)]


def test_a_missing_version_is_empty(tmp_path):
    info = write_distribution(tmp_path, entry_points={V1: {"x": "pool_x"}})
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: pool-x\n")
    assert [(record.version, str(record)) for record in discover(tmp_path)] == [("", "pool-x")]
