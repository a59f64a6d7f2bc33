"""What a type checker sees of the public names in the code of others. Checked by mypy, never run: ``tox run -e type``.

``assert_type`` fails where a type has changed, and a comment ``type: ignore`` where the mistake before it is no
longer found. pydantic's plugin for mypy is off, since others may not use it, or another checker.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, assert_type

from pydantic import BaseModel

from pool_core import Member, Pool, PoolError, Registry, Result, run_recipe
from pool_core.api import Contribution, hookimpl
from pool_core.interfaces.backend import Backend
from pool_core.interfaces.config import PluginConfig
from pool_core.interfaces.task import Task
from pool_core.interfaces.values import Answer, Capabilities, Finding, Prompt, Request, Row


class LabelConfig(PluginConfig):
    column: str = "text"


class Label(BaseModel):
    label: str


class LabelTask(Task[LabelConfig]):
    Config = LabelConfig
    Output = Label

    @property
    def inputs(self) -> tuple[str, ...]:
        assert_type(self.config, LabelConfig)
        return (self.config.column,)

    def render(self, row: Row) -> Prompt:
        assert_type(row, Mapping[str, Any])
        return Prompt.chat(row[self.config.column])

    def parse(self, answer: Answer, row: Row) -> Label:
        assert_type(answer.text, str | None)
        return Label(label=answer.text or "")


class WrongTask(Task[LabelConfig]):
    @property
    def inputs(self) -> list[str]:  # type: ignore[override]
        return ["text"]

    def render(self, row: Row) -> str:  # type: ignore[override]
        return str(row)

    def parse(self, answer: Answer, row: Row) -> str:  # type: ignore[override]
        return answer.text or ""


class EchoConfig(PluginConfig):
    model: str


class Echo(Backend[EchoConfig]):
    Config = EchoConfig

    @classmethod
    def capabilities(cls, config: EchoConfig, inner: Mapping[str, Capabilities]) -> Capabilities:
        return Capabilities()

    @property
    def model(self) -> str:
        assert_type(self.config, EchoConfig)
        return self.config.model

    @property
    def endpoint(self) -> str:
        return "echo"

    async def generate(self, request: Request) -> Answer:
        return Answer(request.body.decode())


class WrongEcho(Echo):
    def generate(self, request: Request) -> Answer:  # type: ignore[override]
        return Answer("not awaited")


@hookimpl
def pool_tasks() -> Iterator[Contribution]:
    yield Contribution("label", "pool_label.task:LabelTask")
    yield Contribution("label", LabelTask)  # type: ignore[arg-type]


class House:
    @hookimpl
    def pool_check_compatibility(self, plan: object) -> list[Finding]:
        return [Finding("error", "house", "no"), Finding("fatal", "house", "no")]  # type: ignore[arg-type]


def use_a_pool(rows: list[dict[str, str]]) -> None:
    LabelTask(EchoConfig(model="m"))  # type: ignore[arg-type]
    WrongTask()  # type: ignore[call-arg]
    Backend(EchoConfig(model="m"))  # type: ignore[abstract]
    member = Member(name="a", backend=Echo(EchoConfig(model="m")), task=LabelTask(LabelConfig()))
    other = Member(name="b", backend={"use": "simulate"}, task="text-generation", outputs={"label": "generation"})
    pool = Pool(members=[member, other], samples=2)
    assert_type(pool.members[0], Member)
    Member(name="d", backend=pool.members[0].backend, task=pool.members[0].task)
    assert_type(pool.check(rows).compatible, bool)
    result = pool.run(rows, run_dir=Path("runs"), registry=Registry.discover())
    assert_type(result, Result)
    assert_type(result.rows(), Iterator[dict[str, Any]])
    assert_type(result.rows("long", raw=True), Iterator[dict[str, Any]])
    assert_type(result.export("rows.csv", layout="columns"), int)
    assert_type(result.run_dir, Path)
    result.rows("broad")  # type: ignore[arg-type]
    result.summary = result.summary  # type: ignore[misc]
    Member(name="c", backend=7, task="chat")  # type: ignore[arg-type]
    Member(name="c", backend="simulate")  # type: ignore[call-arg]
    Pool(members=member)  # type: ignore[arg-type]
    pool.run("rows.jsonl")  # type: ignore[arg-type]
    assert_type(run_recipe("recipe.yaml"), Result)


async def use_a_pool_in_a_loop(pool: Pool, rows: list[Row]) -> None:
    assert_type(await pool.arun(rows), Result)


def read_an_error(error: PoolError) -> None:
    assert_type((error.message, error.where, error.hint, error.exit_code), tuple[str, str, str, int])
