"""A backend that does what its configuration and its prompts say, and what no backend should do."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

from pool_core.errors import BackendError
from pool_core.interfaces.backend import Backend, BackendSpec
from pool_core.interfaces.config import PluginConfig
from pool_core.interfaces.values import Answer, Capabilities, Cause, Offer, Usage


class StubbornError(Exception):
    """Cannot be pickled and read again: its constructor takes no positional arguments. Nor can it be shown."""

    def __init__(self, *, code):
        super().__init__()
        self.code = code
        self.lock = threading.Lock()

    def __str__(self):
        raise RuntimeError("no text either")


class Config(PluginConfig):
    """What it does beside answering."""

    model: str = "m"
    on_open: str = "open"
    on_close: str = "close"
    #: Each opening adds a line to it.
    openings: Path | None = None
    #: From this opening on, `on_open` holds; before, it opens.
    from_opening: int = 1
    bills: bool = False
    #: What it says when its answers are durable.
    on_durable: str = ""


class Misbehaving(Backend[Config]):
    """See `Config`; a prompt is an order to `obey`."""

    Config = Config

    @classmethod
    def capabilities(cls, config, inner):
        return Capabilities(offer=Offer("m", "http://127.0.0.1:1") if config.bills else None)

    @property
    def model(self):
        return self.config.model

    @property
    def endpoint(self):
        return "misbehaving:"

    async def open(self):
        opening = 1
        if self.config.openings is not None:
            with self.config.openings.open("a") as file:
                file.write(f"{os.getpid()}\n")
            opening = len(self.config.openings.read_text().splitlines())
        if opening >= self.config.from_opening:
            await obey(self, self.config.on_open)

    async def generate(self, request):
        text = request.prompt.text or request.prompt.messages[-1].content
        said = await obey(self, text)
        return said if said is not None else Answer(f"{text}!", "stop", Usage(1, 2), extra={"pid": os.getpid()})

    async def refresh(self):
        return self.config.model == "rotated"

    def note_durable(self):
        if self.config.on_durable:
            raise ValueError(self.config.on_durable)
        if self.folder is not None:
            self.folder.mkdir(exist_ok=True)
            with (self.folder / "durable").open("a") as file:
                file.write(f"{os.getpid()}\n")

    async def aclose(self):
        await obey(self, self.config.on_close)


class Plain(Misbehaving):
    """The same; it asks for a process of its own."""

    isolated = True


class OuterConfig(PluginConfig):
    """A backend that wraps another one."""

    backend: BackendSpec


class Outer(Backend[OuterConfig]):
    """Passes on to the backend inside."""

    Config = OuterConfig

    def __init__(self, config, inner):
        super().__init__(config)
        self.inner = inner

    @classmethod
    def build(cls, config, inner):
        return cls(config, inner["backend"])

    @property
    def model(self):
        return self.inner.model

    @property
    def endpoint(self):
        return self.inner.endpoint

    async def generate(self, request):
        return await self.inner.generate(request)


async def obey(backend, order):  # noqa: C901, PLR0912 - a list of misdeeds
    """Do what ``order`` says. Returns what `generate` is to return instead of an echo, or None."""
    what, _, argument = order.partition(" ")
    match what:
        case "die":
            os.kill(os.getpid(), signal.SIGKILL)
        case "once":  # die, unless that was done before
            if not Path(argument).exists():  # noqa: ASYNC240 - the misdeed follows
                Path(argument).touch()  # noqa: ASYNC240 - as above
                os.kill(os.getpid(), signal.SIGKILL)
        case "exit":
            sys.stderr.write("a last word\n")
            sys.stderr.flush()
            os._exit(int(argument))
        case "freeze":
            os.kill(os.getpid(), signal.SIGSTOP)
        case "block":
            Path(argument).write_text("now", encoding="utf-8")  # noqa: ASYNC240 - the misdeed follows
            time.sleep(1000)  # noqa: ASYNC251 - the misdeed
        case "wait":
            await asyncio.sleep(float(argument))
        case "raise":
            raise ValueError(argument)
        case "leave":
            sys.exit(3)
        case "cancel":
            raise asyncio.CancelledError
        case "late":
            raise TimeoutError(argument)
        case "refuse":
            raise BackendError(
                Cause.RATE_LIMIT, "full", retry_after=7.5, maybe_billed=True, where="POST x", hint="wait"
            )
        case "broken":
            raise BackendError(Cause.BAD_REQUEST, "half an emoji \ud83d", stops_member=True)
        case "stubborn":
            raise StubbornError(code=3)
        case "thread":
            thread = threading.Thread(target=lambda: 1 / 0)
            thread.start()
            await asyncio.get_running_loop().create_future()  # the thread was to set it
        case "print":
            sys.stdout.write("x" * 100_000)
            os.write(1, b"\0\0\0\0\0\0\0\1 raw bytes on descriptor 1")
            sys.stdout.flush()
        case "pause":
            backend.pause(float(argument))
        case "number":
            return 7
        case "odd":
            return Answer("odd", extra={"object": object()})
        case "surrogate":
            return Answer("half \ud83d")
        case "environment":
            return Answer(repr({name: os.environ.get(name) for name in argument.split()}))
        case "folder":
            return Answer(repr(backend.folder))
        case "insist":  # answers though it was given up
            try:
                await asyncio.sleep(1000)
            except asyncio.CancelledError:
                return Answer("nevertheless")
        case "stay":  # whoever gives it up
            while True:
                with suppress(asyncio.CancelledError):
                    await asyncio.sleep(1000)
        case "pid":
            return Answer(str(os.getpid()))
        case "input":
            return Answer(repr(sys.stdin.read()))
        case "spawn":
            process = subprocess.Popen(  # noqa: ASYNC220 - it is to outlive this call
                [sys.executable, "-c", "import time; time.sleep(1000)"]
            )
            return Answer(str(process.pid))
        case "deaf":
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
    return None
