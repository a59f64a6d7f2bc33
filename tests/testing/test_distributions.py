"""Fake distributions look like installed ones."""

from __future__ import annotations

import csv
import json
from base64 import urlsafe_b64encode
from hashlib import sha256
from importlib.metadata import PathDistribution

import pytest

from pool_core.testing.distributions import write_distribution


def test_it_reads_as_an_installed_distribution(tmp_path):
    info = write_distribution(
        tmp_path / "site",
        name="Pool.X-y",
        version="1.0",
        entry_points={
            "pool_core.plugins.v1": {"x": "pool_x", "y": "pool_x:y"},
            "console_scripts": {"x": "pool_x:main"},
        },
        modules={"pool_x": "A = 1\n", "pool_y.inside.deep": "B = 'é'\n", "pool_y": "C = 3\n"},
        requires=["pool-core>=0.1", 'x; extra == "dev"'],
    )
    assert info == tmp_path / "site" / "pool_x_y-1.0.dist-info"
    found = PathDistribution(info)
    assert (found.metadata["Name"], found.version) == ("Pool.X-y", "1.0")
    assert found.requires == ["pool-core>=0.1", 'x; extra == "dev"']
    assert [(point.group, point.name, point.value) for point in found.entry_points] == [
        ("pool_core.plugins.v1", "x", "pool_x"),
        ("pool_core.plugins.v1", "y", "pool_x:y"),
        ("console_scripts", "x", "pool_x:main"),
    ]
    assert found.read_text("direct_url.json") is None


def test_modules_that_others_stand_in_are_packages(tmp_path, monkeypatch):
    write_distribution(tmp_path, modules={"fake_top.inside.deep": "B = 'é'", "fake_top": "C = 3", "fake_flat": "A = 1"})
    monkeypatch.syspath_prepend(tmp_path)
    import fake_flat
    import fake_top.inside.deep

    assert (fake_flat.A, fake_top.C, fake_top.inside.deep.B) == (1, 3, "é")
    assert (tmp_path / "fake_flat.py").is_file()


def test_the_record_lists_every_file_with_its_hash(tmp_path):
    info = write_distribution(tmp_path, entry_points={"g": {"x": "m"}}, modules={"m.n": "x = 'é'\n"}, editable=True)
    with (info / "RECORD").open(newline="", encoding="utf-8") as file:
        rows = {path: (digest, size) for path, digest, size in csv.reader(file)}
    assert rows.pop("pool_x-1.0.dist-info/RECORD") == ("", "")
    written = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()}
    assert set(rows) == written - {"pool_x-1.0.dist-info/RECORD"}
    for path, (digest, size) in rows.items():
        data = (tmp_path / path).read_bytes()
        assert digest == "sha256=" + urlsafe_b64encode(sha256(data).digest()).rstrip(b"=").decode()
        assert size == str(len(data))


def test_an_editable_one_says_so(tmp_path):
    info = write_distribution(tmp_path, editable=True)
    origin = json.loads((info / "direct_url.json").read_text(encoding="utf-8"))
    assert origin == {"url": tmp_path.resolve().as_uri(), "dir_info": {"editable": True}}


@pytest.mark.parametrize("name", ["", "../x", "a b", "-x", "x/"])
def test_what_is_no_name_of_a_distribution_is_refused(tmp_path, name):
    with pytest.raises(ValueError, match="is no name of a distribution"):
        write_distribution(tmp_path, name=name)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("module", ["", "../x", "a-b", "a.", ".a", "1a", "a..b"])
def test_what_is_no_name_of_a_module_is_refused(tmp_path, module):
    with pytest.raises(ValueError, match="is no name of a module"):
        write_distribution(tmp_path, modules={module: ""})
    assert list(tmp_path.iterdir()) == []
