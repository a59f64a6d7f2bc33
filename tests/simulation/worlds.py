"""Worlds to run the engine in: what stands in a recipe, what the servers do, and when somebody stops the run.

A world is made of a seed alone and knows nothing of the engine. Times are in seconds.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from random import Random
from typing import Any

__all__ = ["FAULTS", "MemberSpec", "ServerSpec", "Start", "Stop", "World", "make_world"]

#: Faults of single requests, drawn anew for each: the share of the requests that have one.
CALL_FAULTS = (
    "transport", "cut", "server", "overloaded", "overloaded-wait", "bad-reply", "rate", "rate-wait", "rate-zero",
    "hang", "timeout-error", "plugin", "no-answer", "self-cancel", "system-exit",
)  # fmt: skip
#: Faults of a row: whatever is asked of it ends so.
ROW_FAULTS = ("bad-request", "too-long", "unrenderable", "unsendable")
#: Faults of an answer, drawn for each ask of a row.
ANSWER_FAULTS = ("empty", "unreadable", "wrong-schema", "refusal", "filtered", "truncated", "broken-parser")
#: Faults from a moment on, after which no call of the member can be answered.
LASTING_FAULTS = ("auth", "rotated", "unknown-model", "no-credit", "day-long-wait")
#: What servers, backends and people do beside that.
OTHER_FAULTS = (
    "server-failed", "server-refused", "server-over-rate", "tidying", "pause", "usage-untold", "usage-partly",
    "usage-hostile", "open-error", "open-exception", "open-slow", "close-error", "close-slow", "stop", "stop-again",
)  # fmt: skip
FAULTS = (*CALL_FAULTS, *ROW_FAULTS, *ANSWER_FAULTS, *LASTING_FAULTS, *OTHER_FAULTS)


@dataclass(frozen=True)
class ServerSpec:
    """A server: the words of `pool_core.testing.world.ServerScript`."""

    name: str
    script: dict[str, Any]


@dataclass(frozen=True)
class MemberSpec:
    """A member and what goes wrong with its calls."""

    name: str
    server: int
    #: Members with the same server and key share a quota.
    key: str = ""
    limits: dict[str, Any] = field(default_factory=dict)
    #: Kind of fault to the share that has it, of requests, rows and asks.
    call_faults: dict[str, float] = field(default_factory=dict)
    row_faults: dict[str, float] = field(default_factory=dict)
    answer_faults: dict[str, float] = field(default_factory=dict)
    #: Kind of fault and the moment from which on it lasts.
    lasting: tuple[str, float] | None = None
    #: How the backend opens and closes: "", "error", "exception", "slow".
    opening: str = ""
    closing: str = ""
    #: Seconds that a backend tidies up for when a call is cancelled.
    tidying: float = 0.0
    #: Share of the answers that name a pause, and its seconds.
    pauses: tuple[float, float] = (0.0, 0.0)
    #: What answers say of their usage: "told", "untold", "partly", "hostile".
    usage: str = "told"
    max_tokens: int | None = None
    reask: dict[str, Any] | None = None
    fallback: str | None = None
    hedge: dict[str, Any] | None = None
    stop_when: dict[str, Any] | None = None
    #: Change with the prompt, and with how answers are read.
    prompt_version: int = 1
    parser_version: int = 1


@dataclass(frozen=True)
class Stop:
    """When somebody stops the run: at a moment of a start, or as a call ends."""

    at: float | None = None
    #: In the moment when the so many-th call of the start has its answer.
    call: int | None = None
    #: Seconds until it is stopped again; None: it is not.
    again: float | None = None


@dataclass(frozen=True)
class Start:
    """One start of the run: the recipe as it is then."""

    members: tuple[MemberSpec, ...]
    #: Numbers of the rows that the input has, in its order.
    rows: tuple[int, ...]
    samples: int
    assign: str = "all"
    stop: Stop | None = None
    stop_when: dict[str, Any] | None = None
    budget: dict[str, Any] = field(default_factory=dict)
    #: Seconds that pass before it.
    pause: float = 0.0


@dataclass(frozen=True)
class World:
    """A whole life of a run directory."""

    seed: int
    servers: tuple[ServerSpec, ...]
    #: Text of each row that ever is in the input; equal ones are different rows.
    texts: tuple[str, ...]
    starts: tuple[Start, ...]
    #: Whether the plan knows fingerprints, so that settled cells are left alone without a look.
    fingerprints: bool = True


def make_world(seed: int) -> World:
    """The world of a seed."""
    random = Random(f"world {seed}")
    servers = tuple(_make_server(random, f"s{number}") for number in range(random.choice((1, 1, 2, 2, 3))))
    count = random.choice((1, 2, 2, 3, 3, 4))
    members = tuple(_make_member(random, number, servers) for number in range(count))
    members = _add_fallbacks(random, members)
    rows = random.choice((5, 8, 10, 15, 20, 30, 40, 80)) if count < 3 else random.choice((5, 8, 10, 15, 20, 30))
    texts = [f"row {number}" for number in range(rows)]
    if random.random() < 0.2:
        for _ in range(max(1, rows // 5)):
            texts[random.randrange(rows)] = texts[random.randrange(rows)]
    assign, samples = "all", count
    if random.random() < 0.25:
        samples = count * 2
    elif random.random() < 0.2:
        assign, samples = "balanced", random.randint(1, 2 * count)
    first = Start(members, tuple(range(rows)), samples, assign)
    first = replace(first, stop_when=_make_stop_when(random, 0.08), budget=_make_budget(random, rows * samples))
    return World(seed, servers, tuple(texts), _make_starts(random, first), random.random() < 0.6)


def _make_server(random: Random, name: str) -> ServerSpec:
    latency = random.choice((0.05, 0.5, 1.0, 3.0, 10.0, 40.0))
    script: dict[str, Any] = {
        "latency": latency,
        "spread": random.choice((0.0, 0.2, 0.5, 1.5)),
        "capacity": random.choice((1, 4, 8, 16, 64, 64, 64)),
        "tokens": random.choice((1.0, 20.0, 200.0)),
    }
    if random.random() < 0.15:
        script["capacity"] = [(0, 8), (10 * latency, random.choice((1, 64))), (30 * latency, 4)]
    if random.random() < 0.5:
        script["queue"] = random.choice((4, 1000))
    if random.random() < 0.3:
        script["token_spread"] = 0.5
    if random.random() < 0.2:
        script["travel"] = random.choice((0.01, 0.3))
    if random.random() < 0.5:
        script["retry_after"] = random.choice((0.0, 0.2, 1.0, 5.0, 20.0))
    if random.random() < 0.12:
        script["rpm"] = random.choice((20, 60, 600))
    if random.random() < 0.08:
        script["tpm"] = random.choice((2_000, 20_000))
    if random.random() < 0.1:
        script["moods"] = random.choice((0.05, 0.3))
    if random.random() < 0.35:
        script["outages"] = _make_outages(random, latency)
    return ServerSpec(name, script)


def _make_outages(random: Random, latency: float) -> list[tuple[float, float, str]]:
    outages = []
    for _ in range(random.choice((1, 1, 2))):
        start = random.choice((0.0, random.uniform(0, 20 * latency)))
        seconds = random.choice((1.0, 10.0, 100.0, 1000.0, 1e9))
        outages.append((start, start + seconds, random.choice(("down", "failing", "limited", "silent"))))
    return outages


def _make_member(random: Random, number: int, servers: tuple[ServerSpec, ...]) -> MemberSpec:
    server = random.randrange(len(servers))
    member = MemberSpec(
        "abcd"[number],
        server,
        key=random.choice(("", "", "k1")),
        limits=_make_limits(random, servers[server].script),
        usage=random.choice(("told", "told", "told", "told", "untold", "partly", "hostile")),
        tidying=random.choice((0.0, 0.0, 0.0, 0.05, 1.0)),
        max_tokens=random.choice((None, 200)),
        stop_when=_make_stop_when(random, 0.06),
    )
    if random.random() < 0.4:  # else nothing goes wrong but what its server does
        member = replace(member, call_faults=_draw_shares(random, CALL_FAULTS, (1, 1, 2, 4)))
    if random.random() < 0.25:
        member = replace(member, row_faults=_draw_shares(random, ROW_FAULTS, (1, 1, 2)))
    if random.random() < 0.35:
        member = replace(member, answer_faults=_draw_shares(random, ANSWER_FAULTS, (1, 1, 2, 3)))
    if random.random() < 0.12:
        moment = random.choice((0.0, random.uniform(0, 20 * servers[server].script["latency"])))
        member = replace(member, lasting=(random.choice(LASTING_FAULTS), moment))
    if random.random() < 0.04:
        member = replace(member, opening=random.choice(("error", "exception", "slow")))
    if random.random() < 0.04:
        member = replace(member, closing=random.choice(("error", "slow")))
    if random.random() < 0.05:
        member = replace(member, pauses=(random.choice((0.05, 0.5)), random.choice((0.5, 5.0))))
    if random.random() < 0.35:
        member = replace(member, reask={"times": random.choice((1, 1, 2, 3)), "show_error": random.random() < 0.6})
    if random.random() < 0.2:
        hedge = {"percentile": random.choice((0.5, 0.9, 0.95)), "share": random.choice((0.05, 0.3, 1.0))}
        member = replace(member, hedge=hedge)
    return member


def _draw_shares(random: Random, kinds: tuple[str, ...], counts: tuple[int, ...]) -> dict[str, float]:
    chosen = random.sample(kinds, random.choice(counts))
    return {kind: random.choice((0.02, 0.05, 0.1, 0.3)) for kind in chosen}


def _make_limits(random: Random, script: dict[str, Any]) -> dict[str, Any]:
    limits: dict[str, Any] = {"timeout": random.choice((2.0, 5.0, 30.0, 120.0, 120.0)) * max(1.0, script["latency"])}
    if random.random() < 0.7:
        limits["concurrency"] = random.choice((1, 2, 4, 8, 16, 64))
    if random.random() < 0.15:
        limits["rpm"] = random.choice((10, 60, 300))
    if random.random() < 0.1:
        limits["tpm"] = random.choice((3_000, 30_000))
    if random.random() < 0.3:
        limits["attempts"] = random.choice((1, 2, 3, 8))
    if random.random() < 0.2:
        limits["deadline"] = random.choice((5.0, 60.0, 600.0))
    if random.random() < 0.2:
        limits["max_wait"] = random.choice((0.0, 1.0, 10.0, 60.0))
    if random.random() < 0.3:
        limits["max_stall"] = random.choice((10.0, 60.0, 120.0))
    return limits


def _make_stop_when(random: Random, share: float) -> dict[str, Any] | None:
    if random.random() >= share:
        return None
    stop_when: dict[str, Any] = random.choice(({"failed": 1}, {"failed": 5}, {"share": 0.2, "least": 5}))
    return stop_when | random.choice(({}, {}, {"causes": ["parse", "schema", "server"]}))


def _make_budget(random: Random, cells: int) -> dict[str, Any]:
    budget: dict[str, Any] = {}
    if random.random() < 0.08:
        budget["max_tokens"] = max(1, int(random.choice((0.1, 0.5, 1.0, 3.0)) * cells * 150))
    if random.random() < 0.06:
        budget["max_cost"] = random.choice((0.1, 0.5, 1.0)) * cells * 0.0005
    if random.random() < 0.08:
        budget["max_time"] = random.choice((0.5, 5.0, 60.0, 600.0))
    return budget


def _add_fallbacks(random: Random, members: tuple[MemberSpec, ...]) -> tuple[MemberSpec, ...]:
    """Let some members fall back to one behind them, so that they never go round in a circle."""
    found = list(members)
    for number in range(len(found) - 1):
        if random.random() < 0.3:
            found[number] = replace(found[number], fallback=random.choice(found[number + 1 :]).name)
    return tuple(found)


def _make_starts(random: Random, first: Start) -> tuple[Start, ...]:
    starts = [first]
    if random.random() < 0.45:
        starts[0] = replace(first, stop=_make_stop(random))
    for _ in range(random.choice((0, 0, 1, 1, 1, 2))):
        change = _change(
            random, len(first.rows), replace(starts[-1], stop=None, pause=random.choice((0.0, 1.0, 30.0, 3600.0)))
        )
        starts.append(replace(change, stop=_make_stop(random)) if random.random() < 0.2 else change)
    return tuple(starts)


def _make_stop(random: Random) -> Stop:
    again = random.choice((None, None, 0.0, random.expovariate(1.0)))
    if random.random() < 0.4:
        return Stop(call=random.choice((1, 2, 5, 10, 20, 50)), again=again)
    return Stop(at=random.choice((0.0, random.expovariate(0.5), random.expovariate(0.05))), again=again)


def _change(random: Random, rows: int, start: Start) -> Start:
    """Somebody edits the recipe or the input between two starts, or nobody does."""
    what = random.choice(("", "", "", "", "parser", "prompt", "rows", "limits", "samples", "budget", "order"))
    members = list(start.members)
    number = random.randrange(len(members))
    match what:
        case "parser":
            members[number] = replace(members[number], parser_version=members[number].parser_version + 1)
        case "prompt":
            members[number] = replace(members[number], prompt_version=members[number].prompt_version + 1)
        case "limits":
            members[number] = replace(members[number], limits={"concurrency": random.choice((1, 8, 64))})
        case "rows":
            kept = [row for row in range(rows) if random.random() < 0.7]
            return replace(start, rows=tuple(kept or start.rows[:1]))
        case "order":
            return replace(start, rows=tuple(random.sample(start.rows, len(start.rows))))
        case "samples" if start.assign == "all":
            return replace(start, samples=start.samples + len(members))
        case "budget":
            return replace(start, budget={})
    return replace(start, members=tuple(members))
