"""The real SDK, unchanged, against the Admin API: every method that it has for something that is here.

Each test says which methods it calls, and what is said is checked; the methods of all tests and those of the tables
of `sdk_kit.py` are all that the SDK has, so that one that is new in it, or was forgotten, fails a test.
"""

import re

import pytest
from portkey_ai import Portkey
from portkey_ai.api_resources import exceptions
from portkey_ai.api_resources.utils import GenericResponse

from tests.control_plane.factories import make_key, make_member, make_tenant
from tests.control_plane.sdk_kit import CALLED, FIVE, INFERENCE, LATER, calls, methods_of, noting

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def tenant(live_server):
    return make_tenant()


@pytest.fixture
def sdk_of(live_server, request):
    """Makes clients; they keep connections open, which the server would wait for."""
    made, seen = [], set()

    def make(key):
        client = Portkey(
            api_key=key,
            base_url=f"{live_server.url}/v1",
            # Clients repeat what they send to gateways on admin calls too; none of it may matter.
            provider="@x",
            config={"retry": {"attempts": 1}},
            trace_id="mine",
            metadata={"a": "b"},
        )
        for resource, path, method in list(methods_of(client)):
            setattr(resource, method, noting(getattr(resource, method), ".".join((*path, method)), seen))
        made.append(client)
        return client

    yield make
    for client in made:
        client._client.close()
        client.openai_client.close()
    assert getattr(request.function, "calls", set()) <= seen


@pytest.fixture
def sdk(sdk_of, tenant):
    return sdk_of(tenant.admin_key)


@calls("configs", *FIVE)
def test_configs_work_with_the_sdk(sdk):
    made = sdk.configs.create(name="primary", config={"virtual_key": "a", "retry": {"attempts": 2}})
    assert made.slug.startswith("pc-")
    assert made.id
    assert made.version_id
    read = sdk.configs.retrieve(slug=made.slug)
    assert (read.name, read.config) == ("primary", {"virtual_key": "a", "retry": {"attempts": 2}})
    assert (read.is_default, read.status, read.version_id) == (0, "active", made.version_id)
    assert [row["slug"] for row in sdk.configs.list().data] == [made.slug]
    changed = sdk.configs.update(slug=made.slug, name="second", config={"virtual_key": "b"})
    assert changed.version_id != made.version_id
    again = sdk.configs.retrieve(slug=made.slug)
    assert (again.name, again.config, again.version_id) == ("second", {"virtual_key": "b"}, changed.version_id)
    assert sdk.configs.delete(slug=made.slug).success is True
    assert sdk.configs.list().total == 0


@calls("virtual_keys", *FIVE)
def test_virtual_keys_work_with_the_sdk(sdk):
    made = sdk.virtual_keys.create(name="Team OpenAI", provider="openai", key="sk-sdk-0123456789abcdef", note="n")
    assert made.slug == "team-openai"
    read = sdk.virtual_keys.retrieve(slug=made.slug)
    assert read.success is True
    assert (read.data["name"], read.data["note"], read.data["status"]) == ("Team OpenAI", "n", "active")
    assert [row["slug"] for row in sdk.virtual_keys.list().data] == [made.slug]
    changed = sdk.virtual_keys.update(slug=made.slug, name="Renamed", key="sk-sdk-fedcba9876543210", note="m")
    assert changed.slug == made.slug
    assert sdk.virtual_keys.retrieve(slug=made.slug).data["name"] == "Renamed"
    assert sdk.virtual_keys.delete(slug=made.slug).success is True
    assert sdk.virtual_keys.list().total == 0


@calls("api_keys", *FIVE)
@pytest.mark.parametrize("sub_type", ["service", "user"])
def test_workspace_api_keys_work_with_the_sdk(sdk, sdk_of, tenant, sub_type):
    user = make_member(tenant)
    made = sdk.api_keys.create(
        type="workspace",
        sub_type=sub_type,
        name="key",
        workspace_id=tenant.workspace.slug,
        user_id=str(user.pk),
        scopes=["configs.list", "completions.write"],
        rate_limits=[{"type": "requests", "unit": "rpm", "value": 5}],
        usage_limits={"credit_limit": 10, "type": "cost"},
        defaults={"metadata": {"team": "a"}},
    )
    assert made.object == "api-key"
    assert sdk_of(made.key).configs.list().total == 0
    read = sdk.api_keys.retrieve(id=made.id)
    assert (read.type, read.name) == (f"workspace-{sub_type}", "key")
    assert read.key != made.key
    assert read.scopes == ["completions.write", "configs.list"]
    assert read.usage_limits == {"credit_limit": 10, "type": "cost"}
    assert made.id in {row["id"] for row in sdk.api_keys.list(workspace_id=tenant.workspace.slug).data}
    sdk.api_keys.update(id=made.id, name="renamed", scopes=["completions.write"])
    assert sdk.api_keys.retrieve(id=made.id).name == "renamed"
    sdk.api_keys.delete(id=made.id)
    with pytest.raises(exceptions.NotFoundError):
        sdk.api_keys.retrieve(id=made.id)


def test_admin_keys_work_with_the_sdk(sdk):
    made = sdk.api_keys.create(type="organisation", sub_type="service", name="second", scopes=["workspaces.list"])
    assert sdk.api_keys.retrieve(id=made.id).scopes == ["workspaces.list"]
    assert sdk.api_keys.list(page_size=1).total == 2


@calls("admin.workspaces", *FIVE)
def test_workspaces_work_with_the_sdk(sdk, tenant):
    user = make_member(tenant)
    made = sdk.admin.workspaces.create(
        name="Search", description="d", defaults={"metadata": {"team": "s"}}, users=[str(user.pk)]
    )
    assert made.slug.startswith("ws-")
    assert made.users == [{"id": str(user.pk), "role": "member"}]
    read = sdk.admin.workspaces.retrieve(workspace_id=made.slug)
    assert (read.name, read.is_default) == ("Search", 0)
    assert read.users[0]["email"] == user.email
    assert {row.slug for row in sdk.admin.workspaces.list().data} == {tenant.workspace.slug, made.slug}
    assert [row.slug for row in sdk.admin.workspaces.list(name="sear").data] == [made.slug]
    changed = sdk.admin.workspaces.update(workspace_id=made.id, name="Find")
    assert changed.name == "Find"
    sdk.admin.workspaces.delete(workspace_id=made.id, name="Find")
    assert sdk.admin.workspaces.list().total == 1


@calls("admin.workspaces.users", *FIVE)
def test_workspace_users_work_with_the_sdk(sdk, tenant):
    user = make_member(tenant)
    users, home = sdk.admin.workspaces.users, tenant.workspace.slug
    users.create(workspace_id=home, users=[{"id": str(user.pk), "role": "manager"}])
    assert users.retrieve(workspace_id=home, user_id=str(user.pk)).role == "manager"
    users.update(workspace_id=home, user_id=str(user.pk), role="admin")
    assert [row["role"] for row in users.list(workspace_id=home).data] == ["admin"]
    users.delete(workspace_id=home, user_id=str(user.pk))
    assert users.list(workspace_id=home).data == []


@calls("integrations", *FIVE)
@calls("providers", *FIVE)
def test_integrations_and_providers_work_with_the_sdk(sdk):
    made = sdk.integrations.create(name="Account", ai_provider_id="openai", key="sk-sdk-0123456789abcdef")
    assert sdk.integrations.retrieve(slug=made.slug).masked_key == "sk-****cdef"
    assert [row.slug for row in sdk.integrations.list().data] == [made.slug]
    provider = sdk.providers.create(
        name="Search", integration_id=made.id, rate_limits=[{"type": "requests", "unit": "rpm", "value": 5}]
    )
    assert sdk.providers.retrieve(slug=provider.slug).rate_limits == [{"type": "requests", "unit": "rpm", "value": 5}]
    assert {row.slug for row in sdk.providers.list().data} == {"account", "search"}
    assert sdk.providers.update(slug=provider.slug, note="n").slug == "search"
    sdk.providers.delete(slug=provider.slug)
    sdk.integrations.update(slug=made.slug, name="Renamed")
    assert sdk.integrations.retrieve(slug=made.slug).name == "Renamed"
    sdk.integrations.delete(slug=made.slug)
    assert sdk.providers.list().total == 0


def test_the_sdk_shows_its_user_our_sentence(sdk, sdk_of, tenant):
    with pytest.raises(exceptions.BadRequestError, match="Invalid config passed"):
        sdk.configs.create(name="bad", config={"strategy": {"mode": "sideways"}, "targets": [{}]})
    few = sdk_of(make_key(tenant, ["logs.view"]).shown_once())
    with pytest.raises(exceptions.PermissionDeniedError, match=r"configs\.list"):
        few.configs.list()
    with pytest.raises(exceptions.AuthenticationError, match="not valid"):
        sdk_of("gh-nonsense").configs.list()


@calls("admin.users", "retrieve", "list", "update", "delete")
def test_people_work_with_the_sdk(sdk, tenant):
    make_member(tenant, "owner")
    user = make_member(tenant, email="ada@example.com")
    assert sdk.admin.users.list(email="ada@example.com").total == 1
    assert sdk.admin.users.retrieve(user_id=str(user.pk)).role == "member"
    sdk.admin.users.update(user_id=str(user.pk), role="admin")
    assert [row["id"] for row in sdk.admin.users.list(role="admin").data] == [str(user.pk)]
    sdk.admin.users.delete(user_id=str(user.pk))
    assert sdk.admin.users.list().total == 1


@calls("admin.users.invites", "create", "retrieve", "list", "resend", "delete")
def test_invites_work_with_the_sdk(sdk, tenant):
    made = sdk.admin.users.invites.create(
        email="new@example.com",
        role="member",
        workspaces=[{"id": tenant.workspace.slug, "role": "admin"}],
        workspace_api_key_details={"scopes": ["logs.list", "logs.view"]},
    )
    assert "/invite/" in made.invite_link
    assert sdk.admin.users.invites.retrieve(invite_id=made.id).status == "pending"
    assert sdk.admin.users.invites.list(status="pending").total == 1
    assert sdk.admin.users.invites.resend(invite_id=made.id).inviteLink != made.invite_link
    sdk.admin.users.invites.delete(invite_id=made.id)
    assert sdk.admin.users.invites.list(status="cancelled").total == 1


@calls("labels", *FIVE)
def test_labels_work_with_the_sdk(sdk, sdk_of, tenant):
    organisation = str(tenant.organisation.pk)
    made = sdk.labels.create(name="canary", organization_id=organisation, description="d", color_code="#00aaff")
    read = sdk.labels.retrieve(label_id=made.id)
    assert (read.name, read.is_universal, read.color_code) == ("canary", True, "#00aaff")
    own = sdk.labels.create(name="team-only", workspace_id=tenant.workspace.slug)
    assert sdk.labels.retrieve(own.id).workspace_id == str(tenant.workspace.pk)
    listed = sdk.labels.list(organization_id=organisation, workspace_id=tenant.workspace.slug, page_size=100)
    assert {"canary", "team-only", "production"} <= {row["name"] for row in listed.data}
    assert len(sdk.labels.list(current_page=1, page_size=1).data) == 1
    sdk.labels.update(label_id=made.id, name="beta")
    assert (sdk.labels.retrieve(made.id).name, sdk.labels.retrieve(made.id).description) == ("beta", "d")
    of_workspace = sdk_of(make_key(tenant).shown_once())
    assert of_workspace.labels.retrieve(made.id).name == "beta"
    with pytest.raises(exceptions.PermissionDeniedError, match="key of the organisation"):
        of_workspace.labels.delete(made.id)
    sdk.labels.delete(made.id)
    with pytest.raises(exceptions.NotFoundError):
        sdk.labels.retrieve(made.id)
    with pytest.raises(exceptions.BadRequestError, match="name"):
        sdk.labels.create(name="latest")


@calls("collections", *FIVE)
def test_collections_work_with_the_sdk(sdk, tenant):
    home = tenant.workspace.slug
    outer = sdk.collections.create(name="Answers", workspace_id=home)
    inner = sdk.collections.create(name="Drafts", workspace_id=home, parent_collection_id=outer.slug)
    read = sdk.collections.retrieve(collection_id=outer.slug)
    assert [row["id"] for row in read.child_collections] == [inner.id]
    found = sdk.collections.list(workspace_id=home, search="answer")
    assert [row["collection_details"]["child_collections_count"] for row in found.data] == [1]
    sdk.collections.update(collection_id=inner.slug, name="Finished")
    assert sdk.collections.retrieve(inner.id).name == "Finished"
    with pytest.raises(exceptions.ConflictError, match="others in it"):
        sdk.collections.delete(outer.id)
    sdk.collections.delete(inner.id)
    sdk.collections.delete(outer.id)
    assert [row["is_default"] for row in sdk.collections.list(workspace_id=home).data] == [True]


@pytest.mark.parametrize("limits", [{"credit_limit": 10, "type": "cost"}, {"credit_limit": 10.5, "alert_threshold": 8}])
def test_limits_come_back_to_the_sdk_as_it_sent_them(sdk, tenant, limits):
    rate = [{"type": "tokens", "unit": "rpw", "value": 5000}]
    account = sdk.integrations.create(name="Account", ai_provider_id="openai", key="sk-sdk-0123456789abcdef")
    made = sdk.providers.create(name="Search", integration_id=account.id, usage_limits=limits, rate_limits=rate)
    read = sdk.providers.retrieve(slug=made.slug)
    assert (read.usage_limits, read.rate_limits) == ({"type": "cost", **limits}, rate)
    sdk.virtual_keys.create(name="Team", provider="openai", key="sk-sdk-0123456789abcdef", usage_limits=limits)
    assert sdk.virtual_keys.retrieve(slug="team").data["usage_limits"] == {"type": "cost", **limits}
    with pytest.raises(
        exceptions.BadRequestError, match=r"usage_limits\.alert_threshold: must be less than credit_limit"
    ):
        sdk.virtual_keys.update(slug="team", usage_limits={"credit_limit": 5, "alert_threshold": 5})


@calls("integrations.models", "list", "update", "delete")
@calls("integrations.workspaces", "list", "update")
def test_models_and_workspaces_of_integrations_work_with_the_sdk(sdk, tenant):
    slug = sdk.integrations.create(name="Account", ai_provider_id="openai", key="sk-sdk-0123456789abcdef").slug
    sdk.integrations.models.update(
        slug=slug, allow_all_models=False, models=[{"slug": "mine", "enabled": True, "is_custom": True}]
    )
    listed = sdk.integrations.models.list(slug=slug)
    assert listed.allow_all_models is False
    assert [(model.slug, model.is_custom) for model in listed.models if model.enabled] == [("mine", True)]
    sdk.integrations.models.delete(slug=slug, slugs="mine")
    assert not any(model.enabled for model in sdk.integrations.models.list(slug=slug).models)
    team = sdk.admin.workspaces.create(name="Team")
    limit, rate = {"type": "cost", "credit_limit": 5}, {"type": "requests", "unit": "rpm", "value": 5}
    sdk.integrations.workspaces.update(
        slug=slug, workspaces=[{"id": team.id, "enabled": True, "usage_limits": [limit], "rate_limits": [rate]}]
    )
    found = {each.id: each for each in sdk.integrations.workspaces.list(slug=slug).workspaces}
    assert (found[team.id].enabled, found[team.id].usage_limits, found[team.id].rate_limits) == (True, limit, rate)
    sdk.integrations.workspaces.update(
        slug=slug, global_workspace_access={"enabled": False}, override_existing_workspaces_access=True
    )
    assert not any(each.enabled for each in sdk.integrations.workspaces.list(slug=slug).workspaces)
    assert sdk.integrations.retrieve(slug=slug).global_workspace_access["enabled"] is False


def test_secret_references_work_with_the_calls_that_the_sdk_has_for_all(sdk):
    body = {
        "name": "Token", "manager_type": "hashicorp_vault", "secret_path": "p",
        "auth_config": {"vault_auth_type": "token", "vault_addr": "https://vault.example.com", "vault_token": "hvs.1"},
    }  # fmt: skip
    made = sdk.post("/secret-references", **body)

    def read(path):
        return sdk.get(path=path, cast_to=GenericResponse)

    assert read("/secret-references").total == 1
    assert read(f"/secret-references/{made.slug}").auth_config["vault_token"] == "****"
    sdk.put(path=f"/secret-references/{made.slug}", body={"description": "d"}, cast_to=GenericResponse)
    assert read(f"/secret-references/{made.slug}").description == "d"
    sdk.delete(path=f"/secret-references/{made.slug}", cast_to=GenericResponse)
    assert read("/secret-references").total == 0


def test_the_price_of_a_model_comes_back_to_the_sdk_as_it_sent_it(sdk):
    slug = sdk.integrations.create(name="Account", ai_provider_id="openai", key="sk-sdk-0123456789abcdef").slug
    price = {"type": "static", "pay_as_you_go": {"request_token": {"price": 0.1}, "response_token": {"price": 0.2}}}
    tuned = {"slug": "ft:mine", "enabled": True, "is_custom": True, "is_finetune": True, "base_model_slug": "gpt-4o"}
    sdk.integrations.models.update(slug=slug, models=[{**tuned, "pricing_config": price}])
    (row,) = [each for each in sdk.integrations.models.list(slug=slug).models if each.slug == "ft:mine"]
    assert (row.is_finetune, row.base_model_slug) == (True, "gpt-4o")
    assert row.pricing_config["pay_as_you_go"] == price["pay_as_you_go"]


def test_every_method_of_the_sdk_is_called_here_or_stands_in_a_table(sdk_of):
    there = {".".join((*path, method)) for _, path, method in methods_of(sdk_of("gh-any"))}
    administrative = {name for name in there if name.partition(".")[0] not in INFERENCE}
    later = {name for name in administrative if any(re.fullmatch(pattern, name) for pattern in LATER)}
    assert administrative - later == CALLED
    assert all(any(re.fullmatch(pattern, name) for name in later) for pattern in LATER)
    assert {name.partition(".")[0] for name in there} >= INFERENCE
