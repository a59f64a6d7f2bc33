"""The backend ``openai-batch``: requests are answered within a day, for half the price."""

from __future__ import annotations

import asyncio
from collections import defaultdict, deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from hashlib import blake2b
from typing import Any, Literal
from uuid import uuid4

from pool_core.errors import BackendError
from pool_core.http.backend import HttpBackend
from pool_core.interfaces.values import Answer, Capabilities, Cause, Offer, Prompt, Request
from pool_openai.batch_api import TRANSIENT, BatchApi
from pool_openai.batch_config import OpenAIBatchConfig
from pool_openai.batch_files import MOST_BYTES, measure_line, read_results, write_lines
from pool_openai.batch_ledger import Ledger, Submission
from pool_openai.heeding import note_ignored
from pool_openai.wire import encode_request

__all__ = ["OpenAIBatch"]

#: Half the price, within a day: https://developers.openai.com/api/docs/guides/batch.
_SHARE, _DAY = 0.5, 86_400.0
#: Most requests that the engine has in flight.
_MOST_IN_FLIGHT = 10_000

Result = Answer | BackendError


@dataclass(slots=True, eq=False)
class _Group:
    """Requests of one batch, from the first that is collected to the last that is handed out."""

    #: The bodies by custom id, and the bytes that they take; empty where an earlier process has sent them.
    bodies: dict[str, bytes]
    size: int = 0
    #: What is submitted, or may be: see `Submission.batch`.
    submission: Submission | None = None
    #: Set by each request that comes, and when it is full.
    grown: asyncio.Event = field(default_factory=asyncio.Event)
    full: bool = False
    #: Makes the batch, waits for it and gives its results; each is taken out when it is handed over.
    task: asyncio.Task[dict[str, Result]] | None = None


class OpenAIBatch(HttpBackend[OpenAIBatchConfig]):
    """Collects requests into batches at the provider, and joins the results by custom id.

    The custom id is the request key, so a request that an earlier process has submitted, or an attempt that
    was given up, is found again and not paid twice. What is submitted stands in a file of the run before
    anything is sent; a batch that is there without its name is found by a token in its metadata.
    `BatchBackend` is not its base: there a result belongs to one call, here it may wait for a later one.
    """

    Config = OpenAIBatchConfig
    agent = "pool-openai"

    def __init__(self, config: OpenAIBatchConfig) -> None:
        super().__init__(config)
        self._ledger: Ledger | None = None
        #: The group that is collecting requests.
        self._open: _Group | None = None
        #: By custom id, the groups whose results are to come; by request key, those that no call waits for.
        self._groups: dict[str, _Group] = {}
        self._unclaimed: dict[str, deque[str]] = defaultdict(deque)
        #: How many custom ids each request key has had.
        self._numbers: dict[str, int] = defaultdict(int)
        #: Custom ids whose results were handed over.
        self._delivered: set[str] = set()

    @classmethod
    def capabilities(cls, config: OpenAIBatchConfig, inner: Mapping[str, Capabilities]) -> Capabilities:
        takes: Literal["chat", "text"] = "chat" if config.api == "chat" else "text"
        return Capabilities(
            takes=takes,
            seed=True,
            stop=True,
            schema=config.constrains,
            offer=Offer(config.model, config.base_url, _SHARE),
            limits={
                "concurrency": min(config.batch_size, _MOST_IN_FLIGHT),
                "timeout": _DAY + 7200,
                "deadline": 7 * _DAY,
                "max_stall": 7 * _DAY,
            },
        )

    @property
    def quota(self) -> str:
        return f"batches of {super().quota}"

    def encode(self, prompt: Prompt, sampling: Mapping[str, Any]) -> bytes:
        return encode_request(self.config, prompt, sampling)

    async def open(self) -> None:
        """Read the key, make the client, and find out what an earlier process has submitted."""
        await super().open()
        if self._ledger is not None:
            return
        name = blake2b(f"{self.identity} {self.quota}".encode(), digest_size=8).hexdigest()
        ledger = Ledger(self.folder, f"openai-batch-{name}")
        for submission in ledger.list():
            known = submission
            if known.batch is None:
                batch = await self._make_api().find_batch(known.token)
                if batch is None:  # nothing was made of it, so nothing is paid
                    ledger.remove(known)
                    continue
                known = replace(known, batch=batch)
                ledger.write(known)
            group = _Group({}, submission=known)
            for custom_id in known.custom_ids:
                key = custom_id.rpartition("-")[0]
                self._numbers[key] += 1
                if custom_id not in known.done:
                    self._groups[custom_id] = group
                    self._unclaimed[key].append(custom_id)
        self._ledger = ledger

    async def generate(self, request: Request) -> Answer:
        self._get_client()  # refuses before it is open
        key = request.key.hex() or blake2b(request.body, digest_size=16).hexdigest()
        custom_id = self._claim(key) or self._enqueue(key, request.body)
        group = self._groups[custom_id]
        if group.task is None:
            group.task = asyncio.ensure_future(self._run(group))
        task = group.task
        try:
            async with asyncio.timeout(request.timeout):
                results = await asyncio.shield(task)
        except TimeoutError:
            self._unclaimed[key].append(custom_id)
            text = f"no answer within {request.timeout:g} s; the batch goes on, and the next attempt waits for it"
            raise BackendError(Cause.TIMEOUT, text, maybe_billed=True, where=self.endpoint) from None
        except asyncio.CancelledError:
            self._unclaimed[key].append(custom_id)  # another attempt takes it up: it may be paid already
            raise
        except BackendError:
            if custom_id in self._groups:  # its batch is there, so it may be paid: another attempt waits for it
                self._unclaimed[key].append(custom_id)
                if group.task is task:
                    group.task = None
            raise
        del self._groups[custom_id]
        self._delivered.add(custom_id)
        result = results.pop(custom_id)
        if isinstance(result, BackendError):
            raise result
        return note_ignored(self, result, request)

    def note_durable(self) -> None:
        if self._ledger is not None:
            self._ledger.settle(self._delivered)
            self._delivered.clear()

    async def aclose(self) -> None:
        """End waiting. Batches go on at the provider, and the next start of the run takes them up."""
        tasks = {group.task for group in self._groups.values() if group.task is not None}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._groups.clear()
        self._unclaimed.clear()
        self._numbers.clear()
        self._open = self._ledger = None
        await super().aclose()

    def _enqueue(self, key: str, body: bytes) -> str:
        """Put a request into the group that is collecting. Returns its custom id."""
        self._numbers[key] += 1
        custom_id, size = f"{key}-{self._numbers[key]}", measure_line(body)
        if self._open is not None and self._open.size + size > MOST_BYTES:
            self._close_group(self._open)
        group = self._open = self._open or _Group({})
        group.bodies[custom_id] = body
        group.size += size
        group.grown.set()
        if len(group.bodies) >= self.config.batch_size:
            self._close_group(group)
        self._groups[custom_id] = group
        return custom_id

    def _close_group(self, group: _Group) -> None:
        group.full = True
        group.grown.set()
        self._open = None

    def _claim(self, key: str) -> str:
        """The custom id of a request that is submitted and that no call waits for; empty where there is none."""
        waiting = self._unclaimed.get(key)
        while waiting:
            custom_id = waiting.popleft()
            if custom_id in self._groups:  # else its batch has failed, and it was given up
                return custom_id
        return ""

    def _give_up(self, custom_ids: Iterable[str]) -> None:
        """Forget requests that no batch has: they are asked anew."""
        for custom_id in custom_ids:
            self._groups.pop(custom_id, None)

    async def _run(self, group: _Group) -> dict[str, Result]:
        """The results of a group, by custom id. Raises `BackendError` where there are none for now, or none at all."""
        if group.submission is None:
            await self._fill(group)
        submission = group.submission
        if submission is None or submission.batch is None:
            submission = group.submission = await self._make_batch(group)
        return await self._collect(submission, group.bodies)

    async def _fill(self, group: _Group) -> None:
        """Wait until the group is full, or no request has come for a while."""
        while not group.full:
            group.grown.clear()
            try:
                async with asyncio.timeout(self.config.idle):
                    await group.grown.wait()
            except TimeoutError:
                break
        if self._open is group:
            self._open = None

    async def _make_batch(self, group: _Group) -> Submission:
        """Make the batch of a full group, unless an attempt before has made it and did not learn of it."""
        assert self._ledger is not None
        submission, batch, api = group.submission, None, self._make_api()
        if submission is None:
            submission = Submission(uuid4().hex, tuple(group.bodies))
            try:
                self._ledger.write(submission)
            except BackendError:
                self._give_up(submission.custom_ids)
                raise
            group.submission = submission
        else:
            batch = await api.find_batch(submission.token)
        if batch is None:
            endpoint = "/v1" + self.config.url.removeprefix(self.config.base_url)
            try:
                batch = await api.make_batch(write_lines(group.bodies, endpoint), submission.token)
            except BackendError as error:
                if error.cause not in TRANSIENT and not error.maybe_billed:
                    self._forget(submission)
                raise
        submission = replace(submission, batch=batch)
        self._ledger.write(submission)
        return submission

    async def _collect(self, submission: Submission, bodies: Mapping[str, bytes]) -> dict[str, Result]:
        """Wait for a batch and read its files."""
        assert submission.batch is not None
        try:
            shown = await self._wait(submission.batch)
            names = [shown.get(key) for key in ("output_file_id", "error_file_id")]
            files = [await self._make_api().download(name) for name in names if isinstance(name, str)]
        except BackendError as error:
            raise self._advise(error, submission) from None
        status = shown["status"]
        if status == "failed":
            self._forget(submission)
            raise self._explain_failure(submission.batch, shown)
        sent = {custom_id: bodies.get(custom_id, b"") for custom_id in submission.custom_ids}
        results = await asyncio.to_thread(read_results, files, sent, self._failures)
        for custom_id in submission.custom_ids:
            if custom_id not in results:
                results[custom_id] = self._explain_missing(submission.batch, status)
        return results

    async def _wait(self, batch: str) -> dict[str, Any]:
        """How a batch stands that has ended. A look that fails in passing is no reason to give it up."""
        while True:
            try:
                shown = await self._make_api().look(batch)
            except BackendError as error:
                if error.cause not in TRANSIENT:
                    raise
                shown = {}
            if shown.get("status") in ("completed", "failed", "expired", "cancelled"):
                return shown
            await asyncio.sleep(self.config.poll)

    def _forget(self, submission: Submission) -> None:
        if self._ledger is not None:
            self._ledger.remove(submission)
        self._give_up(submission.custom_ids)

    def _advise(self, error: BackendError, submission: Submission) -> BackendError:
        """``error``, which keeps the results of a batch from us. They are paid: only a person may give them up.

        A redirect, a wrong certificate, or the key of another project look like a batch that is gone.
        """
        path = None if self._ledger is None else self._ledger.locate(submission)
        if path is None or not error.stops_member:
            return error
        gone = f"if the batch {submission.batch} is gone for good, delete {path}, and its requests are asked anew"
        hint = f"{error.hint}; {gone}" if error.hint else gone
        return BackendError(
            error.cause, error.message, stops_member=True, maybe_billed=True, where=error.where, hint=hint
        )

    def _explain_failure(self, batch: str, shown: Mapping[str, Any]) -> BackendError:
        """The error of a batch that was never begun."""
        errors = (shown.get("errors") or {}).get("data") or [{}]
        first = errors[0] if isinstance(errors[0], dict) else {}
        said = self._failures.clean(str(first.get("message") or "no reason was given"), 300)
        text = f"the batch {batch} was refused: {said}"
        if first.get("code") == "token_limit_exceeded":
            return BackendError(Cause.RATE_LIMIT, text, retry_after=self.config.poll, where=self.endpoint)
        return BackendError(Cause.BAD_REQUEST, text, stops_member=True, where=self.endpoint)

    def _explain_missing(self, batch: str, status: str) -> BackendError:
        """The error of a request that has no line in the files of its batch."""
        if status == "cancelled":
            text = f"the batch {batch} was cancelled at the provider before it came to this request"
            return BackendError(Cause.CANCELLED, text, where=self.endpoint, hint="run again to ask what is left")
        if status == "expired":
            text = f"the batch {batch} expired before it came to this request"
            return BackendError(Cause.RATE_LIMIT, text, retry_after=1.0, where=self.endpoint)
        text = f"the batch {batch} is completed and has no result for this request"
        return BackendError(Cause.BAD_REPLY, text, maybe_billed=True, where=self.endpoint)

    def _make_api(self) -> BatchApi:
        return BatchApi(self._get_client(), self._failures, min(1.0, self.config.poll))
