import pytest

from shared.redact import Secret
from shared.schema.target_settings import ADDRESS_SETTINGS, SETTING_HEADERS, TARGET_SETTINGS
from shared.schema.values import Faults


def read(name, value):
    faults = Faults()
    return TARGET_SETTINGS[name](value, (name,), faults), faults.lines


@pytest.mark.parametrize(
    ("value", "kept"),
    [("eu", "eu"), (7, "7"), (7.0, "7"), (0.5, "0.5"), (True, "true"), (False, "false"), (2**53, str(2**53))],
)
def test_a_setting_is_kept_as_the_text_that_a_header_would_hold(value, kept):
    assert read("azure_region", value) == (kept, [])


@pytest.mark.parametrize("value", ["", [], {}, 10**400, float("inf"), float("nan"), 2**60])
def test_what_is_no_text_or_small_number_is_a_fault(value):
    kept, faults = read("azure_region", value)
    assert kept is None
    assert faults[0].startswith("path: azure_region, message: ")


@pytest.mark.parametrize(
    "name",
    ["aws_secret_access_key", "aws_session_token", "azure_ad_token", "azure_entra_client_secret", "oracle_private_key"],
)
def test_credentials_are_kept_as_secrets(name):
    kept, faults = read(name, "sentinel")
    assert faults == []
    assert isinstance(kept, Secret)
    assert kept.reveal() == "sentinel"
    assert "sentinel" not in repr(kept)


def test_a_service_account_may_be_an_object_or_its_text():
    assert read("vertex_service_account_json", {"a": 1})[0].reveal() == '{"a":1}'
    assert read("vertex_service_account_json", '{"a":1}')[0].reveal() == '{"a":1}'


@pytest.mark.parametrize("value", [{"a": 10**30}, {"a": "\ud800"}, 7, "", []])
def test_a_service_account_that_cannot_be_written_is_a_fault(value):
    kept, faults = read("vertex_service_account_json", value)
    assert (kept, len(faults)) == (None, 1)


def test_a_service_account_that_is_nested_too_deep_is_a_fault():
    deep = {}
    for _ in range(500):
        deep = {"a": deep}
    assert read("vertex_service_account_json", deep)[0] is None


def test_deployments_are_read():
    one = {"deployment_id": "d", "alias": "gpt-4o", "api_version": "2024-10-21"}
    assert read("deployments", [one, {**one, "is_default": True}]) == ((one, {**one, "is_default": True}), [])


@pytest.mark.parametrize(("value", "fault"), [
    ({}, "path: deployments, message: Expected array, received object"), ([1], "path: deployments,0, message: Expected object, received number"),
    ([{"alias": "a", "api_version": "v"}], "path: deployments,0,deployment_id, message: Required"),
    ([{"deployment_id": "d", "alias": "a", "api_version": "v", "x": 1}], "path: deployments,0,x, message: Unrecognized key"),
])  # fmt: skip
def test_a_fault_of_a_deployment_is_told_with_its_path(value, fault):
    assert read("deployments", value)[1] == [fault]


def test_every_setting_but_the_deployments_has_a_header():
    assert {name for name, _ in SETTING_HEADERS.values()} == set(TARGET_SETTINGS) - {"deployments"}
    assert SETTING_HEADERS["x-portkey-azure-resource-name"] == ("azure_resource_name", False)
    assert SETTING_HEADERS["x-portkey-aws-secret-access-key"] == ("aws_secret_access_key", True)
    assert all(header == header.lower() for header in SETTING_HEADERS)


def test_what_a_header_says_is_secret_is_what_the_config_keeps_secret():
    for name, is_secret in SETTING_HEADERS.values():
        assert isinstance(read(name, "x")[0], Secret) is is_secret


def test_settings_that_are_addresses_are_settings():
    assert set(ADDRESS_SETTINGS) <= set(TARGET_SETTINGS)
