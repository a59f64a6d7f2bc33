"""Prompts and answers on their way through the members' tasks."""

from __future__ import annotations

from pool_core.engine.workers import Workers
from pool_core.errors import PluginError
from pool_core.interfaces.values import Answer, Outcome, Prompt, Row
from pool_core.plan.cells import format_prompt, read_answer, render_guarded
from pool_core.plan.model import Plan, PlannedMember
from pool_core.watchdog import Watchdog, describe_error

__all__ = ["Reader"]


class Reader:
    """Has tasks make prompts and read answers, so that none of them can hold up or end the run.

    A light task runs here, in the thread of the event loop, and the watchdog ends what takes too
    long. A heavy one runs in another process.

    Raises:
        PluginError: a heavy task cannot be sent to another process.
    """

    def __init__(self, plan: Plan, watchdog: Watchdog) -> None:
        heavy = [member for member in plan.members if _is_heavy(member)]
        self._watchdog = watchdog
        self._heavy = frozenset(member.index for member in heavy)
        self._workers = Workers(plan, heavy, watchdog)

    async def render(self, member: PlannedMember, row: Row) -> Prompt:
        """What the task of ``member`` asks for ``row``. Waits for nothing where the task is light.

        Raises:
            TemplateError: the row yields no prompt, whatever the task did.
            PluginError: no call of the task can work.
        """
        if member.index in self._heavy:
            return await self._workers.render(member, row)
        return render_guarded(member, row, self._watchdog)

    def format(self, member: PlannedMember, prompt: Prompt) -> Prompt:
        """``prompt`` in the form that the member's backend takes. Raises `TemplateError` where there is none."""
        return format_prompt(member, prompt, self._watchdog)

    async def read_answer(self, member: PlannedMember, answer: Answer, row: Row) -> Outcome:
        """What ``answer`` gives, or why it gives nothing. Waits for nothing where the task is light.

        Raises:
            PluginError: no call of the task can work.
        """
        if member.index in self._heavy:
            return await self._workers.read_answer(member, answer, row)
        return read_answer(member, answer, row, self._watchdog)

    def close(self) -> None:
        """End the processes."""
        self._workers.close()


def _is_heavy(member: PlannedMember) -> bool:
    try:
        return bool(member.task.heavy)
    except (Exception, SystemExit) as error:
        raise PluginError(
            f"the task {member.task_name} does not say whether it is heavy: {describe_error(error)}",
            where=f"member {member.name!r}",
        ) from error
