"""What gateways learn of API keys."""

from datetime import timedelta

import pytest
from django.utils import timezone

from control_plane.core.scopes import WORKSPACE_USER_KEY
from control_plane.keys.export import export
from control_plane.keys.models import ApiKey
from control_plane.keys.rotation import rotate_api_key
from shared.crypto.tokens import parse_key
from shared.schema.rows import ApiKeyRow
from tests.control_plane.factories import make_config, make_key, make_member, make_tenant

pytestmark = pytest.mark.django_db


def test_a_workspace_key_is_exported_with_what_a_gateway_checks():
    tenant = make_tenant()
    make_key(make_tenant())
    user, config = make_member(tenant), make_config(tenant)
    made = make_key(
        tenant,
        ["completions.write"],
        key_type=WORKSPACE_USER_KEY,
        user_id=user.pk,
        expires_at=timezone.now() + timedelta(days=1),
        defaults={"metadata": {"a": "b"}, "config_id": config.slug, "allow_config_override": False},
    )
    parsed = parse_key(made.shown_once())
    assert list(export(tenant.organisation)) == [
        (
            "api_keys",
            parsed.key_id,
            ApiKeyRow(
                id=parsed.key_id,
                org=str(tenant.organisation.pk),
                ws=str(tenant.workspace.pk),
                hashes=(parsed.secret_hash,),
                scopes=frozenset({"completions.write"}),
                name="key",
                user=user.email,
                expires=made.row.expires_at.timestamp(),
                config=config.slug,
                allow_config_override=False,
                metadata={"a": "b"},
            ),
        )
    ]


def test_admin_keys_are_not_exported():
    assert list(export(make_tenant().organisation)) == []


def test_expired_keys_are_not_exported():
    tenant = make_tenant()
    made = make_key(tenant)
    ApiKey.objects.filter(pk=made.row.pk).update(expires_at=timezone.now())
    assert list(export(tenant.organisation)) == []


def test_both_secrets_of_a_rotation_are_exported():
    tenant = make_tenant()
    old = make_key(tenant)
    new = rotate_api_key(tenant.actor, old.row)
    ((_, _, row),) = export(tenant.organisation)
    assert row.hashes == (parse_key(new.shown_once()).secret_hash, parse_key(old.shown_once()).secret_hash)
