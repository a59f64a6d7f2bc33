"""What must hold in every world, judged from outside.

Knows the world, the calls that its backends saw, and what the file and the report say in the end.
Shares no code with the engine. Each invariant is a function that yields what is wrong with a start.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

from history import Call, History, StartRecord, StoredCell
from simulate import PRICE
from worlds import MemberSpec, Start

__all__ = ["INVARIANTS", "View", "judge"]

#: Rounding of times, in seconds.
EXACT = 1e-6
#: By how much a wait that a server names may be cut short, in seconds.
SHORTEST = 0.05
#: What a recipe says by default.
CONCURRENCY, ATTEMPTS, TIMEOUT, MAX_WAIT, MAX_STALL = 256, 8, 120.0, 600.0, 600.0
#: Seconds that a backend may take to close.
CLOSING = 10.0
#: Seconds that a backend is given to say itself that its time is over.
GRACE = 0.25

TROUBLES = {"transport", "timeout", "overloaded", "server", "bad_reply"}
FINAL = {"bad_request", "context_length"}
HOPELESS = {"auth", "quota_exhausted"}
#: How often an answer without content is asked again.
EMPTY_ASKS = 1


@dataclass
class View:
    """A start, and all that there is to judge it by."""

    history: History
    number: int

    @cached_property
    def start(self) -> Start:
        return self.history.world.starts[self.number]

    @cached_property
    def record(self) -> StartRecord:
        return self.history.starts[self.number]

    @cached_property
    def before(self) -> StartRecord | None:
        """The start before it."""
        return self.history.starts[self.number - 1] if self.number else None

    @cached_property
    def members(self) -> dict[str, MemberSpec]:
        return {member.name: member for member in self.start.members}

    @cached_property
    def calls(self) -> list[Call]:
        """Its calls, in the order of their departure."""
        return [call for call in self.history.calls if call.start == self.number]

    @cached_property
    def by_number(self) -> dict[int, Call]:
        """All calls of the world, by their departure."""
        return {call.sent: call for call in self.history.calls}

    @cached_property
    def by_member(self) -> dict[str, list[Call]]:
        return {name: [call for call in self.calls if call.member == name] for name in self.members}

    @cached_property
    def by_quota(self) -> dict[str, list[Call]]:
        found = defaultdict(list)
        for call in self.calls:
            found[call.quota].append(call)
        return dict(found)

    @cached_property
    def by_cell(self) -> dict[tuple[str, str, int], list[Call]]:
        """Calls by member, text of the row and sample."""
        found = defaultdict(list)
        for call in self.calls:
            found[call.member, call.text, call.sample].append(call)
        return dict(found)

    @cached_property
    def of_all_starts(self) -> dict[tuple[str, str, int], list[Call]]:
        """The same, of all starts."""
        found = defaultdict(list)
        for call in self.history.calls:
            found[call.member, call.text, call.sample].append(call)
        return dict(found)

    @cached_property
    def expected(self) -> list[tuple[str, str, int]]:
        """Every cell that there has to be: row, member, sample."""
        return [
            (row, member, sample)
            for row, counts in self.record.assigned.items()
            for member, count in zip(self.members, counts, strict=True)
            for sample in range(count)
        ]

    @cached_property
    def chains(self) -> dict[str, list[str]]:
        """Each member with its fallbacks, in order."""
        found = {}
        for name, member in self.members.items():
            chain = [name]
            while member.fallback is not None:
                chain.append(member.fallback)
                member = self.members[member.fallback]  # noqa: PLW2901
            found[name] = chain
        return found

    @cached_property
    def fed(self) -> set[str]:
        """Members that are some member's fallback."""
        return {name for chain in self.chains.values() for name in chain[1:]}

    @cached_property
    def repeated(self) -> set[str]:
        """Texts that stand in more than one row."""
        counts = Counter(self.history.world.texts[row] for row in self.start.rows)
        return {text for text, count in counts.items() if count > 1}

    def stands_for_one_cell(self, member: str, text: str) -> bool:
        """Whether calls of ``member`` for ``text`` and a sample are all for one cell."""
        return member not in self.fed and text not in self.repeated

    def get_text(self, row: str) -> str:
        return self.history.world.texts[int(row)]

    def sharing(self, quota: str) -> list[MemberSpec]:
        """The members of a quota."""
        names = self.history.world.servers
        return [m for m in self.start.members if f"world:{names[m.server].name}/{m.key}" == quota]

    def stopped_early(self, member: str) -> bool:
        """Whether cells of ``member`` may be pending: somebody or something has stopped what would do them."""
        stopped = any(self.record.progress[name]["stopped"] for name in self.chains[member])
        return bool(self.record.stopped or self.record.limit or stopped)

    def is_stale(self, place: tuple[str, str, int]) -> bool:
        """Whether a cell stands as the start before has left it."""
        return self.before is not None and self.before.cells.get(place) == self.record.cells.get(place)


def judge(history: History) -> list[str]:
    """What is wrong with a world; empty where nothing is."""
    problems = []
    for number in range(len(history.starts)):
        view = View(history, number)
        if view.record.crash:
            problems.append(f"start {number}: check_end: {view.record.crash}")
            break
        for check in INVARIANTS:
            problems += [f"start {number}: {check.__name__}: {problem}" for problem in check(view)]
    return problems


# Cells


def check_states(view: View) -> Iterator[str]:
    """Every cell has one outcome, or is pending for a reason (I1)."""
    cells = view.record.cells
    rows = {str(row) for row in view.start.rows}
    if set(view.record.assigned) != rows:
        yield f"rows are {sorted(view.record.assigned)}"
    for row, counts in view.record.assigned.items():
        wanted = view.start.samples
        if sum(counts) != wanted or max(counts) - min(counts) > (view.start.assign == "balanced"):
            yield f"row {row} is assigned {list(counts)}"
    for place in view.expected:
        cell = cells.get(place)
        if cell is None and not view.stopped_early(place[1]):
            yield f"{place} is pending and nothing was stopped"
    for place in cells.keys() - set(view.expected):
        yield f"{place} is nobody's cell"
    for place, cell in cells.items():
        if cell.status == "ok":
            good = not cell.cause and cell.outputs is not None and cell.answer is not None
        else:
            good = cell.status == "failed" and cell.cause and cell.outputs is None and cell.message
        if not good:
            yield f"{place} is neither ok nor failed: {cell}"


def check_outcomes(view: View) -> Iterator[str]:
    """An outcome is what this cell's own answer or last failure says (I11)."""
    for place, cell in view.record.cells.items():
        if place[0] not in view.record.assigned:
            continue
        stale = view.is_stale(place) and view.stopped_early(place[1])
        answerer = view.members[cell.answered_by]
        text = view.get_text(cell.row)
        if cell.answer is None:
            if cell.cause not in _find_causes(view, cell, text):
                yield f"{place} failed with {cell.cause}, and no call of it did: {cell.message}"
            continue
        stored = view.record.answers.get(cell.answer)
        call = view.by_number.get(stored.call) if stored is not None else None
        if call is None or (call.text, call.sample, call.member) != (text, cell.sample, cell.answered_by):
            yield f"{place} has another's answer: {call}"
            continue
        cause = read_kind(call.kind, answerer.parser_version)
        if not stale and cause != cell.cause:
            yield f"{place} is {cell.cause!r}, its answer {cause!r} ({call.kind})"
        said = f"{text} read by {answerer.parser_version}"
        if not stale and cell.outputs is not None and cell.outputs != {"said": said}:
            yield f"{place} says {cell.outputs}"
        if not stale and f'{text} v{answerer.prompt_version}"'.encode() not in call.body:
            yield f"{place} has an answer to another prompt: {call.body!r}"


def read_kind(kind: str, parser_version: int) -> str:
    """The cause that an answer's fault leads to; empty where it can be read."""
    if kind == "unreadable" and parser_version >= 2:
        return ""
    causes = {"unreadable": "parse", "broken-parser": "parse", "wrong-schema": "schema", "filtered": "content_filter"}
    return "" if kind == "good" else causes.get(kind, kind)


def _find_causes(view: View, cell: StoredCell, text: str) -> set[str]:
    """Why a cell may have failed without an answer."""
    causes = set()
    for name in view.chains[cell.member]:
        member = view.members[name]
        if "unrenderable" in member.row_faults:
            causes.add("render")
        if "unsendable" in member.row_faults:
            causes.add("context_length")
        causes.update(map(_find_cause, view.of_all_starts.get((name, text, cell.sample), ())))
    return causes


def _find_cause(call: Call) -> str:
    if call.end == "failed":
        return call.cause
    if call.end == "broke":
        return "timeout" if call.kind == "timeout-error" else "plugin"
    return "timeout" if call.end == "cancelled" else ""


def check_one_answer_one_cell(view: View) -> Iterator[str]:
    """No answer stands for two cells.

    Where a run was stopped, a cell of which it is not known whether it stands may not have been looked at
    yet, and its answer may serve an equal row by then.
    """
    held = defaultdict(list)
    for place, cell in view.record.cells.items():
        if cell.answer is not None and not (view.is_stale(place) and view.stopped_early(cell.member)):
            held[cell.answer].append(place)
    for answer, places in held.items():
        if len(places) > 1:
            yield f"answer {answer} is held by {places}"


def check_fallbacks(view: View) -> Iterator[str]:
    """A cell is taken over only along its member's fallbacks, and only where its own call failed or was not sent."""
    for place, cell in view.record.cells.items():
        if cell.answered_by == cell.member or view.is_stale(place):
            continue
        if cell.answered_by not in view.chains[cell.member]:
            yield f"{place} was taken over by {cell.answered_by}"
            continue
        old = view.before.cells.get(place) if view.before is not None else None
        if old is not None and old.answered_by == cell.answered_by and cell.answer in view.before.answers:
            continue  # it was taken over before, and a stored answer to the same request is used again
        own = view.by_cell.get((cell.member, view.get_text(cell.row), cell.sample), [])
        stopped = view.record.progress[cell.member]["stopped"]
        if not stopped and not any(call.end in ("failed", "cancelled", "broke") for call in own):
            row_faults = view.members[cell.member].row_faults
            if "unsendable" not in row_faults:
                yield f"{place} was taken over without a failure"


# Answers


def check_answers_kept(view: View) -> Iterator[str]:
    """Every answer that a backend gave is in the file, once, with what it used."""
    answered = {call.sent: call for call in view.history.calls if call.end == "answered" and call.start <= view.number}
    stored = Counter(answer.call for answer in view.record.answers.values())
    for number in answered.keys() - stored.keys():
        yield f"an answer is lost: {answered[number]}"
    for number, count in stored.items():
        if number not in answered or count > 1:
            yield f"answer to call {number} is stored {count} times: {view.by_number.get(number)}"
    for answer in view.record.answers.values():
        call = answered.get(answer.call)
        if call is not None and (answer.member, answer.tokens) != (call.member, call.usage):
            yield f"stored is {answer}, told was {call}"


def check_no_repeats(view: View) -> Iterator[str]:
    """No request is sent for a cell that has an answer, in this start or in one before."""
    places = {(call.member, call.text, call.sample, call.body) for call in view.calls}
    earlier = defaultdict(list)
    for call in view.history.calls:
        place = (call.member, call.text, call.sample, call.body)
        if call.start <= view.number and place in places:
            earlier[place].append(call)
    for (name, text, _, _), calls in earlier.items():
        member = view.members[name]
        if view.stands_for_one_cell(name, text):
            yield from _check_asks(view, member, calls)
            continue
        cells = sum(view.get_text(row) == text for row in view.record.assigned) * len(view.members)
        most = cells * (1 + max(EMPTY_ASKS, (member.reask or {}).get("times", 0)))
        if member.hedge is None and sum(call.end == "answered" for call in calls) > most:
            yield f"{name} was asked {len(calls)} times for {text!r}, which is {cells} cells"


def _check_asks(view: View, member: MemberSpec, calls: Sequence[Call]) -> Iterator[str]:
    """Hold the calls of one cell with one body against the answers that each followed."""
    asks, settled = 0, 0
    answers = sorted((call for call in calls if call.end == "answered"), key=lambda call: call.ended)
    last: Call | None = None
    for call in calls:
        while answers and answers[0].ended < call.sent:
            answer = answers.pop(0)
            if last is not None and answer.sent < last.ended:
                continue  # a second request for the same ask
            last = answer
            cause = read_kind(answer.kind, member.parser_version)
            times = (member.reask or {}).get("times", 0)
            same_body = cause == "empty" or not (member.reask or {}).get("show_error", True)
            most = EMPTY_ASKS if cause == "empty" else times if cause in ("parse", "schema") else 0
            if asks < most and same_body:
                asks += 1
            else:
                settled = answer.sent
        if settled and call.start == view.number:
            yield f"{call} was sent, though call {settled} has the answer"


# Limits


def check_in_flight(view: View) -> Iterator[str]:
    """No more are in flight than the limit of their quota, and a backend's are counted until it returns (I8)."""
    for quota, calls in view.by_quota.items():
        limit = min(m.limits.get("concurrency", CONCURRENCY) for m in view.sharing(quota))
        moments = sorted([(call.sent, 1) for call in calls] + [(call.ended, -1) for call in calls])
        flying = 0
        for moment, step in moments:
            flying += step
            if flying > limit:
                yield f"{quota} had {flying} in flight at moment {moment}, its limit is {limit}"
                break


def check_request_rate(view: View) -> Iterator[str]:
    """No minute has more requests than `rpm`."""
    for quota, calls in view.by_quota.items():
        rpm = min((m.limits["rpm"] for m in view.sharing(quota) if "rpm" in m.limits), default=None)
        if rpm is None:
            continue
        for number in range(len(calls) - rpm):
            if calls[number + rpm].sent_at - calls[number].sent_at < 60 - EXACT:
                yield f"{quota} sent {rpm + 1} requests from {calls[number].sent_at} to {calls[number + rpm].sent_at}"
                break


def check_token_rate(view: View) -> Iterator[str]:
    """No request leaves while the answers of the last minute have used up `tpm`."""
    for quota, calls in view.by_quota.items():
        tpm = min((m.limits["tpm"] for m in view.sharing(quota) if "tpm" in m.limits), default=None)
        if tpm is None:
            continue
        answered = sorted((call for call in calls if call.end == "answered"), key=lambda call: call.ended)
        used, first, last = 0, 0, 0
        for call in calls:
            while last < len(answered) and answered[last].ended < call.sent:
                used += sum(filter(None, answered[last].usage))
                last += 1
            while first < last and answered[first].ended_at <= call.sent_at - 60:
                used -= sum(filter(None, answered[first].usage))
                first += 1
            if used > tpm:
                yield f"{quota} sent {call} when {used} tokens of {tpm} were used"
                break


def check_named_waits(view: View) -> Iterator[str]:
    """While a rate limit's wait lasts, nothing of its quota is sent, and after another failure not its cell (I8)."""
    for quota, calls in view.by_quota.items():
        for call in calls:
            wait = call.retry_after if call.cause == "rate_limit" else call.pause
            patience = view.members[call.member].limits.get("max_wait", MAX_WAIT)
            if wait is None or wait <= SHORTEST or (wait > patience and not call.pause):
                continue
            end = call.ended_at + min(wait, patience) - SHORTEST
            # in the very moment of its end a call may still leave whose place was given before the end was known
            behind = calls[bisect_right(calls, call.ended_at, key=lambda each: each.sent_at) :]
            if behind and behind[0].sent_at < end:
                yield f"{quota} was to wait {wait} s from {call.ended_at}, and sent {behind[0]}"
                break
    for (name, text, _), calls in view.by_cell.items():
        for call, following in pairwise(calls):
            hedged = view.members[name].hedge is not None or not view.stands_for_one_cell(name, text)
            if hedged or call.cause == "rate_limit" or call.retry_after is None:
                continue
            if following.sent_at < call.ended_at + call.retry_after - SHORTEST:
                yield f"{call} names a wait, and then was sent {following}"


# Retries


def check_attempts(view: View) -> Iterator[str]:
    """A cell's failing calls are bounded, and those that may be billed more tightly (I6)."""
    for (name, text, sample), calls in view.by_cell.items():
        member = view.members[name]
        if member.hedge is not None or not view.stands_for_one_cell(name, text):
            continue
        failed = [call for call in calls if _find_cause(call) in TROUBLES]
        if len(failed) > member.limits.get("attempts", ATTEMPTS):
            yield f"{len(failed)} calls for {text!r} of {name}, sample {sample}, failed"
        if sum(call.maybe_billed or call.end == "cancelled" for call in failed) > 2:
            yield f"more than 2 calls for {text!r} of {name}, sample {sample}, may have been billed for nothing"


def check_retry_budget(view: View) -> Iterator[str]:
    """What failed in passing is sent again no oftener than successes earn, one a second, and as probes (I6)."""
    for quota, calls in view.by_quota.items():
        retries = earned = 0
        for (name, text, _), own in view.by_cell.items():
            if own[0].quota != quota:
                continue
            # where calls stand for more than one cell, a success counts for the most that it may be
            failed = not view.stands_for_one_cell(name, text)
            for call, following in pairwise([*own, None]):
                failed = failed or _find_cause(call) in TROUBLES
                if call.end == "answered":
                    earned += 28 if failed else 1
                elif following is not None and following.sent > call.ended and _find_cause(call) in TROUBLES:
                    retries += view.stands_for_one_cell(name, text)
        seconds = calls[-1].sent_at - calls[0].sent_at
        most = (500 + earned) / 14 + seconds + len(view.members) * (2 + seconds / 0.75)
        if retries > most:
            yield f"{quota} sent {retries} retries in {seconds} s, {most:.0f} were earned"


def check_final_failures(view: View) -> Iterator[str]:
    """What a server will never accept is sent once (I7)."""
    for (name, text, _), calls in view.by_cell.items():
        if not view.stands_for_one_cell(name, text):
            continue
        for call in calls:
            later = _find_later(view, calls, call)
            final = call.cause in FINAL or (call.end == "broke" and call.kind != "timeout-error")
            if later is not None and final and not _has_twin(view, call):
                yield f"{call} was followed by {later}"


def check_hopeless_members(view: View) -> Iterator[str]:
    """A member whose every call must fail sends nothing more (I7)."""
    for name, calls in view.by_member.items():
        patience = view.members[name].limits.get("max_wait", MAX_WAIT)
        for call in calls:
            too_long = call.retry_after is not None and call.retry_after > patience
            hopeless = call.cause in HOPELESS or call.stops_member or too_long
            if call.kind == "rotated" or not hopeless or _has_twin(view, call):
                continue
            later = _find_later(view, calls, call)
            if later is not None:
                yield f"{call} was followed by {later}"
            if not view.record.progress[name]["stopped"] and not (view.record.stopped or view.record.limit):
                yield f"{call} did not stop {name}"
            break


def _has_twin(view: View, call: Call) -> bool:
    """Whether the same was under way a second time when ``call`` ended: then the other one decides."""
    twins = view.by_cell[call.member, call.text, call.sample]
    return any(twin.sent < call.ended < twin.ended for twin in twins)


def _find_later(view: View, calls: Sequence[Call], call: Call) -> Call | None:
    """One of ``calls`` that was sent when the end of ``call`` was known; with hedges that may be a moment later."""
    hedged = view.members[call.member].hedge is not None
    later = (each for each in calls if each.sent > call.ended)
    return next((each for each in later if not hedged or each.sent_at > call.ended_at), None)


def check_outages(view: View) -> Iterator[str]:
    """In an outage a member sends what opens its breaker, and then probes alone (I6)."""
    for name, calls in view.by_member.items():
        member = view.members[name]
        limit = min(m.limits.get("concurrency", CONCURRENCY) for m in view.sharing(calls[0].quota)) if calls else 0
        for begin, end, kind in view.history.world.servers[member.server].script.get("outages", ()):
            if kind == "limited":
                continue
            lost = [c for c in calls if c.sent_at >= begin and c.ended_at < end and _find_cause(c) in TROUBLES]
            if not lost:
                continue
            # a call from before that has its answer now closes the breaker
            closed = sum(c.end == "answered" or c.cause in FINAL for c in calls if begin <= c.ended_at < end)
            most = (1 + closed) * (20 + limit) + _count_probes(lost[-1].sent_at - lost[0].sent_at)
            if len(lost) > most * (1 if member.hedge is None else 2):
                yield f"{name} sent {len(lost)} calls in the outage from {begin} to {end}, at most {most} are probes"


def _count_probes(seconds: float) -> int:
    """The most probes that a breaker sends in a time."""
    count, passed = 0, 0.0
    while passed <= seconds:
        passed += 0.75 * min(30.0, 2.0 ** min(count, 5))
        count += 1
    return count


# Budgets and stops


def check_budget(view: View) -> Iterator[str]:
    """Nothing leaves when the budget is used up: it is passed by no more than what is in flight."""
    most_tokens, most_cost = view.start.budget.get("max_tokens"), view.start.budget.get("max_cost")
    most_time = view.start.budget.get("max_time")
    if most_tokens is not None or most_cost is not None:
        answered = sorted((c for c in view.history.calls if c.end == "answered"), key=lambda call: call.ended)
        tokens, cost = 0, 0.0
        for call in view.calls:
            while answered and answered[0].ended < call.sent:
                asked, told = answered.pop(0).usage
                tokens += (asked or 0) + (told or 0)
                cost += 0.0 if asked is None or told is None else (asked * PRICE[0] + told * PRICE[1]) / 1e6
            if most_tokens is not None and tokens > most_tokens:
                yield f"{call} was sent when {tokens} of {most_tokens} tokens were used"
                break
            if most_cost is not None and cost > most_cost + 1e-9:
                yield f"{call} was sent when {cost} of {most_cost} dollars were spent"
                break
    late = [call for call in view.calls if most_time and call.sent_at > view.record.began_at + most_time + EXACT]
    if late:
        yield f"{late[0]} was sent after {most_time} s"
    if most_time and view.record.ended_at > view.record.began_at + most_time + _count_draining(view):
        yield f"it ended {view.record.ended_at - view.record.began_at} s after its beginning, `max_time` is {most_time}"


def check_stop(view: View) -> Iterator[str]:
    """After a stop nothing is sent; what is in flight may finish, and after a second stop not even that."""
    record = view.record
    if not record.stopped:
        return
    late = next((call for call in view.calls if call.sent > record.stopped), None)
    if late is not None:
        yield f"{late} was sent after the stop at moment {record.stopped}"
    if record.ended_at > record.stopped_at + _count_draining(view):
        yield f"it went on for {record.ended_at - record.stopped_at} s after the stop"
    if record.stopped_again_at is not None:
        tidying = max(member.tidying for member in view.start.members)
        if record.ended_at > record.stopped_again_at + tidying + CLOSING + GRACE:
            yield f"it went on for {record.ended_at - record.stopped_again_at} s after the second stop"


def _count_draining(view: View) -> float:
    """Seconds that what is in flight may take, opening and closing included."""
    limits = [m.limits.get("timeout", TIMEOUT) + m.tidying for m in view.start.members]
    opening = 50.0 if any(m.opening == "slow" for m in view.start.members) else 0.0
    return max(limits) + GRACE + CLOSING + opening + EXACT


def check_stop_when(view: View) -> Iterator[str]:
    """Too many failures stop the member or the run, and nothing else is called that."""
    record = view.record
    if view.start.stop_when is None and "stop_when" in record.limit:
        yield f"the run was stopped: {record.limit}"
    for name, member in view.members.items():
        progress = record.progress[name]
        if member.stop_when is None and "stop_when" in progress["stopped"]:
            yield f"{name} was stopped: {progress['stopped']}"
        if member.stop_when is None or "failed" not in member.stop_when or member.stop_when.get("causes"):
            continue
        failed = sum(progress["failed"].values())
        if failed >= member.stop_when["failed"] and not progress["stopped"] and not progress["reused"]:
            pending = progress["total"] > progress["done"]
            if pending and not (record.stopped or record.limit):
                yield f"{name} goes on after {failed} failures, `stop_when` is {member.stop_when}"


def check_reasons(view: View) -> Iterator[str]:
    """A member is stopped for what has really happened."""
    for name, calls in view.by_member.items():
        reason: str = view.record.progress[name]["stopped"]
        limits = view.members[name].limits
        if not reason:
            continue
        if not calls and not view.members[name].opening and "stop_when" not in reason:
            yield f"{name} was stopped before it was asked: {reason}"
        # after the stop nothing was sent, so what had ended before the last departure was known
        known = [call for call in calls if call.ended < calls[-1].sent]
        if "it asks to wait" in reason:
            patience = limits.get("max_wait", MAX_WAIT)
            if not any(call.retry_after is not None and call.retry_after > patience for call in calls):
                yield f"nobody asked {name} for so much patience: {reason}"
        if "was never reached" in reason and any(call.end == "answered" for call in known):
            yield f"{name} was answered: {reason}"
        if "nothing was answered for" in reason:
            stall = limits.get("max_stall", MAX_STALL)
            last = max((call.ended for call in known if call.end == "answered"), default=0)
            troubles = [call.ended_at for call in calls if call.ended > last and call.end != "answered"]
            if not troubles or max(troubles) - min(troubles) < stall - EXACT:
                yield f"{name} was answered at moment {last}: {reason}"


# Reports


def check_accounts(view: View) -> Iterator[str]:
    """The report says what happened."""
    for name, calls in view.by_member.items():
        progress = view.record.progress[name]
        answered = [call for call in calls if call.end == "answered"]
        lost = sum(call.end == "cancelled" or call.maybe_billed for call in calls)
        told = {
            "requests": len(calls),
            "in_flight": 0,
            "maybe_billed": lost,
            "input_tokens": sum(call.usage[0] or 0 for call in answered),
            "output_tokens": sum(call.usage[1] or 0 for call in answered),
            "total": sum(member == name for _, member, _ in view.expected),
        }
        if not view.stopped_early(name) or view.before is None:
            own = [cell for cell in view.record.cells.values() if cell.member == name]
            told["ok"] = sum(cell.status == "ok" for cell in own)
            told["failed"] = Counter(cell.cause for cell in own if cell.status == "failed")
            if view.before is None:
                told["taken_over"] = sum(cell.answered_by != name for cell in own)
        for what, figure in told.items():
            if progress[what] != figure:
                yield f"{name} says {what} {progress[what]}, it is {figure}"


def check_attempt_counts(view: View) -> Iterator[str]:
    """A cell says how many requests were sent for it."""
    for place, cell in view.record.cells.items():
        text = view.get_text(cell.row)
        chain = view.chains[cell.member]
        if view.is_stale(place) or len(chain) > 1 or not view.stands_for_one_cell(cell.member, text):
            continue
        calls = view.by_cell.get((cell.member, text, cell.sample), [])
        if cell.attempts != len(calls):
            yield f"{place} says {cell.attempts} requests, there were {len(calls)}"


def check_healthy_members(view: View) -> Iterator[str]:
    """A member with which nothing is wrong, on a server with which nothing is wrong, has all its answers."""
    if view.record.stopped or view.record.limit:
        return
    for name, member in view.members.items():
        if not _is_healthy(view, member):
            continue
        for place in view.expected:
            cell = view.record.cells.get(place)
            if place[1] == name and (cell is None or cell.status != "ok"):
                yield f"nothing is wrong with {name}, and {place} is {cell}"


def _is_healthy(view: View, member: MemberSpec) -> bool:
    script = view.history.world.servers[member.server].script
    beside = [m for m in view.start.members if m.server == member.server]
    load = sum(m.limits.get("concurrency", CONCURRENCY) for m in beside)
    capacity = script["capacity"] if isinstance(script["capacity"], int) else 1
    timeout = member.limits.get("timeout", TIMEOUT)
    faults = (member.call_faults, member.row_faults, member.answer_faults, member.lasting, member.stop_when)
    return (
        not any(faults)
        and member.opening in ("", "slow")
        and not any(key in script for key in ("outages", "rpm", "tpm", "moods"))
        and load <= capacity
        and script["spread"] <= 0.5
        and timeout >= 20 * max(1.0, script["latency"])
    )


def check_idle(view: View) -> Iterator[str]:
    """The loop does little where nothing happens: a few callbacks for each call, cell and second (I14)."""
    seconds = view.record.ended_at - view.record.began_at
    work = 60 * len(view.calls) + 30 * len(view.expected) + 2_000
    if view.record.callbacks > work + 4 * len(view.members) * seconds:
        yield f"{view.record.callbacks} callbacks for {len(view.calls)} calls in {seconds} s"


INVARIANTS: tuple[Callable[[View], Iterator[str]], ...] = (
    check_states,
    check_outcomes,
    check_one_answer_one_cell,
    check_fallbacks,
    check_answers_kept,
    check_no_repeats,
    check_in_flight,
    check_request_rate,
    check_token_rate,
    check_named_waits,
    check_attempts,
    check_retry_budget,
    check_final_failures,
    check_hopeless_members,
    check_outages,
    check_budget,
    check_stop,
    check_stop_when,
    check_reasons,
    check_accounts,
    check_attempt_counts,
    check_healthy_members,
    check_idle,
)
