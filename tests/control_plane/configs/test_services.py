"""Configs and their versions."""

import re

import pytest
from django.db import IntegrityError, connection, transaction

from control_plane.configs.models import Config, ConfigVersion
from control_plane.configs.services import delete_config, update_config
from control_plane.core.errors import Invalid
from control_plane.core.models import RowImmutable
from shared.errors import InvalidConfig
from shared.schema.target_settings import SETTING_HEADERS
from tests.control_plane.factories import make_config, make_tenant

pytestmark = pytest.mark.django_db


@pytest.fixture
def tenant():
    return make_tenant()


def test_a_config_begins_with_version_one(tenant):
    config = make_config(tenant, body={"virtual_key": "a"})
    assert config.slug.startswith("pc-")
    assert (config.active.number, config.body) == (1, {"virtual_key": "a"})


def test_a_new_body_is_a_new_version_and_the_old_one_stays(tenant):
    config = make_config(tenant, body={"virtual_key": "a"})
    changed = update_config(tenant.actor, config, {"config": {"virtual_key": "b"}})
    assert changed.body == {"virtual_key": "b"}
    assert [(v.number, v.body) for v in changed.versions.all()] == [
        (2, {"virtual_key": "b"}),
        (1, {"virtual_key": "a"}),
    ]


def test_a_new_name_is_no_new_version(tenant):
    config = make_config(tenant)
    assert update_config(tenant.actor, config, {"name": "x"}).active_id == config.active_id


def test_a_body_that_gateways_cannot_serve_is_refused_with_every_fault(tenant):
    body = {"strategy": {"mode": "sideways"}, "targets": [{"weight": "x"}]}
    with pytest.raises(InvalidConfig) as raised:
        make_config(tenant, body=body)
    assert len(raised.value.errors) == 2
    assert not Config.objects.exists()


def test_a_refused_change_leaves_the_config_as_it_was(tenant):
    config = make_config(tenant)
    with pytest.raises(InvalidConfig):
        update_config(tenant.actor, config, {"name": "x", "config": {"retry": 3}})
    config.refresh_from_db()
    assert (config.name, config.versions.count()) == ("primary", 1)


@pytest.mark.parametrize(
    "body",
    [
        {"provider": "openai", "api_key": "sk-x"},
        {"provider": "bedrock", "aws_secret_access_key": "x"},
        {"strategy": {"mode": "fallback"}, "targets": [{"provider": "openai", "api_key": "x"}]},
        *({"virtual_key": "a", name: "x"} for name, is_secret in SETTING_HEADERS.values() if is_secret),
        {"virtual_key": "a", "vertex_service_account_json": {"private_key": "x"}},
    ],
)
def test_a_credential_in_a_config_is_refused(tenant, body):
    with pytest.raises(Invalid, match="virtual key"):
        make_config(tenant, body=body)


def test_a_parameter_of_the_model_is_no_credential(tenant):
    assert make_config(tenant, body={"virtual_key": "a", "override_params": {"max_tokens": 5}}).body


@pytest.mark.parametrize(
    "body",
    [
        {"provider": "openai", "custom_host": "http://127.0.0.1/v1"},
        {"strategy": {"mode": "fallback"}, "targets": [{"provider": "openai", "custom_host": "http://10.0.0.1"}]},
    ],
)
def test_a_host_that_may_not_be_used_is_refused_with_its_path(tenant, body):
    with pytest.raises(InvalidConfig) as raised:
        make_config(tenant, body=body)
    (fault,) = raised.value.errors
    assert re.match(r"path: (targets,0,)?custom_host, message: ", fault)


def test_a_host_that_is_trusted_is_accepted(tenant, settings):
    settings.TRUSTED_CUSTOM_HOSTS = frozenset({"127.0.0.1"})
    assert make_config(tenant, body={"provider": "openai", "custom_host": "http://127.0.0.1/v1"}).body


def test_a_setting_that_is_no_credential_is_accepted(tenant):
    plain = {name: "x" for name, is_secret in SETTING_HEADERS.values() if not is_secret}
    assert make_config(tenant, body={"virtual_key": "a", **plain}).body


def test_a_version_cannot_be_changed_by_our_code(tenant):
    version = make_config(tenant).active
    version.body = {}
    with pytest.raises(RowImmutable):
        version.save()
    with pytest.raises(RowImmutable):
        ConfigVersion.objects.filter(pk=version.pk).update(body={})


def test_a_version_cannot_be_changed_by_anyone_else(tenant):
    make_config(tenant)
    with pytest.raises(IntegrityError, match="written once"), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("UPDATE configs_configversion SET body = '{}'")


def test_a_workspace_has_one_default_config(tenant):
    first = make_config(tenant, is_default=True)
    second = make_config(tenant, is_default=True)
    first.refresh_from_db()
    assert (first.is_default, second.is_default) == (False, True)
    update_config(tenant.actor, first, {"is_default": True})
    assert [config.pk for config in Config.objects.filter(is_default=True)] == [first.pk]


def test_deleting_a_config_takes_its_versions_along(tenant):
    config = make_config(tenant)
    update_config(tenant.actor, config, {"config": {"virtual_key": "b"}})
    delete_config(tenant.actor, config)
    assert not ConfigVersion.objects.exists()
