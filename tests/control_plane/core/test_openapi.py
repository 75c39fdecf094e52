"""The description of the Admin API."""

import re
from io import StringIO

import jsonschema
import pytest
from django.core.management import CommandError, call_command
from django.urls import Resolver404, resolve

from control_plane.configs.question import _READERS as QUESTION_FIELDS
from control_plane.core.management.commands import write_openapi
from control_plane.core.openapi import document, operations
from control_plane.core.resources import discover
from control_plane.core.roles import ALL_SWITCHES

OPERATIONS = {f"{each.method} {each.path}": each for each in operations()}
every = pytest.mark.parametrize("name", sorted(OPERATIONS))
with_body = pytest.mark.parametrize(
    "name", sorted(n for n in OPERATIONS if "requestBody" in document()["paths"][n.split()[1]][n.split()[0]])
)


def described(name):
    method, path = name.split()
    return document()["paths"][path][method]


def body_of(name):
    return described(name)["requestBody"]["content"]["application/json"]


def references(value):
    if isinstance(value, dict):
        if "$ref" in value:
            yield value["$ref"]
        for item in value.values():
            yield from references(item)
    elif isinstance(value, list):
        for item in value:
            yield from references(item)


def test_the_file_is_current():
    call_command("write_openapi", check=True, stdout=StringIO())


def test_a_file_that_is_not_current_is_said(monkeypatch, tmp_path):
    monkeypatch.setattr(write_openapi, "FILE", tmp_path / "openapi.json")
    with pytest.raises(CommandError, match="make openapi"):
        call_command("write_openapi", check=True)
    call_command("write_openapi")
    call_command("write_openapi", check=True)


def test_every_resource_is_described():
    assert {each.viewset.path for each in OPERATIONS.values()} == set(discover())


@every
def test_what_is_described_is_served(name):
    path = re.sub(r"\{(\w+)\}", "service", OPERATIONS[name].path)
    try:
        found = resolve(f"/v1{path}")
    except Resolver404:
        pytest.fail(f"nothing serves {path}")
    assert found.func.actions[OPERATIONS[name].method] == OPERATIONS[name].action


@every
def test_an_operation_says_what_it_does_and_who_may_do_it(name):
    assert len(described(name)["summary"]) > 5
    assert described(name)["x-scopes"] == sorted(OPERATIONS[name].viewset().scopes_of(OPERATIONS[name].action))
    assert {"200", "400", "401", "403"} <= set(described(name)["responses"])


@every
def test_every_name_in_a_path_is_a_parameter(name):
    declared = {each["name"] for each in described(name)["parameters"] if each.get("in") == "path"}
    assert declared == set(re.findall(r"\{(\w+)\}", OPERATIONS[name].path))


@with_body
def test_a_body_has_fields_and_a_schema_that_is_one(name):
    schema = body_of(name)["schema"]
    jsonschema.Draft202012Validator.check_schema(schema)
    assert schema["properties"]


@with_body
def test_an_example_is_what_its_schema_allows(name):
    content = body_of(name)
    jsonschema.validate(content.get("example", {}), {**content["schema"], "required": []})


def test_ids_of_operations_are_unique():
    ids = [operation["operationId"] for path in document()["paths"].values() for operation in path.values()]
    assert sorted(set(ids)) == sorted(ids)


def test_every_reference_leads_somewhere():
    found = set(references(document()))
    assert found
    for reference in found:
        place = document()
        for step in reference.removeprefix("#/").split("/"):
            place = place[step]


@pytest.mark.parametrize(
    ("name", "parameter", "is_there"),
    [
        ("put /configs/{id}", "IfMatch", True),
        ("delete /configs/{id}", "IfMatch", True),
        ("get /configs/{id}", "IfMatch", False),
        ("post /configs", "IdempotencyKey", True),
        ("put /configs/{id}", "IdempotencyKey", False),
        ("post /configs/simulate", "IdempotencyKey", False),
        ("post /api-keys/{id}/rotate", "IdempotencyKey", True),
    ],
)
def test_the_headers_of_changes_are_described_where_they_count(name, parameter, is_there):
    found = [each.get("$ref") for each in described(name)["parameters"]]
    assert (f"#/components/parameters/{parameter}" in found) == is_there


def test_credentials_are_only_written():
    key = body_of("post /virtual-keys")["schema"]["properties"]["key"]
    assert (key["format"], key["writeOnly"]) == ("password", True)


def test_what_a_change_names_is_never_required():
    assert "name" in body_of("post /configs")["schema"]["required"]
    assert "required" not in body_of("put /configs/{id}")["schema"]


def test_the_types_of_keys_are_listed():
    use = next(p for p in described("post /api-keys/{owner}/{use}")["parameters"] if p.get("name") == "use")
    assert use["schema"]["enum"] == ["service", "user"]


def test_a_route_that_always_refuses_is_not_offered():
    assert "post" not in document()["paths"]["/api-keys"]


@pytest.mark.parametrize(
    "name",
    ["delete /admin/organisation/jwks", "post /admin/organisation/jwks/refresh", "post /api-keys/lookup", "get /audit-logs"],
)  # fmt: skip
def test_what_may_find_nothing_says_so_although_its_path_names_nothing(name):
    assert "404" in described(name)["responses"]


def test_what_an_organisation_has_one_of_is_described_as_no_list():
    for path in ("/admin/organisation", "/admin/organisation/jwks"):
        schema = described(f"get {path}")["responses"]["200"]["content"]["application/json"]["schema"]
        assert schema == {"$ref": "#/components/schemas/Single"}


def test_switches_and_simulations_have_bodies():
    own, whole = (
        body_of(f"put /admin/{of}/access")["schema"]["properties"] for of in ("workspaces/{workspace}", "organisation")
    )
    assert set(own) == set(whole) == ALL_SWITCHES
    assert {each["type"] for each in whole.values()} == {"boolean"}
    assert all(each["type"] == ["boolean", "null"] for each in own.values())
    assert set(body_of("post /configs/simulate")["schema"]["properties"]) == set(QUESTION_FIELDS)


def test_a_page_that_is_larger_than_the_largest_is_allowed_as_it_is_served():
    size = next(each for each in described("get /configs")["parameters"] if each.get("name") == "page_size")
    assert "maximum" not in size["schema"]
