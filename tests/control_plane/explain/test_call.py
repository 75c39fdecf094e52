"""What a question is about: found as gateways would find it, and nothing that is not the caller's."""

from datetime import UTC, datetime, timedelta

import pytest
from django.utils import timezone

from control_plane.core.errors import Invalid
from control_plane.explain.call import read_call
from control_plane.keys.authentication import principal_of_key
from control_plane.keys.services import update_api_key
from control_plane.orgs.services import add_workspace_user, principal_of_user
from tests.control_plane.explain.explain_kit import key_and_provider
from tests.control_plane.factories import (
    make_config,
    make_key,
    make_member,
    make_tenant,
    make_virtual_key,
    make_workspace,
)

pytestmark = pytest.mark.django_db


@pytest.fixture
def tenant():
    return make_tenant()


def read(tenant, **query):
    return read_call(tenant.actor, query)


def test_a_key_is_named_by_its_id_or_by_its_name(tenant):
    key = make_key(tenant, name="Batch").row
    assert read(tenant, api_key=str(key.pk)).api_key == key
    assert read(tenant, api_key="Batch").api_key == key
    assert read(tenant, api_key="Batch").workspace == tenant.workspace


def test_without_a_key_a_workspaces_own_key_is_meant_and_no_other(tenant):
    key = make_key(tenant, ["policies.read"]).row
    assert read_call(principal_of_key(key), {}).api_key == key
    assert read(tenant).api_key is None


@pytest.mark.parametrize("named", ["nobody", "018f0000-0000-7000-8000-000000000000", "TWICE", "FOREIGN", "ADMIN"])
def test_a_key_that_cannot_be_meant_is_refused(tenant, named):
    make_key(tenant, name="twice")
    make_key(tenant, name="twice")
    others = {
        "TWICE": "twice",
        "FOREIGN": str(make_key(make_tenant()).row.pk),
        "ADMIN": str(make_key(tenant, key_type="organisation-service").row.pk),
    }
    with pytest.raises(Invalid, match="api_key"):
        read(tenant, api_key=others.get(named, named))


def test_the_text_of_a_key_is_refused_and_not_repeated(tenant):
    text = make_key(tenant).shown_once()
    with pytest.raises(Invalid, match="by its id") as raised:
        read(tenant, api_key=text)
    assert text not in str(raised.value.detail)


def test_who_may_not_list_keys_may_ask_about_their_own(tenant):
    member = make_member(tenant)
    add_workspace_user(tenant.actor, tenant.workspace, member.pk, "member")
    principal = principal_of_user(member)
    own = make_key(tenant, key_type="workspace-user", user_id=member.pk, name="own").row
    make_key(tenant, name="of others")
    assert read_call(principal, {"api_key": "own"}).api_key == own
    with pytest.raises(Invalid, match="no such key"):
        read_call(principal, {"api_key": "of others"})


def test_a_workspace_that_is_not_the_keys_is_refused(tenant):
    key, other = make_key(tenant).row, make_workspace(tenant)
    with pytest.raises(Invalid, match="another workspace"):
        read(tenant, api_key=str(key.pk), workspace_id=other.slug)
    assert read(tenant, workspace_id=other.slug).workspace == other


@pytest.mark.parametrize(
    "query",
    [
        {"model": "@main/gpt-4o"}, {"provider": "main", "model": "gpt-4o"}, {"provider": "@main", "model": "gpt-4o"},
        {"config": "primary", "model": "gpt-4o"}, {"config": "forced"},
    ],
)  # fmt: skip
def test_the_provider_is_found_as_gateways_find_it(tenant, query):
    saved = make_virtual_key(tenant, "Main", slug="main")
    made = {
        "primary": make_config(tenant, "primary", {"virtual_key": "main"}).slug,
        "forced": make_config(tenant, "forced", {"override_params": {"model": "@main/gpt-4o"}}).slug,
    }
    call = read(tenant, **{name: made.get(value, value) for name, value in query.items()})
    assert (call.virtual_key, call.provider, call.model) == (saved, "openai", "gpt-4o")


def test_of_a_config_with_several_targets_the_first_is_meant_and_that_is_said(tenant):
    first, second = make_virtual_key(tenant, "A", slug="a"), make_virtual_key(tenant, "B", slug="b")
    body = {"strategy": {"mode": "fallback"}, "targets": [{"virtual_key": "a"}, {"virtual_key": "b"}]}
    config = make_config(tenant, "many", body)
    call = read(tenant, config=config.slug, model="gpt-4o")
    assert (call.virtual_key, call.config) == (first, config.slug)
    assert "several targets" in call.notes[0]
    other = read(tenant, config=config.slug, model="gpt-4o", provider="b")
    assert (other.virtual_key, other.notes) == (second, ())


def test_the_config_of_the_key_is_meant_by_default(tenant):
    make_virtual_key(tenant, "Main", slug="main")
    config = make_config(tenant, "usual", {"virtual_key": "main"})
    key = make_key(tenant, defaults={"config_id": config.slug}).row
    call = read(tenant, api_key=str(key.pk))
    assert (call.config, call.provider) == (config.slug, "openai")


def test_a_provider_may_be_one_without_a_virtual_key(tenant):
    call = read(tenant, provider="anthropic", model="claude-x")
    assert (call.virtual_key, call.provider, call.model) == (None, "anthropic", "claude-x")


@pytest.mark.parametrize(
    ("query", "word"),
    [
        ({"provider": "nowhere"}, "provider"), ({"model": "@gone/gpt"}, "@gone"), ({"config": "gone"}, "config"),
        ({"workspace_id": "gone"}, "workspace_id"), ({"metadata": "[1]"}, "metadata"), ({"metadata": "{"}, "metadata"),
        ({"metadata": "x" * 20_000}, "metadata"), ({"at": "yesterday"}, "at"), ({"at": "9999-01-01T00:00:00Z"}, "at"),
        ({"at": "2026-02-31T00:00:00Z"}, "at"), ({"model": "x" * 513}, "512"), ({"config": "a\x00"}, "NUL"),
    ],
)  # fmt: skip
def test_what_is_not_there_is_refused(tenant, query, word):
    with pytest.raises(Invalid, match=word):
        read(tenant, **query)


def test_another_organisations_provider_is_not_there(tenant):
    make_virtual_key(make_tenant(), "Main", slug="main")
    with pytest.raises(Invalid, match="no provider"):
        read(tenant, model="@main/gpt-4o")


def test_metadata_is_merged_as_gateways_merge_it(tenant):
    member = make_member(tenant, email="ada@example.com")
    defaults = {"metadata": {"team": "search", "key": "1"}}
    key = make_key(tenant, key_type="workspace-user", user_id=member.pk, defaults=defaults).row
    call = read(tenant, api_key=str(key.pk), metadata='{"team": "forged", "own": 1}')
    assert call.metadata == {"team": "search", "key": "1", "own": "1", "_user": "ada@example.com"}
    assert call.facts["metadata.team"] == ("search",)


def test_a_moment_without_a_zone_is_one_of_utc(tenant):
    assert read(tenant, at="2030-01-31T12:00:00").at == datetime(2030, 1, 31, 12, tzinfo=UTC)
    assert read(tenant, at="2030-01-31T12:00:00+02:00").at == datetime(2030, 1, 31, 10, tzinfo=UTC)
    assert timezone.now() - read(tenant).at < timedelta(minutes=1)


def test_what_refuses_beside_limits_is_said(tenant):
    key, saved = key_and_provider(tenant)
    soon = timezone.now() + timedelta(hours=1)
    update_api_key(tenant.actor, key, {"allowed_models": ["gpt-4o"], "expires_at": soon})
    saved.integration.allow_all_models = False
    saved.integration.save()
    asked = {"api_key": str(key.pk), "model": "@main/gpt-5"}
    assert read(tenant, **asked).refusals == [
        f"The model gpt-5 is not allowed for the API key {key.name}.",
        "The model gpt-5 is not allowed at the provider @main.",
    ]
    later = (soon + timedelta(hours=1)).isoformat()
    assert f"The API key {key.name} has expired by then." in read(tenant, **asked, at=later).refusals


def test_a_call_that_nothing_refuses_has_no_refusals(tenant):
    key, _ = key_and_provider(tenant)
    assert read(tenant, api_key=str(key.pk), model="@main/gpt-4o").refusals == []
