"""`make clean`: all that `make up` left, and never under a running system."""

import pytest

from deploy.local import clean, plan, postgres, up
from deploy.local.plan import Layout


@pytest.fixture
def repository(tmp_path, monkeypatch):
    monkeypatch.setattr(plan, "REPOSITORY", tmp_path)
    for name in (".ruff_cache", ".gatehouse", "shared"):
        (tmp_path / name).mkdir()
    return tmp_path


def test_data_and_caches_go_and_the_source_stays(repository):
    assert clean.clean(Layout(repository / ".gatehouse"))
    assert [each.name for each in repository.iterdir()] == ["shared"]


def test_the_files_of_postgresql_go_wherever_they_are(repository):
    home = repository / ".gatehouse"
    child, _ = postgres.start(home / "postgres", log=home / "postgres.log", durable=False)
    child.process.terminate()
    child.process.wait(20)
    folder = (home / "postgres").resolve()
    assert clean.clean(Layout(home))
    assert not folder.exists()


def test_nothing_goes_while_the_system_runs(repository):
    layout = Layout(repository / ".gatehouse")
    with up.only_one(layout):
        assert not clean.clean(layout)
    assert layout.home.exists()
    assert (repository / ".ruff_cache").exists()
