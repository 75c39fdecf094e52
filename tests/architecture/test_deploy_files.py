"""Deploy files are linted, lock files are whole and name no host, generated files are current.

Linting does not prove that an image builds or that a stack starts.
"""

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests.architecture.source_tree import ROOT

BIN = Path(sys.executable).parent
LOCKS = ROOT / "deploy" / "requirements"
GROUPS = ("control", "data", "local")
DOCKERFILES = sorted((ROOT / "deploy" / "docker").glob("*.Dockerfile"))
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def finished(*command):
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=90, check=False)


def pinned(name):
    """Name and version of every requirement in a lock file; a name may have several, by markers."""
    lines = re.findall(r"^([a-z0-9._-]+)==(\S+)", (LOCKS / f"{name}.txt").read_text(), re.MULTILINE)
    return set(lines)


def direct(requirements):
    return {re.split(r"[\[<>=!~; ]", requirement)[0].lower() for requirement in requirements}


def test_the_linter_finds_nothing_in_the_images():
    done = finished(str(BIN / "hadolint"), *map(str, DOCKERFILES))
    assert (done.returncode, done.stdout) == (0, "")


def test_compose_follows_its_schema():
    done = finished(
        str(BIN / "check-jsonschema"), "--builtin-schema", "vendor.compose-spec", str(ROOT / "deploy" / "compose.yaml")
    )
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(("plane", "other"), [("control_plane", "data_plane"), ("data_plane", "control_plane")])
def test_an_image_carries_its_plane_only_and_runs_without_root(plane, other):
    text = (ROOT / "deploy" / "docker" / f"{plane}.Dockerfile").read_text()
    copied = re.findall(r"^COPY (?!--from)(\S+)", text, re.MULTILINE)
    assert plane in copied
    assert "shared" in copied
    assert not {other, ".", "deploy", "tests"} & set(copied)
    assert re.findall(r"^USER (\d+):", text, re.MULTILINE) == ["10001"]
    assert "--require-hashes" in text


@pytest.mark.parametrize("name", ["dev", *GROUPS])
def test_a_lock_names_no_host_and_has_a_hash_for_everything(name):
    text = (LOCKS / f"{name}.txt").read_text()
    assert re.findall(r"://|--(?:extra-)?index-url|--find-links|--trusted-host", text) == []
    requirements = re.split(r"\n(?=\S)", text.strip())
    assert [entry.split()[0] for entry in requirements if "--hash=sha256:" not in entry] == []


@pytest.mark.parametrize("group", GROUPS)
def test_a_group_is_locked_to_the_versions_that_are_tested(group):
    assert pinned(group) <= pinned("dev")
    wanted = direct([*PROJECT["dependencies"], *PROJECT["optional-dependencies"][group]])
    assert wanted - {name for name, _ in pinned(group)} == set()


def test_the_lock_of_all_groups_has_every_direct_dependency():
    groups = PROJECT["optional-dependencies"].values()
    wanted = direct([*PROJECT["dependencies"], *(each for group in groups for each in group)])
    assert wanted - {name for name, _ in pinned("dev")} == set()


def test_the_example_of_the_environment_is_current():
    done = finished(sys.executable, "-m", "deploy.local.env_example", "--check")
    assert done.returncode == 0, done.stderr


def test_ci_runs_the_same_check_as_people():
    script = ROOT / ".ci" / "run"
    assert os.access(script, os.X_OK)
    assert "make test" in script.read_text()
