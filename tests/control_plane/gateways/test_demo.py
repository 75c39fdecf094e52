"""The demo organisation is whole at once, works, and is found again without being made twice."""

import pytest

from control_plane.accounts.services import peek_setup_token
from control_plane.catalog.models import VirtualKey
from control_plane.gateways.demo import DEMO_PROVIDER_KEY, GROUP, MODEL, OWNER, SLUG, bootstrap
from control_plane.gateways.models import EnrolmentToken, GatewayGroup
from control_plane.gateways.services import enrol
from control_plane.gateways.signing import SigningKeysMissing, create_root, first_root_digest
from control_plane.keys.models import ApiKey
from control_plane.orgs.models import Organisation
from control_plane.orgs.services import principal_of_user
from control_plane.vault.services import open_secret
from tests.control_plane.factories import Api
from tests.control_plane.gateways.publisher_kit import GroupKeys

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("trusted_hosts")]
URL = "http://127.0.0.1:8790/v1"


@pytest.fixture
def made(folder):
    create_root(folder)
    return bootstrap(URL, new_keys=False)


def test_the_first_run_makes_everything_that_is_needed(made):
    organisation = Organisation.objects.get()
    assert made["organisation_id"] == str(organisation.pk)
    workspaces = Api(made["admin_api_key"]).get("admin/workspaces").json()["data"]
    assert [(row["id"], row["slug"]) for row in workspaces] == [(made["workspace_id"], made["workspace_slug"])]
    assert Api(made["api_key"]).get("virtual-keys").status_code != 401
    assert made["root_sha256"] == first_root_digest()


def test_the_owner_may_set_a_password_and_owns_the_organisation(made):
    user = peek_setup_token(made["setup_url"].rpartition("/")[2])
    assert (user.email, made["owner_email"]) == (OWNER, OWNER)
    assert str(principal_of_user(user).organisation_id) == made["organisation_id"]


def test_the_demo_provider_is_reached_by_the_model_that_is_named(made):
    virtual_key = VirtualKey.objects.select_related("integration__secret").get()
    assert (virtual_key.slug, str(virtual_key.workspace_id)) == (SLUG, made["workspace_id"])
    assert virtual_key.integration.custom_host == URL
    opened = open_secret(virtual_key.integration.secret)
    assert opened.key.reveal() == DEMO_PROVIDER_KEY
    assert made["model"] == MODEL == f"@{SLUG}/demo-chat"


def test_the_token_enrols_the_group_that_serves_all(made):
    enrol(GroupKeys().ask(made["enrolment_token"]))
    group = GatewayGroup.objects.get()
    assert (group.name, group.serves_all) == (GROUP, True)


def test_another_run_finds_what_is_there_and_shows_no_keys(made):
    before = (Organisation.objects.count(), VirtualKey.objects.count(), ApiKey.objects.count())
    again = bootstrap(URL, new_keys=False)
    assert (again["admin_api_key"], again["api_key"]) == (None, None)
    same = ("organisation_id", "workspace_id", "workspace_slug", "owner_email", "root_sha256", "model")
    assert {name: again[name] for name in same} == {name: made[name] for name in same}
    assert (Organisation.objects.count(), VirtualKey.objects.count(), ApiKey.objects.count()) == before


def test_before_a_gateway_has_enrolled_another_run_gives_a_token_that_replaces_the_first(made):
    again = bootstrap(URL, new_keys=False)
    assert again["enrolment_token"] not in {None, made["enrolment_token"]}
    assert EnrolmentToken.objects.count() == 1
    assert enrol(GroupKeys().ask(again["enrolment_token"])).org == made["organisation_id"]


def test_after_a_gateway_has_enrolled_there_is_no_further_token(made):
    enrol(GroupKeys().ask(made["enrolment_token"]))
    assert bootstrap(URL, new_keys=False)["enrolment_token"] is None


def test_new_keys_are_made_beside_the_old_ones_when_asked_for(made):
    again = bootstrap(URL, new_keys=True)
    assert again["admin_api_key"] not in {None, made["admin_api_key"]}
    assert again["api_key"] not in {None, made["api_key"]}
    for key in (made["admin_api_key"], again["admin_api_key"]):
        assert Api(key).get("admin/workspaces").status_code == 200
    assert ApiKey.objects.count() == 4


def test_an_owner_with_a_password_is_given_no_link(made):
    user = peek_setup_token(made["setup_url"].rpartition("/")[2])
    user.set_password("a long enough password")
    user.save()
    assert bootstrap(URL, new_keys=False)["setup_url"] is None


def test_without_a_root_nothing_is_made(folder):
    with pytest.raises(SigningKeysMissing):
        bootstrap(URL, new_keys=False)
    assert not Organisation.objects.exists()
