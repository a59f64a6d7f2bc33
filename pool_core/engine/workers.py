"""Heavy tasks, apart from the event loop: a few processes, each killed and replaced when a call is too much."""

from __future__ import annotations

import asyncio
import os
import pickle
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from queue import Empty, SimpleQueue
from typing import Any

import msgspec

from pool_core.engine.worker import Worker, WorkerEndedError, WorkerLateError
from pool_core.engine.worker_process import Call, Load, SentTask
from pool_core.errors import PluginError, TemplateError
from pool_core.interfaces.encoding import decode_json
from pool_core.interfaces.values import Answer, Cause, Outcome, Prompt, Row
from pool_core.plan.cells import find_fault
from pool_core.plan.model import Plan, PlannedMember
from pool_core.watchdog import Watchdog, describe_error

__all__ = ["Workers"]

#: Most processes of a run.
MOST_WORKERS = 4
#: Seconds for a process to start and to load one task, imports included.
LOAD_SECONDS = 120.0

_HINT = "define its class in a module that can be imported, with a configuration of plain values"


class Workers:
    """Makes prompts and reads answers of the members whose tasks are heavy.

    Processes are started when they are needed, live until `close` and are shared by all members. A
    call that takes too long, eats memory, ends its process or crashes it costs its cell alone.

    Raises:
        PluginError: a heavy task cannot be sent to another process.
    """

    def __init__(self, plan: Plan, heavy: Iterable[PlannedMember], watchdog: Watchdog) -> None:
        self._watchdog = watchdog
        #: By the member's index, its task as it is sent.
        self._sent = {member.index: _pickle_task(plan, member) for member in heavy}
        self._threads = ThreadPoolExecutor(min(MOST_WORKERS, os.cpu_count() or 1), "pool-heavy")
        self._idle: SimpleQueue[Worker] = SimpleQueue()
        self._all: set[Worker] = set()
        #: By the member's index, why its task cannot be loaded.
        self._broken: dict[int, str] = {}
        self._closed = False

    async def render(self, member: PlannedMember, row: Row) -> Prompt:
        """`pool_core.plan.cells.render_prompt` for a heavy task.

        Raises:
            TemplateError: the row yields no prompt, whatever the task did.
            PluginError: the task cannot be loaded in another process, so no call of it can work.
        """
        reply = await self._ask(member, row, None)
        if (error := reply.get("error")) is not None:
            raise TemplateError(error["message"], where=error["where"], hint=error["hint"])
        if (broken := reply.get("broken")) is not None:
            raise TemplateError(f"the task {member.task_name} {broken}")
        return msgspec.convert(reply["prompt"], Prompt)

    async def read_answer(self, member: PlannedMember, answer: Answer, row: Row) -> Outcome:
        """`pool_core.plan.cells.read_answer` for a heavy task.

        Raises:
            PluginError: the task cannot be loaded in another process, so no call of it can work.
        """
        unusable = find_fault(member, answer)
        if unusable is not None:
            return unusable
        reply = await self._ask(member, row, answer)
        if (broken := reply.get("broken")) is not None:
            message = f"the task {member.task_name} {broken}, reading the answer"
            return Outcome("failed", Cause.PARSE, message, answer=answer)
        cause = Cause(reply["cause"]) if reply["cause"] else None
        return Outcome(reply["status"], cause, reply["message"], reply["outputs"], answer)

    def close(self) -> None:
        """End all processes; calls that still wait fail."""
        self._closed = True
        for worker in tuple(self._all):
            worker.kill()
        self._threads.shutdown(cancel_futures=True)
        for worker in self._all:
            worker.close()

    async def _ask(self, member: PlannedMember, row: Row, answer: Answer | None) -> Mapping[str, Any]:
        limits = member.limits
        call = Call(member.index, dict(row), answer, limits.task_timeout, limits.task_memory)
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, self._ask_worker, member, call)

    def _ask_worker(self, member: PlannedMember, call: Call) -> Mapping[str, Any]:
        """Ask a process that is idle, or a new one. Runs in as many threads as there may be processes."""
        if (problem := self._broken.get(member.index)) is not None:
            raise PluginError(problem, hint=_HINT)
        worker = self._take_worker()
        try:
            if member.index not in worker.loaded:
                self._load(worker, member)
            reply = worker.ask(pickle.dumps(call), call.seconds)
        except WorkerLateError:
            return {"broken": f"did not end within {call.seconds:g} s"}
        except WorkerEndedError as error:
            return {"broken": f"ended its process {error}"}
        finally:
            self._give_back(worker)
        decoded: Mapping[str, Any] = decode_json(reply)
        return decoded

    def _load(self, worker: Worker, member: PlannedMember) -> None:
        """Load the member's task. Raises `PluginError` where it cannot be, and notes it for later calls."""
        try:
            reply = worker.ask(pickle.dumps(Load(member.index, self._sent[member.index])), LOAD_SECONDS)
            broken = decode_json(reply)["broken"]
        except WorkerLateError:
            broken = f"it was not loaded within {LOAD_SECONDS:g} s"
        except WorkerEndedError as error:
            broken = f"its process ended {error}"
        if broken:
            problem = f"the heavy task {member.task_name} cannot be loaded in a process of its own: {broken}"
            if not self._closed:
                self._broken[member.index] = problem
            raise PluginError(problem, hint=_HINT)
        worker.loaded.add(member.index)

    def _take_worker(self) -> Worker:
        while True:
            try:
                worker = self._idle.get_nowait()
            except Empty:
                break
            if worker.usable:
                return worker
            self._discard(worker)
        worker = Worker()
        self._all.add(worker)
        if self._closed:
            worker.kill()
        return worker

    def _give_back(self, worker: Worker) -> None:
        if worker.usable:
            self._idle.put(worker)
        else:
            self._discard(worker)

    def _discard(self, worker: Worker) -> None:
        worker.close()
        self._all.discard(worker)


def _pickle_task(plan: Plan, member: PlannedMember) -> bytes:
    """The member's task as bytes: its class and configuration, or the object that Python gave."""
    task = member.task
    given = plan.recipe.pool.members[member.index].task.instance is not None
    sent = (
        SentTask(member.task_name, member.adapter, None, None, task)
        if given
        else SentTask(member.task_name, member.adapter, type(task), task.config)
    )
    problem = "it is defined in the main script or in a notebook" if type(task).__module__ == "__main__" else ""
    if not problem:
        try:
            return pickle.dumps(sent)
        except Exception as error:  # noqa: BLE001 - pickling runs the plugin's code
            problem = describe_error(error)
    raise PluginError(
        f"the heavy task {member.task_name} cannot be sent to a process of its own: {problem}",
        where=f"member {member.name!r}",
        hint=f"{_HINT}, or let it not be heavy",
    )
