"""The systems whose speed is compared: what is installed for each, how it is driven, and how it is set.

Each runs in a virtual environment of its own. Peers are set as their own documentation says for speed, with what is in
flight the same for all; their drivers say the rest.
"""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

from environments import NotInstalledError, find_python, install

__all__ = ["FLOORS", "PEERS", "POOL", "SCRIPT", "SYSTEMS", "TOOLS", "System", "prepare", "prepare_pool"]

ROOT = Path(__file__).parents[2]
DRIVERS = Path(__file__).with_name("systems")


@dataclass(frozen=True, slots=True)
class System:
    """A system and how it is driven."""

    name: str
    title: str
    #: How it is set, for the page.
    setting: str
    requirements: tuple[str, ...] = ()
    #: The Python that it needs, where it is not this one.
    python: str = ""
    limit: float = 600.0

    def make_command(self, python: Path) -> list[str]:
        """The command that does the job in the current folder."""
        if self is POOL:
            return [str(python.parent / "pool"), "run", "recipe.yaml", "--quiet"]
        return [str(python), str(DRIVERS / f"drive_{self.name}.py")]


#: What draws.
TOOLS = ("matplotlib==3.11.2",)

POOL = System(
    "pool", "pool-core", "`pool-core[fast]`, a recipe, `pool run`; `concurrency: 64` per member, all else by default"
)
FLOORS = (
    System(
        "floor_pyreqwest",
        "floor: pyreqwest, by hand",
        "60 lines that render, send, parse, merge and sync; no retries, no resume",
        ("pyreqwest==0.15.1", "orjson==3.13.0", "uvloop==0.23.0"),
    ),
    System(
        "floor_aiohttp",
        "floor: aiohttp, by hand",
        "the same on aiohttp",
        ("aiohttp==3.14.5", "orjson==3.13.0", "uvloop==0.23.0"),
    ),
)
#: By hand too, on what most people take.
SCRIPT = System(
    "openai_sdk",
    "openai SDK, by hand",
    "`DefaultAioHttpClient`, 64 workers per model",
    ("openai[aiohttp]==3.57.0",),
)
PEERS = (
    System(
        "curator",
        "Bespoke Curator",
        "`max_concurrent_requests=64`, limits of rate that do not bind; models one after another",
        ("bespokelabs-curator==0.1.31",),
    ),
    System(
        "langchain", "LangChain", "`abatch` with `max_concurrency=64`, a chain per model", ("langchain-openai==1.7.4",)
    ),
    System(
        "distilabel_06",
        "distilabel 0.6 `LLMPool`",
        "`num_threads=64`, batches of 256, no checkpoints, no dry run",
        (
            "distilabel[openai]==0.6.0",
            "openai==1.30.5",
            "datasets==2.16.1",
            "huggingface_hub==0.20.3",
            "httpx<0.28",
        ),
        python="3.10",
    ),
    System(
        "data_designer",
        "NeMo Data Designer",
        "`max_parallel_requests=64`, a text column per model",
        ("data-designer==0.9.7",),
    ),
    System(
        "litellm_router",
        "LiteLLM Router",
        "`simple-shuffle`, 64 workers per model, `LITELLM_MODE=PRODUCTION`",
        ("litellm==1.109.1",),
    ),
    System(
        "distilabel_15",
        "distilabel 1.5",
        "a `TextGeneration` per model, `input_batch_size=64`, no cache",
        ("distilabel[openai]==1.5.3", "requests", "beautifulsoup4"),
    ),
    System(
        "ray_data",
        "Ray Data LLM",
        "`HttpRequestProcessorConfig` with 4 actors per model, so 8 in flight: 64 would be 96 processes",
        ("ray[data]==2.60.0", "pydantic", "aiohttp"),
    ),
)
SYSTEMS = (POOL, *FLOORS, SCRIPT, *PEERS)


def prepare(system: System, folder: Path) -> tuple[Path, str]:
    """The Python of the system's environment in ``folder``, made where it is not there, and the versions in it.

    Raises:
        NotInstalledError: it cannot be installed here.
    """
    if system is POOL:
        return prepare_pool(folder)
    python = install(folder / system.name, system.requirements, system.python)
    names = [requirement.partition("[")[0].partition("=")[0].partition("<")[0] for requirement in system.requirements]
    return python, _read_versions(python, names)


def prepare_pool(folder: Path) -> tuple[Path, str]:
    """An environment with this tree's packages, installed as users do: an editable install is slower to start.

    Raises:
        NotInstalledError: pip failed.
    """
    home = folder / "pool"
    python = home / "bin" / "python"
    if not python.exists():
        subprocess.run([find_python(), "-m", "venv", home], check=True)
    plugins = [str(ROOT / "plugins" / name) for name in ("pool-standard", "pool-replay", "pool-openai")]
    install_them = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    for more in (["pyarrow", f"{ROOT}[fast]", *plugins], ["--force-reinstall", "--no-deps", str(ROOT), *plugins]):
        done = subprocess.run([*install_them, *more], capture_output=True, text=True, check=False)
        if done.returncode:
            raise NotInstalledError(f"not installed: {(done.stderr.strip().splitlines() or ['pip failed'])[-1]}")
    return python, _read_versions(python, ["pool-core", "pool-openai", "pyreqwest", "uvloop"])


def _read_versions(python: Path, names: list[str]) -> str:
    code = "import sys; from importlib.metadata import version; print(*map(version, sys.argv[1:]))"
    done = subprocess.run([python, "-c", code, *names], check=True, capture_output=True, text=True)
    run = subprocess.run([python, "--version"], check=True, capture_output=True, text=True)
    found = ", ".join(f"{name} {version}" for name, version in zip(names, done.stdout.split(), strict=True))
    return f"{found}; {run.stdout.strip()}"
