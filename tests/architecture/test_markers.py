"""Nothing is left half done, nothing is silenced, and nothing depends on where or how it was written."""

import re
from pathlib import Path

import pytest

from tests.architecture.source_tree import ROOT, SOURCE, python_files, text_files

THIS = Path(__file__).relative_to(ROOT)
MOST_FILES_THAT_REVEAL = 5
TEXT = (".py", ".md", ".toml", ".yaml", ".yml", ".txt", ".html", ".css", ".js", ".example", ".Dockerfile", ".cfg", "")


def hits(pattern, paths):
    """Where `pattern` occurs, as file:line."""
    found = []
    for path in paths:
        if path == THIS:
            continue
        lines = (ROOT / path).read_text(errors="replace").splitlines()
        found += [f"{path}:{number}" for number, line in enumerate(lines, 1) if re.search(pattern, line)]
    return found


@pytest.mark.parametrize(
    ("pattern", "why"),
    [
        (r"\b(TODO|FIXME|XXX)\b", "an open end belongs in an issue"),
        (r"\bNotImplementedError\b", "a method that is not there is not declared"),
        (r"pytest\.(skip|mark\.skip|importorskip|xfail|mark\.xfail)", "a test that does not run proves nothing"),
        (r"unittest\.skip", "a test that does not run proves nothing"),
        (r"#\s*type:\s*ignore(?!\[)", "an ignored fault is named"),
        (r"#\s*noqa(?!:)", "an ignored rule is named"),
        (r"\bprint\(\s*[\"'](DEBUG|debug)", "a trace of debugging"),
        (r"\bbreakpoint\(\)", "a trace of debugging"),
    ],
)
def test_the_source_has_no(pattern, why):
    assert hits(pattern, python_files(*SOURCE, "tests")) == [], why


def test_an_ignored_rule_has_its_reason_beside_it():
    assert hits(r"#\s*noqa: [A-Z]+[0-9]+(, ?[A-Z]+[0-9]+)*\s*$", python_files(*SOURCE)) == []


def test_secrets_are_revealed_in_few_files():
    files = {hit.partition(":")[0] for hit in hits(r"\.reveal\(", python_files(*SOURCE))} - {"shared/redact.py"}
    assert len(files) <= MOST_FILES_THAT_REVEAL, sorted(files)


@pytest.mark.parametrize(
    "pattern", [r"(?<![\w.}])/work/", r"(?<![\w.}])/root/[.a-z]", r"(?<![\w.{}])/home/\w+/", r"/Users/\w+/"]
)
def test_no_file_names_a_path_of_one_machine(pattern):
    assert hits(pattern, text_files(*TEXT)) == []


def test_no_file_says_how_it_was_written():
    pattern = (
        r"(?i)co-authored-by|(written|generated|created|made) (by|with) (an? )?(ai|llm|assistant|language model)\b"
    )
    assert hits(pattern, text_files(*TEXT)) == []
