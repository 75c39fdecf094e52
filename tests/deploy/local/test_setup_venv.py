"""`make setup`: quick when nothing changed, and clear words for an old Python."""

import ast
import shutil
import sys
from pathlib import Path

import pytest

from deploy.local import setup_venv


@pytest.fixture
def venv(tmp_path, monkeypatch):
    folder = tmp_path / ".venv"
    (folder / "bin").mkdir(parents=True)
    (folder / "bin" / "python").touch()
    lock = tmp_path / "dev.txt"
    lock.write_text("a==1")
    for name, value in {
        "ROOT": tmp_path, "LOCK": lock, "VENV": folder, "STAMP": folder / "stamp", "PYTHON": folder / "bin" / "python",
    }.items():  # fmt: skip
        monkeypatch.setattr(setup_venv, name, value)
    monkeypatch.chdir(tmp_path)
    return folder


@pytest.fixture
def installs(monkeypatch):
    calls = []
    monkeypatch.setattr(setup_venv, "make_venv", lambda python: calls.append(("venv", python)))
    monkeypatch.setattr(setup_venv, "install", lambda: calls.append(("install",)))
    return calls


def test_the_lock_is_installed_once(venv, installs):
    setup_venv.main()
    setup_venv.main()
    assert installs == [("venv", sys.executable), ("install",)]


def test_a_changed_lock_is_installed_again(venv, installs):
    setup_venv.main()
    setup_venv.LOCK.write_text("a==2")
    setup_venv.main()
    assert installs.count(("install",)) == 2


def test_an_interrupted_installation_is_not_taken_for_done(venv, monkeypatch):
    monkeypatch.setattr(setup_venv, "make_venv", lambda _: None)
    monkeypatch.setattr(setup_venv, "install", lambda: sys.exit("make setup: no network"))
    with pytest.raises(SystemExit):
        setup_venv.main()
    assert not setup_venv.STAMP.exists()


def test_an_old_python_looks_for_a_newer_one_on_the_path(monkeypatch):
    monkeypatch.setattr(sys, "version_info", (3, 9, 0))
    monkeypatch.setattr(shutil, "which", {"python3.12": "/bin/python3.12"}.get)
    assert setup_venv.find_python() == "/bin/python3.12"


def test_an_old_python_without_a_newer_one_is_a_sentence(monkeypatch):
    monkeypatch.setattr(sys, "version_info", (3, 9, 0))
    monkeypatch.setattr(shutil, "which", lambda _: None)
    with pytest.raises(SystemExit) as fault:
        setup_venv.find_python()
    assert fault.value.code == (
        "make setup: Python 3.11 or newer is needed, and this is 3.9; say: make PYTHON=/path/to/python3.11"
    )


def test_the_script_parses_on_the_pythons_that_it_refuses():
    source = Path(setup_venv.__file__).read_text()
    assert ast.parse(source, feature_version=(3, 6))


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({"UV_INDEX_URL": "https://mirror.example"}, True),
        ({"PIP_INDEX_URL": "https://mirror.example"}, False),
        ({"UV_INDEX_URL": "https://mirror.example", "PIP_INDEX_URL": "https://mirror.example"}, True),
    ],
)
def test_uv_is_used_only_where_it_asks_the_same_index_as_pip(monkeypatch, variables, expected):
    for name in [name for name in setup_venv.os.environ if name.startswith(("UV_", "PIP_"))]:
        monkeypatch.delenv(name)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert setup_venv.uv_knows_the_index() is expected
