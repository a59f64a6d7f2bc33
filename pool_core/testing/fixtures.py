"""The part of pytest: fixtures, and results for programs. Loaded by ``-p pool_core.testing`` alone."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Coroutine, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Protocol, TypeVar

import pytest

from pool_core.registry import Registry
from pool_core.testing.distributions import write_distribution
from pool_core.testing.scripted import Script as BackendScript
from pool_core.testing.scripted import ScriptedBackend, make_registry
from pool_core.testing.server import Script, ScriptedServer
from pool_core.testing.virtual_time import run_virtual

__all__ = ["Distributions"]

T = TypeVar("T")


class RunVirtual(Protocol):
    """`run_virtual`, as a fixture gives it."""

    def __call__(self, coroutine: Coroutine[Any, Any, T], *, threads: bool | Callable[[], bool] = False) -> T: ...


class Distributions:
    """Installed packages that exist for one test: their folder is on the path, first of all."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def write(self, **distribution: Any) -> Path:
        """Write one, in the words of `write_distribution`. Returns its ``.dist-info`` folder."""
        return write_distribution(self.folder, **distribution)

    def discover(self) -> Registry:
        """A registry of these alone, whatever else is installed."""
        return Registry.discover(path=[str(self.folder)])


@pytest.fixture
def scripted_server() -> Iterator[Callable[..., ScriptedServer]]:
    """Start servers that answer as a script says: ``scripted_server([Reply(503)])``. They end with the test."""
    with ExitStack() as stack:

        def start(script: Script = (), **options: Any) -> ScriptedServer:
            return stack.enter_context(ScriptedServer(script, **options))

        yield start


@pytest.fixture
def scripted_backend() -> Callable[..., ScriptedBackend]:
    """Make backends that answer as a function says: ``scripted_backend(lambda request: "yes")``."""

    def make(script: BackendScript, model: str = "scripted", **options: Any) -> ScriptedBackend:
        return ScriptedBackend(script, model, **options)

    return make


@pytest.fixture
def virtual_time() -> RunVirtual:
    """Run a coroutine in an event loop whose clock jumps instead of waiting: ``virtual_time(coroutine)``."""
    return run_virtual


@pytest.fixture
def pool_registry() -> Registry:
    """A registry in memory, without any installed plugin: ``pool_registry.register(plugin, name="mine")``."""
    return make_registry()


@pytest.fixture
def distributions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Distributions]:
    """Fake installed packages, written without pip: ``distributions.write(name="pool-x", modules={...})``."""
    folder = tmp_path / "site-packages"
    folder.mkdir()
    monkeypatch.syspath_prepend(folder)
    before = set(sys.modules)
    yield Distributions(folder)
    for name in set(sys.modules) - before:
        if str(getattr(sys.modules[name], "__file__", None) or "").startswith(str(folder)):
            del sys.modules[name]


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("pool-core")
    group.addoption("--pool-results", metavar="FILE", help="write a JSON object a line for each check of the kit")


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    """Keep with each report which check of which plugin it is."""
    outcome: Any = yield
    use = getattr(getattr(item, "cls", None), "use", None)
    if isinstance(use, str):
        name = getattr(item, "originalname", item.name)
        case = item.name.removeprefix(name).strip("[]")
        outcome.get_result().user_properties.append(("pool", {"use": use, "check": name, "case": case}))


class _Results:
    """Writes the results of the kit's checks to a file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        path.write_bytes(b"")

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        about = dict(report.user_properties).get("pool")
        if not isinstance(about, dict) or (report.when != "call" and report.outcome == "passed"):
            return
        message = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longreprtext
        line = {**about, "class": report.nodeid.split("::")[1], "outcome": report.outcome, "message": message}
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")


def pytest_configure(config: pytest.Config) -> None:
    path = config.getoption("--pool-results")
    if path and not hasattr(config, "workerinput"):  # with xdist, the one process that knows all
        config.pluginmanager.register(_Results(Path(path)), "pool-results")
