"""What importing costs: every module imports alone, and commands import only what they need."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

import pool_core

PACKAGE = Path(pool_core.__file__).parent
MODULES = sorted(
    ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__")
    for path in PACKAGE.rglob("*.py")
)

#: Imports each module in a process that has none of pool_core yet. Other packages are there already.
EACH_ALONE = """
import importlib, os, sys, traceback
import importlib_metadata, jinja2.sandbox, msgspec, packaging.requirements, pluggy, pydantic, rich.table, typer, yaml
assert not [name for name in sys.modules if name.startswith("pool_")]
running = 0
for name in sys.argv[1:]:
    if running == os.cpu_count():
        os.wait()
        running -= 1
    child = os.fork()
    if child == 0:
        try:
            importlib.import_module(name)
        except BaseException:
            print(name, traceback.format_exc())
            sys.stdout.flush()
            os._exit(1)
        os._exit(0)
    running += 1
for _ in range(running):
    os.wait()
"""

#: Prints the packages that each step has imported, beside the standard library and what was there before.
STEPS = """
import contextlib, io, json, os, sys
before = set(sys.modules)
def import_quietly(step):
    with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(SystemExit):
        exec(step)
def list_packages():
    names = {name.partition(".")[0] for name in set(sys.modules) - before}
    return sorted(name for name in names - set(sys.stdlib_module_names) if not name.startswith("_"))
found = []
for step in sys.argv[1:]:
    import_quietly(step)
    found.append(list_packages())
print(json.dumps(found))
"""

CLI = "from pool_core.cli.main import run; run({!r})"

#: Runs a command, then prints on standard error which of the named modules it has imported.
LOADED = """
import json, sys
from pool_core.cli.main import run
try:
    run(json.loads(sys.argv[1]))
finally:
    print(json.dumps([name for name in json.loads(sys.argv[2]) if name in sys.modules]), file=sys.stderr)
"""

#: What a run needs and a check does not. Together they would cost a check half of its time again.
OF_A_RUN = ["asyncio", "concurrent.futures", "pyreqwest", "pyarrow", "sqlite3", "ssl"]
OF_A_RUN += [
    "json_repair",
    "jsonschema_rs",
    "litellm",
    "openai",
    "pool_core.engine.run",
    "pool_core.job",
    "pool_core.store.store",
]
OF_TEXT = ["rich", "pool_core.report.findings"]

RECIPE = """
rows: {path: rows.jsonl, id: id}
output: out.jsonl
pool:
  members:
    - {name: ann, backend: {use: openai, model: m, base_url: "http://127.0.0.1:1/v1"}, task: text-generation}
    - {name: bob, backend: {use: simulate}, task: chat}
"""


def run_python(*arguments):
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", *arguments], capture_output=True, text=True, check=False, timeout=120
    )


def list_packages(*steps):
    done = run_python(STEPS, *steps)
    assert done.returncode == 0, done.stderr
    return [set(packages) for packages in json.loads(done.stdout)]


#: Modules that need what the plugins bring that use them, each with that.
OF_PLUGINS = {"pool_core.http.client": "pyreqwest"}


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs cheap processes")
def test_every_module_imports_alone_and_without_warnings():
    missing = {module for module, needed in OF_PLUGINS.items() if find_spec(needed) is None}
    assert missing <= {*MODULES}
    done = run_python(EACH_ALONE, *(module for module in MODULES if module not in missing))
    assert (done.stdout, done.stderr, done.returncode) == ("", "", 0)
    assert "pool_core.engine.run" in MODULES


def test_importing_the_package_and_discovering_plugins_is_cheap():
    package, api, registry, unused, used = list_packages(
        "import pool_core",
        "import pool_core.api",
        "import pool_core; pool_core.Registry",
        "import pool_core; pool_core.Registry.discover()",
        "import pool_core; pool_core.Member",
    )
    assert package == {"pool_core"}
    assert api == {"pool_core", "pluggy"}
    assert registry == {"pool_core", "pluggy", "packaging"}
    assert not unused & {"pydantic", "pydantic_core", "msgspec", "jinja2", "pyarrow", "pyreqwest", "yaml", "rich"}
    assert "pydantic" in used


def test_commands_import_only_what_they_need():
    heavy = {"pydantic", "pydantic_core", "msgspec", "jinja2", "pyarrow", "pyreqwest", "yaml"}
    version, help_, plugins = list_packages(
        CLI.format(["--version"]), CLI.format(["--help"]), CLI.format(["plugins", "list", "--json"])
    )
    assert not version & {*heavy, "rich", "pluggy", "importlib_metadata"}
    assert not help_ & {*heavy, "pluggy", "importlib_metadata"}
    # some versions of typer themselves import pydantic where a command has options
    assert not plugins & (heavy - {"pydantic", "pydantic_core"})
    assert "importlib_metadata" in plugins


@pytest.mark.plugins("standard", "openai", "replay")
@pytest.mark.parametrize(
    ("arguments", "absent"),
    [
        (["--json"], [*OF_A_RUN, *OF_TEXT]),
        (["--format", "github"], [*OF_A_RUN, *OF_TEXT]),
        ([], OF_A_RUN),
    ],
)
def test_a_check_imports_no_client_no_event_loop_and_no_table_for_machines(tmp_path, arguments, absent):
    (tmp_path / "recipe.yaml").write_text(RECIPE)
    (tmp_path / "rows.jsonl").write_text(
        '{"id": "1", "instruction": "Say 1.", "messages": [{"role": "user", "content": "Hi."}]}\n'
    )
    command = ["check", str(tmp_path / "recipe.yaml"), *arguments]
    # what is there shows that the command has come as far as making the plan
    done = run_python(LOADED, json.dumps(command), json.dumps([*absent, "pool_core.plan.build", "pool_openai.backend"]))
    assert (done.returncode, done.stderr) == (0, '["pool_core.plan.build", "pool_openai.backend"]\n'), done.stdout
