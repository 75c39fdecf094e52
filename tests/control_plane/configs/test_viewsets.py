"""Configs in the Admin API."""

import json

import pytest

from tests.control_plane.factories import Api, make_tenant

pytestmark = pytest.mark.django_db

BODY = {"virtual_key": "a", "retry": {"attempts": 2}}


@pytest.fixture
def api():
    return Api(make_tenant().admin_key)


def test_answers_are_flat_and_wrapped(api):
    made = api.post("configs", {"name": "n", "config": BODY}).json()
    assert made["id"] == made["data"]["id"]
    assert made["version_id"] == made["data"]["version_id"]
    read = api.get(f"configs/{made['slug']}").json()
    assert read["config"] == read["data"]["config"] == BODY
    assert (read["success"], read["is_default"], read["status"]) == (True, 0, "active")


def test_a_config_may_come_as_text(api):
    slug = api.post("configs", {"name": "n", "config": json.dumps(BODY)}).json()["slug"]
    assert api.get(f"configs/{slug}").json()["config"] == BODY


@pytest.mark.parametrize("name", ["is_default", "isDefault"])
@pytest.mark.parametrize("value", [1, True])
def test_both_spellings_of_default_are_understood(api, name, value):
    slug = api.post("configs", {"name": "n", "config": BODY, name: value}).json()["slug"]
    assert api.get(f"configs/{slug}").json()["is_default"] == 1


@pytest.mark.parametrize("config", [None, "", "{", "[]", [], 7, {}, {"nonsense": 1}, '{"a": NaN}'])
def test_a_config_that_cannot_be_served_is_a_400(api, config):
    answer = api.post("configs", {"name": "n", "config": config})
    assert (answer.status_code, answer.json()["data"]["errorCode"]) == (400, "AB01")


def test_every_fault_is_told_with_its_path(api):
    config = {"strategy": {"mode": "sideways"}, "targets": [{"weight": "x"}]}
    errors = api.post("configs", {"name": "n", "config": config}).json()["errors"]
    assert {error.split(",")[0] for error in errors} == {"path: strategy", "path: targets"}


def test_versions_are_listed_newest_first(api):
    slug = api.post("configs", {"name": "n", "config": BODY}).json()["slug"]
    newest = api.put(f"configs/{slug}", {"config": {"virtual_key": "b"}}).json()["version_id"]
    listed = api.get(f"configs/{slug}/versions").json()
    assert (listed["object"], listed["total"]) == ("list", 2)
    assert [row["config"] for row in listed["data"]] == [{"virtual_key": "b"}, BODY]
    assert listed["data"][0]["version_id"] == newest


def test_versions_of_a_foreign_config_are_hidden(api):
    slug = Api(make_tenant().admin_key).post("configs", {"name": "n", "config": BODY}).json()["slug"]
    assert api.get(f"configs/{slug}/versions").status_code == 404


@pytest.mark.parametrize(
    "text",
    [
        '{"virtual_key": "\\ud800"}', '{"virtual_key": "a\\u0000"}',
        '{"virtual_key": "a", "override_params": {"seed": 1e999}}',
        '{"virtual_key": "a", "override_params": {"seed": ' + "9" * 4000 + "}}",
        '{"virtual_key": "a", "override_params": ' + '{"a":' * 70 + "1" + "}" * 71,
    ],
)  # fmt: skip
def test_text_that_cannot_be_kept_or_sent_to_gateways_is_a_400(api, text):
    answer = api.post("configs", {"name": "n", "config": text})
    assert (answer.status_code, answer.json()["data"]["errorCode"]) == (400, "AB01")


def test_what_gateways_refuse_is_said_when_it_is_saved_and_read(api):
    made = api.post("configs", {"name": "n", "config": {**BODY, "cache": {"mode": "simple"}}}).json()
    changed = api.put(f"configs/{made['slug']}", {"name": "m"}).json()
    read = api.get(f"configs/{made['slug']}").json()
    expected = [
        "path: cache, message: cache is not available in this version of the gateway: requests that use it are refused"
    ]
    assert [told["warnings"] for told in (made, changed, read, read["data"])] == [expected] * 4
    api.put(f"configs/{made['slug']}", {"config": BODY})
    assert "warnings" not in api.get(f"configs/{made['slug']}").json()
