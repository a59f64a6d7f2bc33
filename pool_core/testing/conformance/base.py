"""The checks of every kind: how the plugin is packaged, and its configuration."""

from __future__ import annotations

import shutil
import sys
import tempfile
import traceback
import weakref
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from functools import cached_property, lru_cache
from io import StringIO
from pathlib import Path
from typing import Any, ClassVar, NoReturn, TypeVar

import pytest
from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError
from jsonschema.exceptions import ValidationError as SchemaMismatchError
from pydantic import BaseModel, ValidationError

from pool_core.errors import PoolError
from pool_core.plan.resolve import Resolver
from pool_core.recipe.uses import Use
from pool_core.recipe.yaml_source import Source
from pool_core.registry import Entry, Kind, Registry
from pool_core.testing.conformance.declared import Supports
from pool_core.testing.conformance.elsewhere import WorkerError, call_elsewhere, import_elsewhere
from pool_core.watchdog import CallStoppedError, Watchdog

__all__ = ["PluginConformance", "clip", "describe"]

T = TypeVar("T")

#: What an entry module may import beside the standard library and its own package.
_LIGHT = frozenset({"pluggy", "pool_core", "pool_core.api"})
_LONGEST = 300
_UNKNOWN_KEY = "no-key-of-this-name"
_PICKLED = "keep locks, clients, lambdas and classes that are made on the way out of it: `__getstate__` may drop them"


class PluginConformance:
    """What all kinds have in common. Not for use by itself."""

    #: Qualified name of what is tested, ``plugin/name``. It is found as a recipe finds it: installed.
    use: ClassVar[str] = ""
    #: What it supports; every capability that the kind asks for is declared.
    supports: ClassVar[Supports] = Supports()
    #: The configuration, as a recipe has it beside ``use:``.
    config: ClassVar[Mapping[str, Any]] = {}
    #: Longest that one call may take, in seconds. Far more than any right plugin needs on any machine.
    patience: ClassVar[float] = 120.0

    kind: ClassVar[Kind]
    #: The capabilities that the kind asks for.
    asked: ClassVar[tuple[str, ...]] = ()

    def prepare(self, folder: Path) -> None:
        """Write the files that the configuration names into ``folder``; its paths start from there."""

    def make_registry(self) -> Registry:
        """The plugins that are installed."""
        return _discover(tuple(sys.path))

    # What the checks work with.

    @cached_property
    def folder(self) -> Path:
        """A folder for one check, with the files of `prepare`."""
        path = Path(tempfile.mkdtemp(prefix="pool-conformance-"))
        weakref.finalize(self, shutil.rmtree, path, ignore_errors=True)
        self.prepare(path)
        return path

    @cached_property
    def resolver(self) -> Resolver:
        """Makes things of names and configurations as a recipe in `folder` would."""
        return Resolver(self.make_registry(), Source(self.folder / "recipe.yaml"))

    @cached_property
    def entry(self) -> Entry:
        """What the plugin contributes."""
        if not self.use:
            self.fail("the class does not say what it tests", "set `use = 'plugin/name'`")
        try:
            return self.resolver.registry.find(self.kind, self.use)
        except PoolError as error:
            self.fail(f"it is not found: {error}", "install the plugin, for example with `pip install -e .`")

    @cached_property
    def factory(self) -> type[Any]:
        """Its class."""
        try:
            return self.resolver.registry.load(self.entry)
        except PoolError as error:
            self.fail(f"its class cannot be used: {error}", "see the reason; `pool plugins show` has the factory")

    def list_configs(self) -> list[Mapping[str, Any]]:
        """All configurations that the class and its examples name."""
        return [self.config]

    def make_config(self, config: Mapping[str, Any] | None = None) -> BaseModel:
        """A validated configuration."""
        given = self.config if config is None else {**self.config, **config}
        model: type[BaseModel] = self.factory.Config
        try:
            return model.model_validate(dict(given), context={"folder": self.folder})
        except ValidationError as error:
            self.fail(f"the configuration {given!r} is refused: {error}", "correct `config` of the class or example")

    def make_use(self, config: Mapping[str, Any] | None = None) -> Use:
        """What a recipe writes to use it."""
        self.make_config(config)  # so that a wrong one is told as such
        return Use(use=self.entry.qualified, **{**self.config, **(config or {})})

    # How the checks speak.

    def fail(self, seen: str, cure: str) -> NoReturn:
        """End the check: what was seen, and what to do."""
        check = _find_check()
        about = self.use or type(self).__name__
        lines = " ".join(line.strip() for line in seen.splitlines())
        raise pytest.fail.Exception(
            f"{about}: check {check}\n  seen: {lines}\n  to do: {cure}", pytrace=False
        ) from None

    def skip(self, why: str) -> NoReturn:
        """End a check that does not apply, as the class has declared."""
        pytest.skip(f"{self.use}: {why}")

    def call(self, what: str, function: Callable[[], T], *allowed: type[BaseException]) -> T:
        """The result of a call into the plugin, which may raise what is ``allowed`` and has to end."""
        with Watchdog() as watchdog:
            try:
                return watchdog.run(function, what, seconds=self.patience)
            except allowed:
                raise
            except CallStoppedError as error:
                self.fail(f"{what} {error}", "bound the work, for example the pattern that searches")
            except (Exception, SystemExit) as error:  # noqa: BLE001 - told as the failure of the check
                may = " or ".join(one.__name__ for one in allowed)
                self.fail(f"{what} raised {describe(error)}", f"raise nothing{f' but {may}' if may else ''}")

    @contextmanager
    def explaining(self, what: str, cure: str) -> Iterator[None]:
        """Anything that is raised in the block fails the check."""
        try:
            yield
        except (Exception, SystemExit) as error:  # noqa: BLE001 - told as the failure of the check
            self.fail(f"{what}: {describe(error)}", cure)

    @contextmanager
    def listening(self, what: str) -> Iterator[None]:
        """Anything that is printed in the block fails the check: it would stand in the output of a command."""
        printed = StringIO()
        with redirect_stdout(printed):
            yield
        if printed.getvalue():
            self.fail(f"{what} printed {clip(printed.getvalue())}", "print nothing; log instead")

    def call_elsewhere(self, what: str, function: Callable[..., T], *arguments: Any) -> T:
        """The result of ``function`` in a fresh interpreter."""
        try:
            return call_elsewhere(function, *arguments)  # type: ignore[no-any-return]
        except WorkerError as error:
            self.fail(f"{what} failed in another process: {error}", "let it depend on nothing that this process has")
        except Exception as error:  # noqa: BLE001 - told as the failure of the check
            self.fail(f"{what} cannot be pickled: {describe(error)}", _PICKLED)

    # The package.

    def test_capabilities_are_declared(self) -> None:
        """Every capability that the kind asks for is declared True or False, and no other."""
        for name in Supports.__slots__:
            said = getattr(self.supports, name)
            if name in self.asked and said is None:
                self.fail(f"nobody has looked at {name!r}", f"say `supports = Supports({name}=True)`, or False")
            if name not in self.asked and said is not None:
                self.fail(f"{name!r} is declared, and a {self.kind} has no such capability", "take it away")

    def test_it_is_active_and_its_class_loads(self) -> None:
        """The plugin is found among the installed ones, and its class is of the right kind."""
        assert self.factory

    def test_it_has_a_summary(self) -> None:
        """The contribution has a summary of one line, which `pool plugins show` prints."""
        summary = self.entry.contribution.summary
        if not summary.strip() or "\n" in summary:
            self.fail(f"the summary is {summary!r}", "give the Contribution one line that says what it is")

    def test_entry_module_is_light(self) -> None:
        """The entry module imports the standard library, `pool_core.api` and its own package, in a fresh process."""
        module = self.entry.record.module.partition(":")[0]
        own = module.partition(".")[0]
        found = self._import(module)
        outside = {name for name in found.modules if name.partition(".")[0] not in sys.stdlib_module_names}
        heavy = sorted(name for name in outside - _LIGHT if name.partition(".")[0] not in ("pluggy", own))
        if heavy:
            shown = ", ".join(heavy[:8]) + (f" and {len(heavy) - 8} more" if len(heavy) > 8 else "")  # noqa: PLR2004
            self.fail(
                f"importing {module!r} imports {shown}",
                "name classes by import strings, and import what hooks need inside of them",
            )

    def test_entry_module_is_quiet(self) -> None:
        """The entry module prints nothing, warns of nothing and leaves the process as it was."""
        self._check_quiet(self.entry.record.module.partition(":")[0])

    def test_class_module_is_quiet(self) -> None:
        """The module of the class prints nothing and leaves the process as it was."""
        self._check_quiet(self.entry.contribution.factory.partition(":")[0])

    def test_requirement_on_the_core_is_declared(self) -> None:
        """The distribution says which versions of pool-core it works with."""
        if not self.entry.record.requires_core:
            self.fail(
                f"{self.entry.record} does not say which pool-core it needs",
                'declare `dependencies = ["pool-core>=0.1,<0.2"]`: a core that is too new is then told apart',
            )

    def _import(self, module: str) -> Any:
        try:
            found = import_elsewhere(module)
        except WorkerError as error:
            self.fail(f"importing {module!r} ends the process: {error}", "import modules without effects")
        if found.error:
            self.fail(f"importing {module!r} raises {found.error}", "import optional modules where they are needed")
        return found

    def _check_quiet(self, module: str) -> None:
        found = self._import(module)
        if found.printed:
            self.fail(f"importing {module!r} prints {clip(found.printed)}", "print nothing; log instead")
        if found.changed:
            self.fail(f"importing {module!r} changes {', '.join(found.changed)}", "leave the process to its owner")

    # The configuration.

    def test_config_is_frozen(self) -> None:
        """A configuration cannot be changed, nor what is in it."""
        for config in [one for whole in self._make_configs() for one in _list_models(whole)]:
            for name in type(config).model_fields:
                try:
                    setattr(config, name, getattr(config, name))
                except (ValidationError, TypeError, AttributeError):
                    continue
                self.fail(f"the field {name!r} can be set", "derive the configuration from PluginConfig")

    def test_config_refuses_unknown_keys(self) -> None:
        """A key that is misspelt is refused, further inside too."""
        for given in self.list_configs():
            self.make_config(given)
            try:
                self.factory.Config.model_validate(
                    {**self.config, **given, _UNKNOWN_KEY: 1}, context={"folder": self.folder}
                )
            except ValidationError:
                continue
            self.fail("a key that does not exist is accepted", "derive the configuration from PluginConfig")
        for config in [one for whole in self._make_configs() for one in _list_models(whole)]:
            if config.model_config.get("extra") != "forbid":
                name = type(config).__name__
                self.fail(f"a key that does not exist is accepted in {name}", "derive it from PluginConfig as well")

    def test_config_round_trip(self) -> None:
        """A configuration that is written as JSON and read again is the same."""
        for config in self._make_configs():
            with self.explaining("it cannot be written as JSON and read again", "use plain types, or add serializers"):
                again = type(config).model_validate_json(config.model_dump_json())
            if again != config:
                self.fail(f"{config!r} became {again!r} by way of JSON", "use plain types, or add serializers")

    def test_config_schema_is_valid(self) -> None:
        """The configuration has a JSON Schema, which its examples satisfy."""
        model: type[BaseModel] = self.factory.Config
        with self.explaining("it has no JSON Schema", "use types that pydantic can describe"):
            schema = model.model_json_schema()
        try:
            Draft202012Validator.check_schema(schema)
            for config in self._make_configs():
                Draft202012Validator(schema).validate(config.model_dump(mode="json", by_alias=True))
        except SchemaError as error:
            self.fail(f"its JSON Schema is not one: {error.message}", "correct `json_schema_extra` and the like")
        except SchemaMismatchError as error:
            self.fail(f"an example is not what its schema says: {error.message}", "let schema and validators agree")

    def test_config_is_described(self) -> None:
        """Every field of the configuration has a description, which the reference prints."""
        for name, field in self.factory.Config.model_fields.items():
            if not field.description:
                self.fail(
                    f"the field {name!r} has no description", "Field(..., description='what it is, and its unit')"
                )

    def test_config_survives_pickling(self) -> None:
        """A configuration is the same in another process."""
        configs = self._make_configs()
        for config, again in zip(configs, self.call_elsewhere("the configuration", _return, configs), strict=True):
            if again != config:
                self.fail(f"{config!r} is another one after pickling", "keep its state in its fields")

    def _make_configs(self) -> list[BaseModel]:
        return [self.make_config(config) for config in self.list_configs()]


def clip(value: object) -> str:
    """``value`` in one short line."""
    text = value if isinstance(value, str) else repr(value)
    shown = ascii(text) if isinstance(value, str) else text.encode("ascii", "backslashreplace").decode()
    return shown if len(shown) <= _LONGEST else f"{shown[:_LONGEST]}... ({len(shown):,} characters)"


def describe(error: BaseException) -> str:
    """An error with its text and the line of the plugin that raised it."""
    frames = traceback.extract_tb(error.__traceback__)
    where = f" at {frames[-1].filename}:{frames[-1].lineno}" if frames else ""
    return f"{type(error).__name__}: {clip(str(error))}{where}"


def _find_check() -> str:
    frame = sys._getframe(1)  # noqa: SLF001 - the documented way to a caller
    while frame is not None and not frame.f_code.co_name.startswith("test_"):
        frame = frame.f_back  # type: ignore[assignment]
    return frame.f_code.co_name.removeprefix("test_") if frame is not None else "?"


def _list_models(value: object) -> Iterator[BaseModel]:
    """A configuration and the models in it. What stands for another plugin in it is that plugin's to check."""
    if isinstance(value, BaseModel):
        if type(value).__module__.partition(".")[0] != "pool_core":
            yield value
            for name in type(value).model_fields:
                yield from _list_models(getattr(value, name))
    elif isinstance(value, Mapping):
        for one in value.values():
            yield from _list_models(one)
    elif isinstance(value, list | tuple):
        for one in value:
            yield from _list_models(one)


def _return(value: T) -> T:
    return value


@lru_cache(maxsize=4)
def _discover(path: tuple[str, ...]) -> Registry:
    """The installed plugins, once for each path that is looked at."""
    return Registry.discover(path=path)
