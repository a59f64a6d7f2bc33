"""A whole job: from a plan through the engine and the store to the merged file.

The one place that puts recipe, plan, store, engine and export together. The command line and the
Python interface are both thin layers over it.
"""

from __future__ import annotations

import os
import shlex
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, TypeAlias

import pool_core
from pool_core.data.export import export_run
from pool_core.data.identify import identify_rows
from pool_core.data.records import RunInfo, read_run_info
from pool_core.engine.events import RunFinished, RunStarted
from pool_core.engine.run import Engine, Notify
from pool_core.errors import IncompatibleError, PoolError, RecipeError, UsageError
from pool_core.interfaces.encoding import encode_document
from pool_core.plan.judge import is_same_file
from pool_core.plan.model import Plan
from pool_core.plan.parts import describe_plan
from pool_core.plan.resolve import Resolver
from pool_core.recipe.models import Output
from pool_core.registry import Registry
from pool_core.report.lines import count
from pool_core.report.summary import RunSummary, summarize_run
from pool_core.store.files import write_file
from pool_core.store.ingest import IngestCount
from pool_core.store.store import Store
from pool_core.watchdog import Watchdog

__all__ = ["STUCK_HINT", "Watch", "choose_run_dir", "export", "refuse_incompatible", "run_plan"]

#: Shows or steers a running engine: entered before it starts, left when it has ended.
Watch: TypeAlias = Callable[[Engine], AbstractAsyncContextManager[None]]

STAGE = "pool"

#: What to do about a call that hangs and cannot be ended.
STUCK_HINT = (
    "what was answered before is kept; let the task say `heavy = True`, so that it runs in a process that can "
    "be ended, or report it to the plugin's authors"
)

#: The name that the store's files begin with, and what else a run keeps in its directory.
_STORE_FILES = "run.sqlite"
_OWN_FILES = (_STORE_FILES, "lock", "owner.json", "plan.json", "report.json")


def choose_run_dir(recipe: Path) -> Path:
    """The run directory of a recipe where none is named: always the same, so a run goes on."""
    return recipe.resolve().parent / "runs" / recipe.stem


async def run_plan(
    plan: Plan,
    registry: Registry,
    run_dir: Path,
    *,
    watch: Watch | None = None,
    give_up: Callable[[str], None] | None = None,
    output: bool = True,
) -> RunSummary:
    """Run ``plan`` in ``run_dir``, or go on with what an earlier run left there, and write the merged file.

    Args:
        watch: shows or steers the engine while it runs.
        give_up: called from another thread with a message when a plugin's call cannot be ended: the
            thread of the event loop is lost, and with it the run and the answer that is being read.
        output: whether to write the recipe's output at the end.

    Raises:
        IncompatibleError: the plan has findings of level error; nothing was asked.
        UsageError: the output is a file of the run directory itself; nothing was asked.
        RowsError, StoreError: the rows cannot be read, the run directory cannot be used, or the merged
            file cannot be written: then the run has ended and been told of all the same.
    """
    refuse_incompatible(plan)
    if plan.rows is None:
        raise RecipeError("the recipe has no rows", hint="write `rows: FILE`, or give --rows FILE")
    wanted = plan.recipe.output if output else None
    if wanted is not None:
        _refuse_own_files(plan.folder / wanted.path, run_dir)
    started = time.monotonic()
    notes: list[str] = []
    stamp = plan.rows.read_stamp()
    with Store.open(run_dir) as store, Watchdog(give_up) as watchdog:
        keys = store.register_members(STAGE, [member.name for member in plan.members])
        counted = store.ingest(identify_rows(plan), keys, plan.rows.name)
        if counted.changed or counted.removed or 0 < counted.added < counted.rows:
            notes.append(
                f"rows since the last run: {counted.added} new, {counted.changed} changed, {counted.removed} gone"
            )
        notify = _make_notifier(registry, notes, watchdog)
        engine = Engine(
            plan, store, keys, watchdog, notify=notify if registry.implements("pool_cell_finished") else None
        )
        _keep_run_info(store, plan, engine, keys)
        written = store.get_meta("written")
        store.set_meta("written", None)  # whatever becomes of this run: what was written may be outdated by it
        notify("pool_run_started", RunStarted(run_dir, [member.name for member in plan.members], counted.rows))
        try:
            async with watch(engine) if watch is not None else nullcontext():
                await engine.run()
        finally:
            store.writer.close()
        path: Path | None = None
        failure: Exception | None = None
        try:
            if wanted is not None:
                path = _export_changes(store, registry, wanted, plan, written if counted.unchanged else None)
        except Exception as error:  # noqa: BLE001 - raised below, when the end of the run is told
            failure = error
            notes.append(f"the output was not written: {error.message if isinstance(error, PoolError) else error}")
        notes += _note_faults(store, counted, input_changed=plan.rows.read_stamp() != stamp)
        summary = summarize_run(
            engine.progress,
            interrupted=engine.stopped,
            rows=counted.rows,
            seconds=time.monotonic() - started,
            folder=run_dir,
            output=path,
            notes=[*notes, *engine.notes, *watchdog.describe_slow(), *engine.lag.describe()],
            limit=engine.limit,
            outcomes=_read_outcomes(store, plan, keys),
        )
        _write_report(summary)
        told = len(notes)
        notify(
            "pool_run_finished",
            RunFinished(
                run_dir,
                summary.status,
                {member.name: member.ok for member in summary.members},
                {member.name: sum(member.failed.values()) for member in summary.members},
            ),
        )
        if len(notes) > told:
            summary = replace(summary, notes=(*summary.notes, *notes[told:]))
            _write_report(summary)
    if failure is not None:
        raise _add_hint(failure, run_dir)
    return summary


def _note_faults(store: Store, counted: IngestCount, *, input_changed: bool) -> Iterator[str]:
    if input_changed:
        yield "the input changed while the run went on: run again to take the change up"
    if store.recovered:
        yield f"{count(store.recovered, 'answer')} of an unfinished commit were put back"
    if damaged := counted.damaged + len(store.damaged):
        yield (
            f"{count(damaged, 'stored record')} had been damaged and were not used: "
            "what rests on them was done again, of stored answers where they can be read"
        )


def _read_outcomes(store: Store, plan: Plan, keys: Sequence[int]) -> dict[str, Counter[tuple[str, str]]]:
    """How the cells of each member stand in the store, by status and cause."""
    names = {key: member.name for key, member in zip(keys, plan.members, strict=True)}
    found: dict[str, Counter[tuple[str, str]]] = {name: Counter() for name in names.values()}
    for key, status, cause, number in store.count_cells():
        if key in names:
            found[names[key]][status, cause] += number
    return found


def _add_hint(error: Exception, run_dir: Path) -> Exception:
    """Say how to get at the answers of a run whose merged file could not be written."""
    if isinstance(error, PoolError) and "pool export" not in error.hint:
        # The one layout without columns of the rows, and the one format that holds any value.
        command = f"pool export {shlex.quote(str(run_dir))} --layout long --output answers.jsonl"
        way = f"the answers are safe in the run: {command}"
        error.hint = f"{error.hint.rstrip('.')}; {way}" if error.hint else way
    return error


def _write_report(summary: RunSummary) -> None:
    report = encode_document(summary.to_dict())
    write_file(summary.folder / "report.json", report)


def refuse_incompatible(plan: Plan) -> None:
    """Raise `IncompatibleError` where the plan has findings of level error."""
    errors = [finding for finding in plan.findings if finding.level == "error"]
    if errors:
        lines = [f"{finding.rule}: {finding.message}" for finding in errors]
        raise IncompatibleError(
            "the members do not fit together:\n" + "\n".join(f"  {line}" for line in lines),
            hint="nothing was asked; `pool check` shows the whole picture and what to write",
        )


def export(store: Store, registry: Registry, output: Output, folder: Path) -> tuple[Path, int]:
    """Write the merged file of a run as ``output`` says; relative paths start from ``folder``.

    Returns:
        The file and its number of records.

    Raises:
        UsageError: the file is one of the run directory itself.
        RowsError, StoreError: see `export_run`.
    """
    _refuse_own_files(folder / output.path, store.folder)
    info = read_run_info(store)
    writer, config = Resolver(registry, None).resolve_writer(output)
    path = folder / output.path
    return path, export_run(store, info, path, writer, config, output.layout, raw=output.raw)


def _export_changes(store: Store, registry: Registry, output: Output, plan: Plan, written: Any) -> Path:
    """Write the merged file, unless it is there as ``written`` says and nothing was stored since."""
    path = plan.folder / output.path
    basis = {
        "pool_core": pool_core.__version__,
        "plugins": list(plan.provenance),
        "output": {**output.model_dump(mode="json"), "path": str(path.resolve())},
        "run": store.get_meta("run"),
    }
    stored = store.writer.taken or store.damaged
    if stored or written is None or written != {**basis, "stamp": _read_stamp(path)}:
        export(store, registry, output, plan.folder)
    store.set_meta("written", {**basis, "stamp": _read_stamp(path)})
    return path


def _read_stamp(path: Path) -> list[int] | None:
    """Another where the file is another; None where there is none."""
    try:
        found = path.stat()
    except OSError:
        return None
    return [found.st_size, found.st_mtime_ns, found.st_ino]


def _refuse_own_files(path: Path, run_dir: Path) -> None:
    """Raise `UsageError` where writing ``path`` would destroy what the run keeps in its directory."""
    folder, name = os.path.split(os.path.realpath(path))
    beside_store = folder == os.path.realpath(run_dir) and name.startswith(_STORE_FILES)
    if beside_store or any(is_same_file(path, run_dir / own) for own in _OWN_FILES):
        raise UsageError(
            f"the output would take the place of the run's own {name!r}",
            where=str(path),
            hint="give the output another name, or another folder than the run directory",
        )


def _keep_run_info(store: Store, plan: Plan, engine: Engine, keys: list[int]) -> None:
    """Note in the store what an export needs, and beside it what made the run."""
    members = [
        {"name": member.name, "model": backend.model, "task": member.task_name, "key": key}
        for member, backend, key in zip(plan.members, engine.backends, keys, strict=True)
    ]
    output = plan.recipe.output
    info = RunInfo(
        members=(),
        fields={name: asdict(type_) for name, type_ in plan.schema.items()},
        output=output.model_dump(mode="json") if output is not None else {},
        fallbacks=any(member.fallback is not None for member in plan.members),
    )
    if output is not None:
        info.output["path"] = str((plan.folder / output.path).resolve())  # type: ignore[index]
    store.set_meta(
        "run", {"members": members, "fields": info.fields, "output": info.output, "fallbacks": info.fallbacks}
    )
    store.set_meta("parts", describe_plan(plan))
    manifest = {
        "pool_core": pool_core.__version__,
        "recipe": str(plan.source.path) if plan.source else None,
        "rows": plan.rows.name if plan.rows else None,
        "members": members,
        "schema": {name: str(type_) for name, type_ in plan.schema.items()},
        "findings": [asdict(finding) for finding in plan.findings],
        "silenced": [
            {**asdict(finding), "reason": plan.recipe.pool.findings.silence[finding.rule]} for finding in plan.silenced
        ],
        "plugins": list(plan.provenance),
    }
    write_file(store.folder / "plan.json", encode_document(manifest))


def _make_notifier(registry: Registry, notes: list[str], watchdog: Watchdog) -> Notify:
    """A function that tells a hook, and notes each plugin's first problem."""
    noted: set[str] = set()
    deaf: set[str] = set()

    def notify(hook: str, payload: object) -> None:
        for problem in registry.notify(hook, payload, watchdog, deaf):
            head, _, _ = problem.partition(" failed: ")  # the hook and its plugin; what follows may differ each time
            if head not in noted:
                noted.add(head)
                notes.append(problem)

    return notify
