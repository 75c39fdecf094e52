"""`make organisation`: only in a running system, and readable."""

import pytest

from deploy.local import organisation, plan, up
from deploy.local.children import CannotStart
from deploy.local.plan import Layout


@pytest.fixture
def layout(tmp_path):
    return Layout(tmp_path)


def test_without_a_running_system_it_is_one_sentence(layout):
    with pytest.raises(CannotStart, match="not running; start it with `make up`"):
        organisation.create("Acme", layout)


def test_an_environment_left_by_a_killed_run_is_not_taken_for_a_running_system(layout):
    plan.write_pairs(layout.environment, {"DATABASE_URL": "postgresql://gone"})
    with pytest.raises(CannotStart, match="not running"):
        organisation.create("Acme", layout)


def test_the_command_runs_with_the_environment_of_the_running_system(layout, monkeypatch):
    seen = []

    def manage_json(environment, *arguments):
        seen.append((environment["DATABASE_URL"], arguments))
        return {"name": "Acme"}

    monkeypatch.setattr(organisation, "manage_json", manage_json)
    monkeypatch.setenv("DATABASE_URL", "postgresql://another")
    plan.write_pairs(layout.environment, {"DATABASE_URL": "postgresql://running"})
    with up.only_one(layout):
        assert organisation.create("Acme & Sons", layout) == {"name": "Acme"}
    assert seen == [("postgresql://running", ("create_organisation", "Acme & Sons", "--json"))]


def test_the_admin_key_is_printed_and_empty_facts_are_not():
    text = organisation.readable({"name": "Acme", "admin_api_key": "KEY", "owner_email": None, "plan_name": "free"})
    assert [line.split() for line in text.splitlines()] == [
        ["organisation", "Acme"],
        ["admin", "API", "key", "KEY"],
        ["plan", "name", "free"],
    ]


@pytest.mark.parametrize("arguments", [[], [""], ["  "]])
def test_without_a_name_it_says_how_to_give_one(arguments, capsys):
    assert organisation.main(arguments) == 2
    assert "NAME=" in capsys.readouterr().err


def test_from_the_command_line_a_refusal_is_one_sentence(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("GATEHOUSE_HOME", str(tmp_path))
    assert organisation.main(["Acme"]) == 1
    assert capsys.readouterr().err.startswith("make organisation: the system is not running")
