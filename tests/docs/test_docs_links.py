"""Links between the project's pages lead somewhere, and the site has every page in its navigation."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    [
        *ROOT.glob("*.md"),
        *(ROOT / "docs").rglob("*.md"),
        *(ROOT / "plugins").glob("*/README.md"),
        *(ROOT / "examples").glob("*/README.md"),
    ]
)
_LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)")


def read_prose(path):
    """The page without its code."""
    text = re.sub(r"^(```+).*?^\1", "", path.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    return re.sub(r"`[^`\n]*`", lambda code: code[0].replace("[", "").replace("]", ""), text)


def list_anchors(path):
    """The anchors of the page's headings, as Python-Markdown makes them."""
    text = re.sub(r"^```.*?^```", "", path.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    kept = (re.sub(r"[^\w\s-]", "", heading).strip().lower() for heading in headings)
    return {re.sub(r"[-\s]+", "-", heading) for heading in kept}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_relative_links_resolve(page):
    for target in _LINK.findall(read_prose(page)):
        if re.match(r"https?://", target):
            continue
        place, _, anchor = target.partition("#")
        linked = (page.parent / place).resolve() if place else page
        assert linked.exists(), f"{target} leads nowhere"
        if anchor:
            assert anchor in list_anchors(linked), f"{target}: there is no such heading"


def test_there_are_links_to_test():
    assert len([target for page in PAGES for target in _LINK.findall(read_prose(page))]) > 50


def test_links_of_the_site_stay_in_it():
    for page in (ROOT / "docs").rglob("*.md"):
        for target in _LINK.findall(read_prose(page)):
            if not re.match(r"https?://|#", target):
                linked = (page.parent / target.partition("#")[0]).resolve()
                assert linked.is_relative_to(ROOT / "docs"), f"{page.name}: {target} is not part of the site"


def test_the_navigation_has_every_page():
    def list_files(items):
        for item in items if isinstance(items, list) else [items]:
            if isinstance(item, str):
                yield item
            else:
                for value in item.values():
                    yield from list_files(value)

    settings = yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))
    listed = list(list_files(settings["nav"]))
    pages = {str(page.relative_to(ROOT / "docs")) for page in (ROOT / "docs").rglob("*.md")}
    assert sorted(listed) == sorted(pages)


def test_the_site_needs_no_web_font():
    assert yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))["theme"]["font"] is False
