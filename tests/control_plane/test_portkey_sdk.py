"""The real SDK, unchanged, against the Admin API: create, list, retrieve, update, delete of each resource."""

import pytest
from portkey_ai import Portkey
from portkey_ai.api_resources import exceptions

from tests.control_plane.factories import make_key, make_member, make_tenant

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def tenant(live_server):
    return make_tenant()


@pytest.fixture
def sdk_of(live_server):
    """Makes clients; they keep connections open, which the server would wait for."""
    made = []

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
        made.append(client)
        return client

    yield make
    for client in made:
        client._client.close()
        client.openai_client.close()


@pytest.fixture
def sdk(sdk_of, tenant):
    return sdk_of(tenant.admin_key)


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


def test_workspace_users_work_with_the_sdk(sdk, tenant):
    user = make_member(tenant)
    users, home = sdk.admin.workspaces.users, tenant.workspace.slug
    users.create(workspace_id=home, users=[{"id": str(user.pk), "role": "manager"}])
    assert users.retrieve(workspace_id=home, user_id=str(user.pk)).role == "manager"
    users.update(workspace_id=home, user_id=str(user.pk), role="admin")
    assert [row["role"] for row in users.list(workspace_id=home).data] == ["admin"]
    users.delete(workspace_id=home, user_id=str(user.pk))
    assert users.list(workspace_id=home).data == []


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


def test_people_work_with_the_sdk(sdk, tenant):
    make_member(tenant, "owner")
    user = make_member(tenant, email="ada@example.com")
    assert sdk.admin.users.list(email="ada@example.com").total == 1
    assert sdk.admin.users.retrieve(user_id=str(user.pk)).role == "member"
    sdk.admin.users.update(user_id=str(user.pk), role="admin")
    assert [row["id"] for row in sdk.admin.users.list(role="admin").data] == [str(user.pk)]
    sdk.admin.users.delete(user_id=str(user.pk))
    assert sdk.admin.users.list().total == 1


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
