"""The README's figures beside others are those of the pages that were measured."""

from __future__ import annotations

import re

from pages import ROOT

#: What the pages call a system of the README.
OF_SPEED = {
    "pool-core": "pool-core",
    "distilabel 0.6.0, `LLMPool`": "distilabel 0.6 `LLMPool`",
    "distilabel 1.5.3": "distilabel 1.5",
    "Data Designer": "NeMo Data Designer",
    "Curator": "Bespoke Curator",
    "LiteLLM Router": "LiteLLM Router",
}


def read_table(page, start):
    """The rows of the first table behind ``start``, as lists of their fields."""
    text = (ROOT / page).read_text(encoding="utf-8").partition(start)[2]
    lines = re.search(r"(?:^\|.*\|\n)+", text, re.MULTILINE)[0].splitlines()
    return [[field.strip() for field in line.strip("|").split("|")] for line in lines]


def find(table, system):
    (row,) = [row for row in table if row[0].startswith(system)]
    return row


def test_the_readme_says_what_a_call_took():
    readme = read_table("README.md", "## Beside others")
    speed = read_table("docs/benchmarks/speed.md", "### 2,000 x 3, no latency")
    for system, name in OF_SPEED.items():
        assert find(readme, system)[4] == find(speed, name)[1].partition(" ")[0], system
    assert sum(bool(row[4]) for row in readme[2:]) == len(OF_SPEED)


def test_the_readme_says_how_many_faults_are_dealt_with_rightly():
    readme = read_table("README.md", "## Beside others")
    faults = read_table("docs/benchmarks/faults.md", "In brackets")
    right = dict(zip(faults[0][2:], (field.strip("*") for field in faults[-1][2:]), strict=True))
    measured = {"pool-core", "Data Designer", "Curator", "LiteLLM Router", "Inspect"}
    for system in measured:
        assert find(readme, system)[5] == right[system], system
    assert sum(bool(row[5]) for row in readme[2:]) == len(measured)


def test_the_readme_names_the_versions_that_were_measured():
    versions = {row[0]: row[1] for row in read_table("docs/benchmarks/faults.md", "## Systems")[2:]}
    systems = [row[0] for row in read_table("README.md", "## Beside others")[2:]]
    for name, text in versions.items():
        if found := [system for system in systems if system.startswith(name)]:
            assert found[0].removeprefix(name).strip() in text, name
