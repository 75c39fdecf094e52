"""Names say what a thing is; a test is found where its file is."""

from pathlib import Path

from tests.architecture.source_tree import ROOT, SHARED_AND_GATEWAY, SOURCE, functions, python_files

MEANINGLESS = {
    "util", "utils", "helper", "helpers", "common", "manager", "managers", "misc", "data", "info", "process", "context",
}  # fmt: skip

# Modules without a test file of their own, each with the place where they are tested.
TESTED_ELSEWHERE: dict[str, str] = {}


def mirrored(path):
    """The test file that belongs to a source file: its whole name behind `test_`, leading underscores included."""
    return Path("tests", *path.parts[:-1], f"test_{path.name}")


def needs_a_test(path):
    """A file that only declares has nothing to test by itself."""
    return path.name != "__init__.py" and bool(functions(path))


def test_no_file_or_folder_has_a_name_that_says_nothing():
    parts = {(part, str(path)) for path in python_files(*SOURCE, "tests") for part in (*path.parts[:-1], path.stem)}
    assert sorted(path for part, path in parts if part.removeprefix("test_") in MEANINGLESS) == []


def test_every_file_with_code_has_its_test_file():
    missing = [
        f"{path} lacks {mirrored(path)}"
        for path in python_files(*SHARED_AND_GATEWAY)
        if needs_a_test(path) and str(path) not in TESTED_ELSEWHERE and not (ROOT / mirrored(path)).exists()
    ]
    assert missing == []


def test_an_exemption_is_needed():
    idle = [each for each in TESTED_ELSEWHERE if not (ROOT / each).exists() or (ROOT / mirrored(Path(each))).exists()]
    assert idle == []
