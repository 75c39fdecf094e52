"""`make clean`: what is removed?  The data of `make up`, PostgreSQL's shelter included, and every tool's cache."""

import shutil
import sys
from typing import Final

from deploy.local import plan, postgres
from deploy.local.plan import Layout
from deploy.local.up import is_running

_CACHES: Final = (".mypy_cache", ".pytest_cache", ".ruff_cache", ".import_linter_cache", ".hypothesis", "build")


def clean(layout: Layout) -> bool:
    """Remove data and caches; False, and nothing removed, while the system runs."""
    if is_running(layout):
        return False
    postgres.remove(layout.home / "postgres")
    shutil.rmtree(layout.home, ignore_errors=True)
    for name in _CACHES:
        shutil.rmtree(plan.REPOSITORY / name, ignore_errors=True)
    return True


def main() -> int:
    """Clean up; return the exit status."""
    if clean(plan.read_layout()):
        return 0
    print("make clean: the system is running; stop it first.", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
