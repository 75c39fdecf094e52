"""`manage.py create_organisation`."""

import json
from io import StringIO

import pytest
from django.core.management import CommandError, call_command

from control_plane.accounts.services import peek_setup_token
from control_plane.orgs.models import Organisation
from control_plane.orgs.services import principal_of_user
from tests.control_plane.factories import Api

pytestmark = pytest.mark.django_db


def run(*arguments):
    out = StringIO()
    call_command("create_organisation", *arguments, stdout=out)
    return out.getvalue()


def test_it_prints_ids_and_a_key_that_works():
    made = json.loads(run("Acme", "--json"))
    assert set(made) == {"name", "organisation_id", "workspace_id", "workspace_slug", "admin_api_key"}
    listed = Api(made["admin_api_key"]).get("admin/workspaces").json()["data"]
    assert [row["id"] for row in listed] == [made["workspace_id"]]


@pytest.mark.parametrize(
    ("option", "blocked"), [((), False), (("--block-inline",), True), (("--allow-inline",), False)]
)
def test_saved_only_mode_is_off_unless_asked_for(option, blocked):
    run("Acme", *option)
    assert Organisation.objects.get().block_inline is blocked


def test_an_owner_gets_a_set_up_link():
    made = json.loads(run("Acme", "--json", "--owner-email", "Owner@example.com"))
    user = peek_setup_token(made["setup_url"].rpartition("/")[2])
    assert user.email == made["owner_email"] == "owner@example.com"
    assert str(principal_of_user(user).organisation_id) == made["organisation_id"]


def test_people_read_lines():
    assert "admin_api_key" in run("Acme")


def test_a_name_that_cannot_be_used_ends_with_a_sentence_and_makes_nothing():
    with pytest.raises(CommandError, match="name"):
        run(" ")
    assert not Organisation.objects.exists()
