"""Names become classes, and what stands beside them becomes a validated configuration."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from pool_core.errors import PluginError, PoolError, RecipeError
from pool_core.interfaces.backend import Backend, BackendSpec
from pool_core.interfaces.isolation import Isolation
from pool_core.interfaces.policy import NamedPolicy, Policy, PolicySpec
from pool_core.interfaces.prompt_format import PromptFormat
from pool_core.interfaces.task import Task
from pool_core.plan.callables import CallablePolicy, CallablePromptFormat
from pool_core.plan.model import BackendPlan
from pool_core.plan.rows import FileRows
from pool_core.recipe.locate import explain_errors, locate
from pool_core.recipe.models import Output, Rows
from pool_core.recipe.uses import Use, UseBackend
from pool_core.recipe.yaml_source import KeyPath, Source
from pool_core.registry import Entry, Kind, Registry

__all__ = ["Resolver"]

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Resolver:
    """Resolves the names of one recipe."""

    registry: Registry
    source: Source | None

    def resolve_task(self, use: Use, path: KeyPath) -> tuple[Task[Any], str]:
        """The task that ``use`` means, and its qualified name."""
        if use.instance is not None:
            self._check_instance(use.instance, Task, "task", path)
            return use.instance, use.use
        entry, factory, config = self._resolve("task", use, path)
        task: Task[Any] = self._make(entry, lambda: factory(config), path)
        return task, entry.qualified

    def resolve_backend(self, use: UseBackend, path: KeyPath, *, inside: bool = False) -> BackendPlan:
        """The backend that ``use`` means and those inside it. None is made.

        Args:
            inside: it stands inside of one that runs in a process of its own, and runs there.
        """
        if use.instance is not None:
            self._check_instance(use.instance, Backend, "backend", path)
            return BackendPlan(use.use, None, None, instance=use.instance)
        entry, factory, config = self._resolve("backend", use, path)
        isolation = self._find_isolation(use, factory, path, inside=inside)
        inside = inside or isolation is not None
        inner = {
            name: self.resolve_backend(_make_use(spec), (*path, name), inside=inside)
            for name in type(config).model_fields
            if isinstance(spec := getattr(config, name), BackendSpec)
        }
        device = None if use.device is None else str(use.device)
        plan = BackendPlan(entry.qualified, factory, config, inner, isolation=isolation, device=device)
        if isolation is not None:
            try:
                plan.describe_for_process()
            except PluginError as error:
                raise self._place(error, path) from error
        return plan

    def _find_isolation(
        self, use: UseBackend, factory: type[Backend[Any]], path: KeyPath, *, inside: bool
    ) -> Isolation | None:
        """How the backend's own process is watched; None where it runs in this one. A device needs a process."""
        if inside and (use.device is not None or use.isolate):
            name = "device" if use.device is not None else "isolate"
            raise RecipeError(
                f"`{name}` stands inside of a backend that runs in a process of its own",
                where=locate(self.source, (*path, name)),
                hint="write it beside the outer `use:`; what is inside runs in the same process",
            )
        if use.isolate is False and use.device is not None:
            raise RecipeError(
                "`device` says what a process of its own sees, and `isolate: false` that there is none",
                where=locate(self.source, (*path, "device")),
                hint="remove one of the two",
            )
        if inside or use.isolate is False:
            return None
        if isinstance(use.isolate, Isolation):
            return use.isolate
        return Isolation() if use.isolate or use.device is not None or factory.isolated else None

    def resolve_policy(self, use: Use, path: KeyPath) -> tuple[Policy[Any], str]:
        """The policy that ``use`` means, and the name that its findings carry."""
        if isinstance(use.instance, Policy):
            return use.instance, use.use
        if use.instance is not None:
            self._check_object(use.instance, path)
            if not callable(use.instance):
                raise self._refuse(f"a {type(use.instance).__name__} is neither a policy nor a function", path)
            return CallablePolicy(use.instance), use.use
        entry, factory, config = self._resolve("policy", use, path)
        inner = [
            NamedPolicy(name, policy)
            for spec, place in _find_policy_specs(config, path)
            for policy, name in [self.resolve_policy(Use(use=spec.use, **(spec.model_extra or {})), place)]
        ]
        policy: Policy[Any] = self._make(entry, lambda: factory.build(config, inner), path)
        return policy, entry.name

    def resolve_prompt_format(self, use: Use, path: KeyPath) -> PromptFormat[Any]:
        """The prompt format that ``use`` means; from Python also a plain function."""
        if isinstance(use.instance, PromptFormat):
            return use.instance
        if use.instance is not None:
            self._check_object(use.instance, path)
            if not callable(use.instance):
                raise self._refuse(f"a {type(use.instance).__name__} is neither a prompt format nor a function", path)
            return CallablePromptFormat(use.instance)
        entry, factory, config = self._resolve("prompt_format", use, path)
        made: PromptFormat[Any] = self._make(entry, lambda: factory(config), path)
        return made

    def resolve_rows(self, rows: Rows) -> FileRows:
        """The reader of the recipe's rows."""
        folder = self.source.folder if self.source else None
        path = folder / rows.path if folder else rows.path
        entry, factory, config = self._resolve_file("reader", rows, ("rows",), rows.reader)
        reader = self._make(entry, lambda: factory(path, config), ("rows",))
        return FileRows(reader, rows.id)

    def resolve_writer(self, output: Output) -> tuple[type[Any], BaseModel]:
        """The writer's class and configuration for the recipe's output."""
        _, factory, config = self._resolve_file("writer", output, ("output",), output.writer)
        return factory, config

    def call(self, label: str, function: Callable[[], T], path: KeyPath) -> T:
        """Ask a plugin for what a plan needs of it. One that breaks is named, at its place."""
        try:
            return function()
        except (PoolError, KeyboardInterrupt):
            raise
        except BaseException as error:
            raise RecipeError(
                f"{label} broke: {type(error).__name__}: {error}", where=locate(self.source, path)
            ) from error

    def _resolve_file(
        self, kind: Kind, spec: Rows | Output, path: KeyPath, name: str | None
    ) -> tuple[Entry, type[Any], BaseModel]:
        try:
            entry = self.registry.find(kind, name) if name else self.registry.find_for_file(kind, spec.path)
            factory = self.registry.load(entry)
        except PluginError as error:
            raise self._place(error, path) from error
        return entry, factory, self._validate(factory.Config, dict(spec.model_extra or {}), path)

    def _resolve(self, kind: Kind, use: Use, path: KeyPath) -> tuple[Entry, type[Any], Any]:
        try:
            entry = self.registry.find(kind, use.use)
            factory = self.registry.load(entry)
        except PluginError as error:
            raise self._place(error, (*path, "use")) from error
        return entry, factory, self._validate(factory.Config, use.options, path)

    def _validate(self, model: type[BaseModel], options: dict[str, Any], path: KeyPath) -> BaseModel:
        folder = self.source.folder if self.source else None
        try:
            context = {"folder": folder, "load_class": self.registry.load_model}
            return model.model_validate(options, context=context)
        except ValidationError as error:
            raise explain_errors(error, model, self.source, path) from None

    def _make(self, entry: Entry, make: Any, path: KeyPath) -> Any:
        """Call a plugin's constructor; its own errors get the place, others name the plugin."""
        try:
            return make()
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            raise RecipeError(
                f"the {entry.kind.replace('_', ' ')} {entry.qualified} cannot be made: {error}",
                where=locate(self.source, path),
            ) from error

    def _check_instance(self, value: object, base: type, label: str, path: KeyPath) -> None:
        self._check_object(value, path)
        if not isinstance(value, base):
            raise self._refuse(f"a {type(value).__name__} is no {label}: it must derive from {base.__name__}", path)

    def _check_object(self, value: object, path: KeyPath) -> None:
        if isinstance(value, type):
            raise RecipeError(
                f"the class {value.__name__} stands where an object is needed",
                where=locate(self.source, path),
                hint=f"make one: {value.__name__}(...)",
            )

    def _refuse(self, message: str, path: KeyPath) -> RecipeError:
        return RecipeError(message, where=locate(self.source, path))

    def _place(self, error: PluginError, path: KeyPath) -> PluginError:
        return PluginError(error.message, where=locate(self.source, path), hint=error.hint)


def _make_use(spec: BackendSpec) -> UseBackend:
    """A backend inside of another one's configuration, as one that stands in a member."""
    return UseBackend(use=spec.use, isolate=spec.isolate, device=spec.device, **(spec.model_extra or {}))


def _find_policy_specs(config: BaseModel, path: KeyPath) -> Iterator[tuple[PolicySpec, KeyPath]]:
    """The policies named inside a configuration, alone or in lists, each with its place."""
    for name in type(config).model_fields:
        value = getattr(config, name)
        for number, item in enumerate(value if isinstance(value, list | tuple) else [value]):
            if isinstance(item, PolicySpec):
                yield item, (*path, name, number) if isinstance(value, list | tuple) else (*path, name)
