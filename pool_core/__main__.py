"""``python -m pool_core`` is ``pool``."""

from pool_core.cli.main import run

if __name__ == "__main__":
    run()
