"""What may stand in a recipe. The same models are the Python interface."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    WrapValidator,
    field_validator,
    model_validator,
)

from pool_core.interfaces.values import Cause
from pool_core.recipe.uses import BackendField, PolicyField, Use, UseField
from pool_core.watchdog import CALL_MEMORY, CALL_SECONDS

if TYPE_CHECKING:
    from pool_core.interfaces.backend import Backend
    from pool_core.interfaces.task import Task

__all__ = [
    "Budget",
    "Hedge",
    "Limits",
    "Member",
    "Output",
    "Plugins",
    "PoolSpec",
    "Price",
    "Reask",
    "Recipe",
    "Rows",
    "Sampling",
    "StopWhen",
]


class Strict(BaseModel):
    """Frozen; unknown keys, infinities and NaN are refused. The parts of a recipe are built with the whole alone."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", arbitrary_types_allowed=True, allow_inf_nan=False, defer_build=True
    )


class Sampling(Strict):
    """How the model samples. What is not set is not sent, and the server's own default holds."""

    temperature: float | None = Field(None, ge=0, description="Randomness; 0 is the most likely answer.")
    top_p: float | None = Field(None, gt=0, le=1, description="Sample among the tokens that make this probability.")
    top_k: int | None = Field(None, ge=1, description="Sample among this many tokens. Not every server knows it.")
    min_p: float | None = Field(None, ge=0, le=1, description="Least probability relative to the best token's.")
    max_tokens: int | None = Field(None, ge=1, description="Most tokens of an answer.")
    stop: list[str] | None = Field(None, description="Strings at which the model stops.")
    seed: int | None = Field(None, description="Seed of sample 0; sample k is sent seed + k.")
    presence_penalty: float | None = Field(None, ge=-2, le=2, description="Penalty for tokens that were used.")
    frequency_penalty: float | None = Field(None, ge=-2, le=2, description="Penalty by how often a token was used.")
    extra: dict[str, Any] = Field(default_factory=dict, description="Further parameters, sent as they are.")

    def collect(self) -> dict[str, Any]:
        """The parameters that were set, by name."""
        values = {name: value for name, value in self.__dict__.items() if name != "extra" and value is not None}
        return {**values, **self.extra}


MOST_CONCURRENCY = 10_000


def _check_concurrency(value: Any) -> Any:
    """Say in one sentence what is allowed, not once for each type of the union."""
    if value == "auto" or (isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= MOST_CONCURRENCY):
        return value
    raise ValueError(f"give a whole number from 1 to {MOST_CONCURRENCY:,}, or `auto`")


class Limits(Strict):
    """How hard a member may push. Nothing here changes what is asked, so stored answers stay valid."""

    concurrency: Annotated[int | Literal["auto"], BeforeValidator(_check_concurrency)] = Field(
        "auto", description="Most requests in flight, 1 to 10,000; `auto` finds out what the server bears."
    )
    max_concurrency: int = Field(
        256, ge=1, le=MOST_CONCURRENCY, description="Most requests in flight that `auto` may reach."
    )
    rpm: int | None = Field(None, ge=1, description="Most requests in a minute.")
    tpm: int | None = Field(None, ge=1, description="Most tokens in a minute, of prompts and answers together.")
    timeout: float = Field(120.0, gt=0, description="Seconds for one request.")
    deadline: float = Field(3600.0, gt=0, description="Seconds for one cell, from its first request, waits included.")
    attempts: int = Field(8, ge=1, le=100, description="Most requests per cell when calls fail in passing.")
    max_wait: float = Field(600.0, ge=0, description="Most seconds that a cell waits because its server asks it to.")
    max_stall: float = Field(
        600.0, gt=0, description="Seconds without any answer, while calls fail, after which the member is stopped."
    )
    task_timeout: float = Field(
        CALL_SECONDS, gt=0, description="Seconds for the task to make one prompt, or to read one answer."
    )
    task_memory: int = Field(
        CALL_MEMORY, ge=16, description="Mebibytes by which the task may make its process grow meanwhile."
    )


class Reask(Strict):
    """Asking again when the task cannot read an answer. Each answer is paid for and kept."""

    times: int = Field(1, ge=1, le=10, description="Most further requests per cell.")
    show_error: bool = Field(True, description="Show the model its answer and what was wrong with it.")


class Hedge(Strict):
    """A second request for a cell whose first one is slow; the first answer counts. Both may be billed."""

    percentile: float = Field(0.95, gt=0, lt=1, description="Share of the calls that are faster than a slow one.")
    share: float = Field(0.05, gt=0, le=1, description="Most second requests, as a share of the first ones.")


class StopWhen(Strict):
    """How many failed cells are too many."""

    failed: Annotated[int, Field(ge=1)] | None = Field(None, description="This many failed cells.")
    share: float | None = Field(None, gt=0, le=1, description="This share of the finished cells, failed.")
    least: int = Field(20, ge=1, description="Finished cells before a share counts.")
    causes: tuple[Cause, ...] = Field((), description="Only failures with these causes count; by default all do.")

    @model_validator(mode="after")
    def _check_given(self) -> StopWhen:
        if self.failed is None and self.share is None:
            raise ValueError("give `failed`, a number of cells, or `share`, such as 0.2")
        return self


class Price(Strict):
    """What a model costs, in dollars."""

    input: float = Field(ge=0, description="Dollars per million tokens of prompts.")
    output: float = Field(ge=0, description="Dollars per million tokens of answers.")


class Budget(Strict):
    """What the run may use. Checked before a request leaves; the run stops cleanly and can go on."""

    max_cost: float | None = Field(None, gt=0, description="Dollars, over the run's whole life.")
    max_tokens: int | None = Field(None, ge=1, description="Tokens of prompts and answers, over the run's whole life.")
    max_time: float | None = Field(None, gt=0, description="Seconds, of each start of the run.")


Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]


class Member(Strict):
    """One model with its task. A pool is made of members."""

    name: Name = Field(description="Name of the member in outputs and reports.")
    backend: BackendField = Field(description="What answers.")
    task: UseField = Field(description="What is asked, and how the answer is read.")
    sampling: Sampling = Field(default_factory=Sampling)
    limits: Limits = Field(default_factory=Limits)
    reask: Reask | None = Field(
        None, description="What to do when the task cannot read an answer; by default it fails."
    )
    fallback: Name | None = Field(None, description="The member that takes over cells whose calls fail here.")
    hedge: Hedge | None = Field(None, description="A second request for slow cells; by default none is sent.")
    stop_when: StopWhen | None = Field(None, description="Failed cells that stop this member.")
    price: Price | None = Field(None, description="Dollars per million tokens; by default what is known of the model.")
    inputs: dict[str, str] = Field(default_factory=dict, description="The task's input: the column of the rows.")
    outputs: dict[str, str] = Field(default_factory=dict, description="The pool's field: the task's own field.")
    drop: tuple[str, ...] = Field((), description="Fields of the task that the pool does not get.")
    cast: dict[str, str] = Field(default_factory=dict, description="The pool's field: the type it becomes.")
    collect: tuple[str, ...] = Field((), description="Fields of the pool that become lists of one item.")
    constant: dict[str, Any] = Field(default_factory=dict, description="Fields of the pool with the same value always.")
    prompt_format: UseField | None = Field(None, description="How messages become text for a text-completion model.")
    when: str | None = Field(None, description="With `assign: routed`: an expression over the row's columns.")
    weight: float = Field(1.0, gt=0, description="With `assign: weighted`: this member's share.")

    if TYPE_CHECKING:
        # what type checkers see: more than the fields' types is accepted, and pydantic makes those of it
        def __init__(
            self,
            *,
            name: str,
            backend: str | Mapping[str, Any] | Use | Backend[Any],
            task: str | Mapping[str, Any] | Use | Task[Any],
            **settings: Any,
        ) -> None: ...


class FindingRules(Strict):
    """What the recipe makes of findings. Both stand in the run's ``plan.json``."""

    escalate: tuple[str, ...] = Field((), description="Rules whose warnings and infos are errors here.")
    silence: dict[str, str] = Field(default_factory=dict, description="A rule: the reason why it does not count here.")

    @field_validator("silence")
    @classmethod
    def _check_reasons(cls, value: dict[str, str]) -> dict[str, str]:
        for rule, reason in value.items():
            if not reason.strip():
                raise ValueError(f"the silence of {rule!r} needs a reason, as in `{rule}: we know, because ...`")
        return value


Assign = Literal["all", "balanced", "weighted", "routed"]


#: Most members of a pool.
MOST_MEMBERS = 1000


def _check_fallbacks(fallbacks: Mapping[str, str], names: Sequence[str]) -> None:
    for name, fallback in fallbacks.items():
        if fallback not in names:
            raise ValueError(f"the fallback of {name!r} is {fallback!r}, and no member has that name")
        if fallback == name:
            raise ValueError(f"{name!r} is its own fallback; name another member")
        chain = [name, fallback]
        while (following := fallbacks.get(chain[-1])) is not None:
            if following in chain:
                raise ValueError(f"fallbacks go round in a circle: {' -> '.join([*chain, following])}")
            chain.append(following)


def _check_members(members: tuple[Member, ...]) -> tuple[Member, ...]:
    if not members:
        raise ValueError("a pool needs at least one member")
    if len(members) > MOST_MEMBERS:
        raise ValueError(f"a pool has at most {MOST_MEMBERS:,} members, this one {len(members):,}")
    names = [member.name for member in members]
    _check_fallbacks({member.name: member.fallback for member in members if member.fallback is not None}, names)
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(f"two members are named {', '.join(map(repr, twice))}; give each member a name of its own")
    return members


class PoolSpec(Strict):
    """Members, the policies that judge them, and how samples are assigned to them."""

    members: Annotated[tuple[Member, ...], AfterValidator(_check_members)]
    policies: tuple[PolicyField, ...] = Field(
        (Use(use="output-schema"), Use(use="inputs")), description="All of them must accept the members."
    )
    findings: FindingRules = Field(default_factory=FindingRules, description="What is made of findings here.")
    samples: int | None = Field(
        None, ge=1, le=10_000, description="Answers per row over the whole pool; by default one per member."
    )
    stop_when: StopWhen | None = Field(None, description="Failed cells of all members that stop the run.")
    assign: Assign = Field("all", description="Which members give a row's samples.")
    seed: int = Field(0, description="Seed of the assignment.")


class Rows(Strict):
    """The input rows: a file and how to read it. Keys beyond these configure the reader."""

    model_config = ConfigDict(frozen=True, extra="allow")

    path: Path = Field(description="The file, relative to the recipe.")
    reader: str | None = Field(None, description="Name of the reader; by default the file's ending decides.")
    id: str | None = Field(None, description="Column that identifies a row; by default the row's content does.")


class Output(Strict):
    """The merged file. Keys beyond these configure the writer."""

    model_config = ConfigDict(frozen=True, extra="allow")

    path: Path = Field(description="The file, relative to the recipe.")
    layout: Literal["nested", "columns", "long"] = Field("nested", description="How generations are laid out.")
    writer: str | None = Field(None, description="Name of the writer; by default the file's ending decides.")
    raw: bool = Field(False, description="Add `raw`, the model's text as it came, to every generation.")


class Plugins(Strict):
    """Which plugins the recipe needs, and which must not act."""

    require: tuple[str, ...] = Field((), description="Plugins that must be there, as in `pool-x>=0.2`.")
    block: tuple[str, ...] = Field((), description="Plugins that are not loaded.")


def _read_path(value: Any, handler: Callable[[Any], Any]) -> Any:
    """Accept a path where a mapping with ``path`` is meant."""
    return handler({"path": value} if isinstance(value, str | Path) else value)


class Recipe(Strict):
    """A whole job: rows, a pool, an output."""

    rows: Annotated[Rows | None, WrapValidator(_read_path)] = Field(None, description="The input rows.")
    output: Annotated[Output | None, WrapValidator(_read_path)] = Field(None, description="The merged file.")
    pool: PoolSpec
    budget: Budget = Field(default_factory=Budget, description="What the run may use.")
    plugins: Plugins = Field(default_factory=Plugins)
