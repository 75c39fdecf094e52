"""Changes of API keys."""

from datetime import timedelta

import pytest
from django.utils import timezone

from control_plane.core.errors import Conflict, Denied, Invalid
from control_plane.core.models import AuditEvent, OutboxEvent
from control_plane.core.scopes import OF_KEY_TYPE, ORGANISATION_KEY, WORKSPACE_SERVICE_KEY, WORKSPACE_USER_KEY
from control_plane.keys.authentication import authenticate_key, principal_of_key
from control_plane.keys.models import ApiKey
from control_plane.keys.rotation import end_transitions, rotate_api_key
from control_plane.keys.services import (
    create_api_key,
    create_organisation_with_key,
    create_workspace_key,
    delete_api_key,
    update_api_key,
)
from control_plane.orgs.services import update_workspace
from shared.errors import BadRequest
from tests.control_plane.factories import make_config, make_key, make_member, make_tenant, make_workspace

pytestmark = pytest.mark.django_db


@pytest.fixture
def tenant():
    return make_tenant()


def test_a_new_organisation_has_an_admin_key_with_every_scope_of_its_type():
    made = create_organisation_with_key("Acme", block_inline=False)
    row = authenticate_key(made.admin_key.shown_once())
    assert set(row.scopes) == OF_KEY_TYPE[ORGANISATION_KEY]
    assert (row.organisation, row.workspace) == (made.organisation, None)
    assert made.workspace.is_default


def test_only_a_hash_and_a_mask_of_a_key_are_stored(tenant):
    made = create_workspace_key(tenant.actor, tenant.workspace, "k")
    stored = str(ApiKey.objects.filter(pk=made.row.pk).values().get())
    assert made.shown_once()[25:57] not in stored
    assert made.row.masked.endswith(made.shown_once()[-4:])


@pytest.mark.parametrize("key_type", [WORKSPACE_SERVICE_KEY, WORKSPACE_USER_KEY])
def test_without_scopes_a_key_gets_those_of_its_type(tenant, key_type):
    made = make_key(tenant, None, key_type=key_type, user_id=make_member(tenant).pk)
    assert set(made.row.scopes) == OF_KEY_TYPE[key_type]


def test_a_scope_of_another_type_is_refused(tenant):
    with pytest.raises(BadRequest, match=r"completions\.write"):
        make_key(tenant, ["completions.write"], key_type=ORGANISATION_KEY)
    with pytest.raises(BadRequest, match=r"audit_logs\.list"):
        make_key(tenant, ["audit_logs.list"])


def test_a_key_with_few_scopes_cannot_mint_one_with_more(tenant):
    few = principal_of_key(make_key(tenant, ["workspace_service_api_keys.create", "logs.view"]).row)
    given = {"name": "k", "scopes": ["logs.view", "configs.create"]}
    with pytest.raises(Denied, match=r"configs\.create"):
        create_api_key(few, WORKSPACE_SERVICE_KEY, given, workspace=tenant.workspace)
    made = create_api_key(few, WORKSPACE_SERVICE_KEY, {"name": "k"}, workspace=tenant.workspace)
    assert set(made.row.scopes) == {"workspace_service_api_keys.create", "logs.view"}


def test_an_admin_key_grants_inference_that_it_cannot_hold_itself(tenant):
    admin = principal_of_key(authenticate_key(tenant.admin_key))
    given = {"name": "k", "scopes": ["completions.write"]}
    assert create_api_key(admin, WORKSPACE_SERVICE_KEY, given, workspace=tenant.workspace).row.scopes == [
        "completions.write"
    ]


def test_a_key_keeps_what_it_has_when_someone_with_less_edits_it(tenant):
    row = make_key(tenant, ["configs.create", "logs.view"]).row
    few = principal_of_key(make_key(tenant, ["workspace_service_api_keys.update"]).row)
    update_api_key(few, row, {"name": "n", "scopes": ["configs.create"]})
    assert row.scopes == ["configs.create"]
    with pytest.raises(Denied):
        update_api_key(few, row, {"scopes": ["configs.create", "logs.view"]})


def test_a_key_of_a_user_needs_a_member(tenant):
    with pytest.raises(Invalid, match="user_id"):
        make_key(tenant, key_type=WORKSPACE_USER_KEY)
    with pytest.raises(Invalid, match="user_id"):
        make_key(tenant, key_type=WORKSPACE_USER_KEY, user_id=make_member(make_tenant()).pk)
    user = make_member(tenant)
    assert make_key(tenant, key_type=WORKSPACE_USER_KEY, user_id=user.pk).row.user == user


def test_workspace_and_type_must_fit(tenant):
    with pytest.raises(Invalid):
        create_api_key(tenant.actor, WORKSPACE_SERVICE_KEY, {"name": "k"})
    with pytest.raises(Invalid):
        create_api_key(tenant.actor, ORGANISATION_KEY, {"name": "k"}, workspace=tenant.workspace)


def test_a_default_config_is_stored_by_its_slug(tenant):
    config = make_config(tenant)
    for named in (config.slug, str(config.pk)):
        row = make_key(tenant, defaults={"config_id": named, "allow_config_override": False}).row
        assert row.defaults == {"config_id": config.slug, "allow_config_override": False}


def test_a_config_of_another_workspace_is_no_default(tenant):
    config = make_config(tenant, workspace=make_workspace(tenant))
    with pytest.raises(Invalid, match="config_id"):
        make_key(tenant, defaults={"config_id": config.slug})


def test_a_rotation_leaves_the_old_key_valid_for_a_while(tenant):
    old = make_key(tenant)
    new = rotate_api_key(tenant.actor, old.row, 1_800_000)
    assert authenticate_key(old.shown_once()).pk == authenticate_key(new.shown_once()).pk
    later = timezone.now() + timedelta(milliseconds=1_800_001)
    assert len(new.row.hashes_at(timezone.now())) == 2
    assert new.row.hashes_at(later) == (new.row.secret_hash,)


def test_a_second_rotation_waits_for_the_first(tenant):
    row = make_key(tenant).row
    rotate_api_key(tenant.actor, row)
    with pytest.raises(Conflict):
        rotate_api_key(tenant.actor, row)


def test_a_key_with_few_scopes_cannot_rotate_its_way_to_more(tenant):
    few = principal_of_key(make_key(tenant, ["workspace_service_api_keys.rotate"]).row)
    with pytest.raises(Denied, match=r"configs\.create"):
        rotate_api_key(few, make_key(tenant, ["configs.create"]).row)
    rotate_api_key(few, ApiKey.objects.get(pk=few.id))


def test_the_end_of_a_rotation_reaches_the_gateways_once(tenant):
    rotate_api_key(tenant.actor, make_key(tenant).row, 1_800_000)
    assert end_transitions(timezone.now()) == 0
    OutboxEvent.objects.all().delete()
    later = timezone.now() + timedelta(hours=1)
    assert [end_transitions(later), end_transitions(later)] == [1, 0]
    assert [event.sections for event in OutboxEvent.objects.all()] == [["api_keys"]]
    assert not ApiKey.objects.exclude(previous_hash="").exists()


def test_deleting_a_key_revokes_it_by_its_id(tenant):
    row = make_key(tenant).row
    key_id = row.pk
    delete_api_key(tenant.actor, row)
    assert OutboxEvent.objects.filter(revoked=[f"k:{key_id}"], sections=["api_keys"]).count() == 1
    assert AuditEvent.objects.filter(resource_id=str(key_id), action="delete").exists()


def test_a_change_names_only_what_changes(tenant):
    expires = timezone.now() + timedelta(days=1)
    row = make_key(tenant, description="d", expires_at=expires, rate_limits=[{"value": 1}]).row
    update_api_key(tenant.actor, row, {"name": "n"})
    row.refresh_from_db()
    assert (row.name, row.description, row.expires_at, row.rate_limits) == ("n", "d", expires, [{"value": 1}])
    update_api_key(tenant.actor, row, {"expires_at": None, "description": None, "rate_limits": None})
    row.refresh_from_db()
    assert (row.description, row.expires_at, row.rate_limits) == ("", None, [])


def test_a_key_of_a_user_gets_the_workspace_s_config_unless_it_has_its_own(tenant):
    config, own = make_config(tenant), make_config(tenant, "own")
    update_workspace(tenant.actor, tenant.workspace, {"defaults": {"user_api_key_config": config.slug}})
    user = make_member(tenant)
    made = make_key(tenant, ["logs.view"], key_type=WORKSPACE_USER_KEY, user_id=user.pk)
    assert made.row.defaults == {"config_id": config.slug}
    given = {"user_id": user.pk, "defaults": {"config_id": own.slug}}
    assert make_key(tenant, ["logs.view"], key_type=WORKSPACE_USER_KEY, **given).row.defaults["config_id"] == own.slug
    assert make_key(tenant).row.defaults == {}
