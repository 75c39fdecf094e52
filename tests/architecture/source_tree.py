"""The source files that the architecture tests read."""

import ast
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SHARED_AND_GATEWAY = ("shared", "data_plane")
SOURCE = ("shared", "data_plane", "control_plane", "deploy")
_NOT_OURS = {"migrations", "__pycache__", "node_modules", "vendor"}


def python_files(*roots):
    """Every Python file of `roots`, relative to the repository, without migrations."""
    found = (path.relative_to(ROOT) for root in roots for path in sorted((ROOT / root).rglob("*.py")))
    return [path for path in found if not _NOT_OURS & set(path.parts)]


def text_files(*suffixes):
    """Every text file of the repository with one of `suffixes`, relative to it."""
    top = [path for path in ROOT.iterdir() if path.is_file()]
    deep = [path for root in (*SOURCE, "tests") for path in (ROOT / root).rglob("*") if path.is_file()]
    found = (path.relative_to(ROOT) for path in sorted([*top, *deep]))
    return [path for path in found if path.suffix in suffixes and not _NOT_OURS & set(path.parts)]


@cache
def tree(path):
    """The parsed file."""
    return ast.parse((ROOT / path).read_text())


def functions(path):
    """Every function and method of a file, nested ones included."""
    return [node for node in ast.walk(tree(path)) if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))]


def names(paths):
    """Readable test ids."""
    return [str(path) for path in paths]
