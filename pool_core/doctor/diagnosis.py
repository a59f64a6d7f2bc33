"""What the examinations mean: findings, each with what to do."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence

from pool_core.doctor.examination import Examination
from pool_core.interfaces.values import Finding

__all__ = ["diagnose"]

#: CPU seconds of an entry module's import, which every command pays.
MOST_SECONDS = 0.05
_REPORT = "report it to the plugin's authors, or switch it off: --block {}"


def diagnose(examinations: Sequence[Examination]) -> list[Finding]:
    """What is wrong with the plugins, and with them together. An ``error`` is what a recipe could trip over."""
    found = [finding for examination in examinations for finding in _diagnose_plugin(examination)]
    return [*found, *_find_clashes(examinations)]


def _diagnose_plugin(seen: Examination) -> Iterator[Finding]:
    name, record = seen.plugin.record.name, seen.plugin.record
    if seen.plugin.state == "failed":
        hint = "" if record.problem else _REPORT.format(name)
        yield Finding("error", "plugin-failed", f"{record}: {seen.plugin.reason}", hint=hint, source=name)
    elif seen.plugin.state == "incompatible":
        yield Finding("error", "plugin-incompatible", f"{record}: {seen.plugin.reason}", source=name)
    elif seen.plugin.state == "clashing":
        yield Finding("error", "plugin-clashing", f"{record}: {seen.plugin.reason}", source=name)
    yield from _diagnose_offers(seen)
    if seen.heavy:
        yield Finding(
            "warning",
            "plugin-heavy",
            f"its entry module imports {', '.join(seen.heavy)}, which every command pays for",
            hint="its authors can import them where they are used: an entry module needs pool_core.api alone",
            source=name,
        )
    if seen.seconds is not None and seen.seconds > MOST_SECONDS:
        yield Finding(
            "warning",
            "plugin-slow",
            f"its entry module takes {seen.seconds * 1000:.0f} ms of CPU time, which every command pays",
            hint=f"below {MOST_SECONDS * 1000:.0f} ms is well; `python -X importtime` shows where it goes",
            source=name,
        )
    if seen.plugin.state == "active" and not record.requires_core:
        yield Finding(
            "warning",
            "plugin-unbound",
            f"{record} does not say which pool-core it needs: a core that is too new is not told apart",
            hint='its authors can declare `dependencies = ["pool-core>=0.1,<0.2"]`',
            source=name,
        )


def _diagnose_offers(seen: Examination) -> Iterator[Finding]:
    name = seen.plugin.record.name
    for offer in seen.offers:
        label = f"the {offer.kind.replace('_', ' ')} {name}/{offer.name}"
        if offer.missing:
            yield Finding(
                "info",
                "plugin-needs",
                f"{label} needs {', '.join(offer.missing)}, which is not installed",
                hint=f'to use it: pip install "{offer.install}"',
                source=name,
            )
        elif offer.problem:
            yield Finding("error", "plugin-offer", offer.problem, hint=_REPORT.format(name), source=name)
    if seen.unmarked:
        yield Finding(
            "warning",
            "plugin-unmarked",
            f"its entry module has {' and '.join(seen.unmarked)} without @hookimpl: nothing calls that",
            hint="its authors can mark it: `from pool_core.api import hookimpl`, and @hookimpl above the function",
            source=name,
        )
    elif seen.plugin.state == "active" and not seen.offers and not seen.plugin.hooks:
        yield Finding(
            "warning",
            "plugin-empty",
            f"it offers nothing: {seen.plugin.record.module} implements no hook",
            hint="its authors can let the entry point name the module that has the hooks",
            source=name,
        )


def _find_clashes(examinations: Sequence[Examination]) -> Iterator[Finding]:
    """Short names, and endings of files, that several plugins claim: they then mean none of them."""
    names: dict[tuple[str, str], list[str]] = defaultdict(list)
    endings: dict[tuple[str, str], list[str]] = defaultdict(list)
    for seen in examinations:
        for offer in seen.offers:
            qualified = f"{seen.plugin.record.name}/{offer.name}"
            names[offer.kind.replace("_", " "), offer.name].append(qualified)
            for ending in offer.suffixes:
                endings[offer.kind, ending].append(qualified)
    for (kind, name), claimants in sorted(names.items()):
        if len(claimants) > 1:
            yield Finding(
                "warning",
                "name-taken",
                f"the {kind} {name!r} is offered by {' and '.join(claimants)}: the short name means neither",
                hint="write the qualified name in recipes, or block a plugin",
            )
    for (kind, ending), claimants in sorted(endings.items()):
        if len(claimants) > 1:
            yield Finding(
                "warning",
                "ending-taken",
                f"{' and '.join(claimants)} both answer for {ending!r} files: the ending means neither",
                hint=f"say which one in recipes: {kind}: {claimants[0]}",
            )
