"""Every module of the source says what it answers; every public name that others build on says what it means."""

import ast

from tests.architecture.source_tree import SHARED_AND_GATEWAY, SOURCE, python_files, tree

# Plug-ins of frameworks repeat the framework's own words; services are what other code calls.
DOCUMENTED = [
    *python_files(*SHARED_AND_GATEWAY),
    *[path for path in python_files("control_plane") if path.name == "services.py"],
]


def public_definitions(body):
    """Public classes and functions of a module, and the public methods of those classes."""
    for node in body:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)) and not node.name.startswith("_"):
            yield node
            if isinstance(node, ast.ClassDef):
                yield from public_definitions(node.body)


def test_every_module_has_a_docstring():
    assert [str(path) for path in python_files(*SOURCE) if not ast.get_docstring(tree(path))] == []


def test_every_public_name_of_the_documented_modules_has_a_docstring():
    bare = [
        f"{path}:{node.lineno} {node.name}"
        for path in DOCUMENTED
        for node in public_definitions(tree(path).body)
        if not ast.get_docstring(node)
    ]
    assert bare == []
