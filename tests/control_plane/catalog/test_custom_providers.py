"""Custom providers: what may be said of one, where its keys may go, and what keeps it from being deleted."""

import re

import pytest

from control_plane.catalog.custom_providers import (
    create_custom_provider,
    delete_custom_provider,
    update_custom_provider,
)
from control_plane.catalog.models import CustomProvider, Integration
from control_plane.catalog.services import create_integration, update_integration
from control_plane.core.errors import Conflict, Invalid, Missing
from control_plane.core.models import OutboxEvent
from control_plane.core.scopes import ORGANISATION_KEY
from control_plane.vault.services import open_secret
from shared.catalog.load import operations, providers
from shared.redact import Secret
from shared.schema.custom_provider import RESERVED_SLUGS, check_slug
from tests.control_plane.factories import Api, make_config, make_key, make_tenant, make_virtual_key

pytestmark = pytest.mark.django_db

URL = "https://api.acme.example/v1"
KEY = "acme-sentinel-key-0123456789"


@pytest.fixture
def tenant():
    return make_tenant()


@pytest.fixture
def api(tenant):
    return Api(tenant.admin_key)


@pytest.fixture
def acme(tenant):
    return create_custom_provider(tenant.actor, {"name": "Acme", "slug": "acme", "base_url": URL})


def account(tenant, name="Acme account", key=KEY, **given):
    secret = {"key": Secret(key)} if key else {}
    return create_integration(tenant.actor, {"name": name, "ai_provider_id": "acme", **secret, **given})


def refused(answer, status=400):
    """Return the sentence of a refusal."""
    body = answer.json()
    assert (answer.status_code, body["data"]["errorCode"]) == (status, {400: "AB01", 403: "AB03", 409: "AB07"}[status])
    return body["error"]["message"]


# what may be said


def test_what_is_left_out_is_as_most_hosts_have_it(api):
    made = api.post("custom-providers", {"name": "Acme Models!", "base_url": f"{URL}/"}).json()
    assert made["slug"] == "acme-models"
    read = api.get("custom-providers/acme-models").json()
    told = {
        name: read[name]
        for name in ("base_url", "auth", "headers", "endpoints", "parameters", "streams_usage", "price_source")
    }
    assert told == {
        "base_url": URL, "auth": {"header": "authorization", "prefix": "Bearer "}, "headers": {}, "parameters": {},
        "endpoints": {"chat": {}, "complete": {}, "embed": {}}, "streams_usage": True, "price_source": None,
    }  # fmt: skip


def test_what_is_said_is_kept_and_can_be_sent_back_as_it_was_read(api):
    said = {
        "name": "Acme", "slug": "acme", "base_url": URL, "auth": {"header": "X-Acme-Key"}, "headers": {"X-Region": "eu"},
        "endpoints": ["chat", "rerank"], "streams_usage": False, "price_source": "openai",
        "parameters": {"rename": {"a": "b"}, "drop": ["c"], "defaults": {"d": {"e": 1}}, "refuse": ["f"]},
    }  # fmt: skip
    assert api.post("custom-providers", said).status_code == 200
    read = api.get("custom-providers/acme").json()
    normal = {
        **said, "auth": {"header": "x-acme-key", "prefix": "Bearer "}, "headers": {"x-region": "eu"},
        "endpoints": {"chat": {}, "rerank": {}},
    }  # fmt: skip
    assert {name: read[name] for name in normal} == normal
    assert api.put("custom-providers/acme", {name: read[name] for name in normal}).status_code == 200
    again = api.get("custom-providers/acme").json()
    assert {**again, "last_updated_at": ""} == {**read, "last_updated_at": ""}


def test_a_provider_may_take_no_credential(api):
    api.post("custom-providers", {"name": "Acme", "base_url": URL, "auth": "none"})
    assert api.get("custom-providers/acme").json()["auth"] == "none"


@pytest.mark.parametrize(("fault", "said"), [
    ({"slug": "Acme"}, "slug: "), ({"slug": "gatehouse"}, "slug: is reserved"), ({"slug": "openai"}, "slug: "), ({"slug": "azure-openai"}, "slug: "),
    ({"slug": "a" * 81}, "slug: "), ({"base_url": "acme.example"}, "base_url: "), ({"base_url": "https://u:p@acme.example"}, "base_url: "),
    ({"base_url": "https://acme.example/v1?a=b"}, "base_url: "), ({"base_url": "https://acme.example/#a"}, "base_url: "),
    ({"base_url": "http://10.0.0.1"}, "base_url: "), ({"base_url": "http://169.254.169.254"}, "base_url: "), ({"base_url": None}, "base_url: "),
    ({"auth": "basic"}, "auth: "), ({"auth": None}, "auth: "), ({"auth": {"header": "host"}}, "auth.header: "), ({"auth": {"name": "x"}}, "auth: "),
    ({"auth": {"prefix": "a\r\n"}}, "auth.prefix: "), ({"headers": {"host": "x"}}, "headers.host: "), ({"headers": {"x-portkey-a": "x"}}, "headers.x-portkey-a: "),
    ({"headers": {"x-a": "a\nb"}}, "headers.x-a: "), ({"headers": {"x-api-key": "x"}}, "headers: x-api-key: a credential"), ({"headers": {"x-a": 1}}, "headers: "),
    ({"headers": {"x-a": "1", "X-A": "2"}}, "headers: "), ({"headers": ["x"]}, "headers: "), ({"endpoints": []}, "endpoints: "),
    ({"endpoints": ["chat", "dream"]}, "endpoints: 'dream' is none"), ({"endpoints": {"chat": {"path": "chat"}}}, "endpoints.chat.path: "),
    ({"endpoints": {"chat": {"way": "/chat"}}}, "endpoints: "), ({"endpoints": [["chat"]]}, "endpoints: "), ({"parameters": {"renames": {}}}, "parameters: "),
    ({"parameters": {"drop": ["a"], "refuse": ["a"]}}, "parameters: "), ({"parameters": {"rename": {"a": 1}}}, "parameters: "),
    ({"parameters": {"defaults": {"n": "x" * 20_000}}}, "parameters.defaults: "), ({"streams_usage": "perhaps"}, "streams_usage: "), ({"price_source": "a b"}, "price_source: "),
])  # fmt: skip
def test_what_cannot_be_is_a_400_that_says_where(api, fault, said):
    answer = api.post("custom-providers", {"name": "Acme", "base_url": URL, **fault})
    assert said in refused(answer)
    assert not CustomProvider.objects.exists()


def test_all_that_is_wrong_is_said_at_once(api):
    answer = api.post("custom-providers", {"name": "n", "base_url": URL, "headers": {"te": "x", "via": "y"}})
    assert [line.partition(":")[0] for line in answer.json()["errors"]] == ["headers.te", "headers.via"]


def test_it_is_told_which_endpoints_there_are(api):
    answer = api.post("custom-providers", {"name": "n", "base_url": URL, "endpoints": ["dream"]})
    assert refused(answer).endswith(", ".join(operations()))


@pytest.mark.parametrize("name", ["OpenAI", "Gatehouse", "Ünïcode", "---", "_", "x" * 200, "x" * 79 + "-y"])
def test_a_slug_made_of_a_name_is_one_that_may_be(tenant, name):
    slugs = [create_custom_provider(tenant.actor, {"name": name, "base_url": URL}).slug for _ in range(2)]
    for slug in slugs:
        check_slug(slug)
        assert slug not in providers()
        assert slug not in RESERVED_SLUGS
    assert len(set(slugs)) == 2


def test_a_slug_that_is_taken_is_a_409_and_one_of_another_organisation_is_not(tenant, acme):
    create_custom_provider(make_tenant().actor, {"name": "Acme", "slug": "acme", "base_url": URL})
    with pytest.raises(Conflict):
        create_custom_provider(tenant.actor, {"name": "Acme", "slug": "acme", "base_url": URL})


def test_the_slug_stays(api, acme):
    assert "cannot be changed" in refused(api.put("custom-providers/acme", {"slug": "acme-2"}))
    assert api.put("custom-providers/acme", {"slug": "acme", "name": "New"}).status_code == 200


def test_an_object_that_is_given_replaces_the_old_one_and_the_rest_stays(api, acme):
    api.put("custom-providers/acme", {"parameters": {"drop": ["a"], "refuse": ["b"]}, "headers": {"x-a": "1"}})
    api.put("custom-providers/acme", {"parameters": {"drop": ["c"]}})
    read = api.get("custom-providers/acme").json()
    assert (read["parameters"], read["headers"], read["name"]) == ({"drop": ["c"]}, {"x-a": "1"}, "Acme")


def test_a_change_that_does_not_fit_what_was_there_is_refused(tenant, api, acme):
    api.put("custom-providers/acme", {"headers": {"x-acme-id": "1"}})
    answer = api.put("custom-providers/acme", {"auth": {"header": "x-acme-id"}})
    assert "headers.x-acme-id: is the header of the credential" in refused(answer)


def test_gateways_are_told_of_every_change(tenant, acme):
    update_custom_provider(tenant.actor, acme, {"name": "New"})
    delete_custom_provider(tenant.actor, acme)
    touched = OutboxEvent.objects.filter(organisation=tenant.organisation, sections=["custom_providers"])
    assert touched.count() == 3


def test_it_belongs_to_the_organisation_as_a_whole(tenant, api, acme):
    workspace = str(tenant.workspace.pk)
    assert "workspace_id" in refused(
        api.post("custom-providers", {"name": "n", "base_url": URL, "workspace_id": workspace})
    )
    assert "workspace_id" in refused(api.put("custom-providers/acme", {"workspace_id": workspace}))
    assert [row["slug"] for row in api.get("custom-providers", workspace_id=workspace).json()["data"]] == ["acme"]


@pytest.mark.parametrize(("scopes", "status"), [
    (["organisation_integrations.create"], 200), (["workspace_integrations.create"], 403), (["organisation_integrations.update"], 403),
])  # fmt: skip
def test_it_takes_the_scope_of_the_organisations_integrations(tenant, scopes, status):
    api = Api(make_key(tenant, scopes, key_type=ORGANISATION_KEY).shown_once())
    assert api.post("custom-providers", {"name": "n", "base_url": URL}).status_code == status


# accounts


def test_an_account_and_a_virtual_key_of_it_are_made_as_of_any_provider(tenant, api, acme):
    body = {"name": "Team Acme", "provider": "acme", "key": KEY}
    slug = api.post("virtual-keys", body).json()["slug"]
    assert api.get(f"virtual-keys/{slug}").json()["provider"] == "acme"
    assert api.post("integrations", {"name": "n", "ai_provider_id": "acme", "key": KEY}).status_code == 200
    opened = [open_secret(integration.secret) for integration in Integration.objects.all()]
    assert [each.hosts for each in opened] == [("api.acme.example",)] * 2


def test_another_organisations_provider_is_unknown(acme):
    stranger = Api(make_tenant().admin_key)
    assert "custom one" in refused(stranger.post("virtual-keys", {"name": "n", "provider": "acme", "key": KEY}))


@pytest.mark.parametrize(("elsewhere", "is_moved"), [
    ("https://other.example/v1", True), ("https://api.acme.example:8443/v1", True), ("http://api.acme.example/v1", True),
    ("https://api.acme.example/v2", False), ("https://API.acme.example:443/v1", False),
])  # fmt: skip
def test_an_address_to_which_keys_are_bound_stays_where_it_is(tenant, acme, elsewhere, is_moved):
    bound = account(tenant)
    if not is_moved:
        assert update_custom_provider(tenant.actor, acme, {"base_url": elsewhere}).base_url == elsewhere
    else:
        with pytest.raises(Conflict, match=f"integration {bound.slug}"):
            update_custom_provider(tenant.actor, acme, {"base_url": elsewhere})
        acme.refresh_from_db()
        assert acme.base_url == URL
    bound.secret.refresh_from_db()
    assert (open_secret(bound.secret).hosts, bound.secret.version) == (("api.acme.example",), 1)


def test_encryption_may_be_turned_on_while_keys_are_bound(tenant):
    made = {"name": "Acme", "slug": "acme", "base_url": "http://api.acme.example:8080/v1"}
    provider = create_custom_provider(tenant.actor, made)
    account(tenant)
    assert update_custom_provider(tenant.actor, provider, {"base_url": URL}).base_url == URL


@pytest.mark.parametrize("given", [{"key": None}, {"configurations": {"custom_host": "https://own.example"}}])
def test_an_account_that_has_no_key_or_a_host_of_its_own_keeps_nothing_in_place(tenant, acme, given):
    account(tenant, **given)
    update_custom_provider(tenant.actor, acme, {"base_url": "https://other.example"})
    acme.refresh_from_db()
    assert acme.base_url == "https://other.example"


def test_a_key_that_comes_back_to_a_provider_which_moved_must_be_given_again(tenant, acme):
    integration = account(tenant, configurations={"custom_host": "https://own.example"})
    update_custom_provider(tenant.actor, acme, {"base_url": "https://other.example"})
    with pytest.raises(Invalid, match="Give the key again"):
        update_integration(tenant.actor, integration, {"configurations": {}})


# deletion


def test_one_in_use_is_not_deleted_and_what_uses_it_is_named(tenant, api, acme):
    used = account(tenant)
    make_virtual_key(tenant, "Team Acme", provider="acme", slug="team-acme")
    config = make_config(tenant, body={"provider": "acme", "retry": {"attempts": 1}})
    sentence = refused(api.delete("custom-providers/acme"), 409)
    named = sentence.partition(": ")[2].partition(". ")[0].split(", ")
    assert named == [f"integration {used.slug}", "virtual key team-acme", f"config {config.slug}"]
    assert CustomProvider.objects.exists()


def test_of_many_users_a_few_are_named_and_all_are_counted(tenant, api, acme):
    for number in range(13):
        account(tenant, f"account {number}", key=None)
    sentence = refused(api.delete("custom-providers/acme"), 409)
    assert len(re.findall(r"integration account-\d+", sentence)) == 10
    assert "and 3 more" in sentence


def test_one_that_somebody_else_deleted_meanwhile_is_missing(tenant, acme):
    CustomProvider.objects.all().delete()
    with pytest.raises(Missing):
        update_custom_provider(tenant.actor, acme, {"name": "n"})
    with pytest.raises(Missing):
        delete_custom_provider(tenant.actor, acme)


def test_an_account_of_another_organisation_keeps_nobody_from_deleting(tenant, acme):
    other = make_tenant()
    create_custom_provider(other.actor, {"name": "Acme", "slug": "acme", "base_url": URL})
    account(other)
    delete_custom_provider(tenant.actor, acme)
    assert list(CustomProvider.objects.values_list("organisation_id", flat=True)) == [other.organisation.pk]


# routing that is asked about before it is used


def test_a_config_that_names_it_is_saved_without_a_warning_and_simulated(api, acme):
    made = api.post("configs", {"name": "n", "config": {"provider": "acme", "retry": {"attempts": 1}}}).json()
    assert "warnings" not in made
    asked = {"config": made["slug"], "request": {"body": {"model": "m", "messages": []}}}
    assert api.post("configs/simulate", asked).json()["target"] == "config"
