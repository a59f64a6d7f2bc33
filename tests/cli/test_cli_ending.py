"""How the process of ``pool`` ends: others clean up, and the interpreter is not taken apart under running threads."""

from __future__ import annotations

from pool_core.testing.distributions import write_distribution

PLUGIN = """
import atexit
import sys

class Witness:
    def __del__(self):
        sys.__stderr__.write("taken apart\\n")
        sys.__stderr__.flush()

witness = Witness()
atexit.register(print, "cleaned up", file=sys.stderr)
"""


def test_a_process_ends_before_the_interpreter_is_taken_apart(process, tmp_path, monkeypatch):
    write_distribution(
        tmp_path / "site",
        name="pool-witness",
        entry_points={"pool_core.plugins.v1": {"witness": "pool_witness"}},
        modules={"pool_witness": PLUGIN},
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "site"))
    monkeypatch.setenv("POOL_PLUGINS", "witness")
    one = process("plugins", "list")
    out, err = one.communicate()
    assert ("witness" in out, err, one.returncode) == (True, "cleaned up\n", 0)


def test_the_exit_code_is_kept_to_the_end(process):
    one = process("plugins", "list", "--nonsense")
    assert "--nonsense" in one.communicate()[1]
    assert one.returncode == 2
