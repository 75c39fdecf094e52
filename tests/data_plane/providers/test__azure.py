from dataclasses import replace

import pytest

from data_plane.core.identity import AzureIdentity, AzureWay
from data_plane.core.types import CallFacts, UpstreamRequest
from data_plane.providers._azure import SCOPE, api_version, at_deployment, at_root, deployment, forwarded, sign, token
from data_plane.providers._openai_like import chat
from shared.errors import BadRequest
from shared.redact import Secret
from shared.schema.target_settings import TARGET_SETTINGS

LISTED = (
    {"deployment_id": "d-4o", "alias": "gpt-4o", "api_version": "2024-10-21"},
    {"deployment_id": "d-rest", "alias": "rest", "api_version": "2024-06-01", "is_default": True},
)
ENTRA = {
    "azure_auth_mode": "entra", "azure_entra_tenant_id": "tenant-1", "azure_entra_client_id": "app",
    "azure_entra_client_secret": Secret("sentinel"),
}  # fmt: skip


def facts(model="gpt-4o", **settings):
    return CallFacts(model, False, True, {}, settings)


@pytest.mark.parametrize(("settings", "model", "found"), [
    ({}, "gpt-4o", ("gpt-4o", "")), ({"azure_deployment_id": "d", "azure_api_version": "v"}, "gpt-4o", ("d", "v")),
    ({"deployments": LISTED}, "gpt-4o", ("d-4o", "2024-10-21")), ({"deployments": LISTED}, "other", ("d-rest", "2024-06-01")),
    ({"deployments": LISTED[:1], "azure_deployment_id": "d"}, "other", ("d", "")), ({"deployments": "x"}, "m", ("m", "")),
])  # fmt: skip
def test_a_deployment_is_named_by_the_list_the_setting_or_the_model(settings, model, found):
    told = facts(model, **settings)
    assert (deployment(told), api_version(told)) == found


@pytest.mark.parametrize(("version", "path"), [
    ("", "/v1/chat/completions"), ("v1", "/v1/chat/completions"), ("preview", "/v1/chat/completions?api-version=preview"),
    ("2024-10-21", "/deployments/my%2Fdep/chat/completions?api-version=2024-10-21"),
    ("2024&x=1", "/deployments/my%2Fdep/chat/completions?api-version=2024%26x%3D1"),
])  # fmt: skip
def test_a_version_decides_where_a_call_goes(version, path):
    operation = at_deployment(chat("azure-openai"))
    assert operation.path_for(facts(azure_deployment_id="my/dep", azure_api_version=version)) == path


def test_the_deployment_is_the_model_that_azure_sees():
    encoded = at_deployment(chat("azure-openai")).encode(
        {"model": "@a/gpt-4o", "messages": []}, facts(azure_deployment_id="d")
    )
    assert encoded["model"] == "d"


def signed(secret, **settings):
    request = UpstreamRequest("https://x", {}, b"", stream=False, timeout_ms=None)
    sign(request, secret, facts(**settings))
    return request.headers


def test_a_key_a_token_and_a_token_of_ones_own_stand_in_their_headers():
    assert signed(Secret("k")) == {"api-key": "k"}
    assert signed(Secret("t"), **ENTRA) == {"authorization": "Bearer t"}
    assert signed(Secret("k"), azure_ad_token=Secret("t")) == {"authorization": "Bearer t"}
    assert signed(None) == {}


def test_an_entra_application_gets_its_token_at_its_tenant():
    ask = token(None, facts(**ENTRA))
    assert ask.url == "https://login.microsoftonline.com/tenant-1/oauth2/v2.0/token"
    assert b"cognitiveservices.azure.com" in ask.form
    assert token(Secret("k"), facts()) is None


@pytest.mark.parametrize(("change", "path"), [
    ({"azure_auth_mode": "other"}, "azure_auth_mode"), ({"azure_entra_client_id": ""}, "azure_auth_mode"),
    ({"azure_entra_client_secret": "plain"}, "azure_auth_mode"), ({"azure_entra_tenant_id": "a/../b"}, "azure_entra_tenant_id"),
    ({"azure_auth_mode": "entraFederated", "azure_entra_tenant_id": ""}, "azure_entra_tenant_id"),
    ({"azure_auth_mode": "entraFederated", "azure_entra_client_id": "a?b"}, "azure_entra_client_id"),
    ({"azure_auth_mode": "managed", "azure_entra_scope": "a b"}, "azure_entra_scope"),
])  # fmt: skip
def test_an_account_that_is_not_complete_is_told_so(change, path):
    with pytest.raises(BadRequest) as raised:
        token(None, facts(**{**ENTRA, **change}))
    assert raised.value.path == path


@pytest.mark.parametrize(
    ("version", "path"), [("", "/v1/x"), ("v1", "/v1/x"), ("2025-03-01-preview", "/x?api-version=2025-03-01-preview")]
)
def test_what_has_no_deployment_is_found_at_the_root(version, path):
    operation = at_root(replace(chat("azure-openai"), path="/x"))
    told = facts(azure_api_version=version, azure_deployment_id="d")
    assert operation.path_for(told) == path
    assert operation.encode({"model": "m", "messages": []}, told)["model"] == "d"


@pytest.mark.parametrize(("settings", "wanted"), [
    ({"azure_auth_mode": "managed"}, AzureIdentity(AzureWay.MANAGED, SCOPE)),
    ({"azure_auth_mode": "managed", "azure_managed_client_id": "c", "azure_entra_scope": "https://x/.default"},
     AzureIdentity(AzureWay.MANAGED, "https://x/.default", "c")),
    ({"azure_auth_mode": "workload", "azure_workload_client_id": "w", "azure_managed_client_id": "c"}, AzureIdentity(AzureWay.WORKLOAD, SCOPE, "w")),
    ({**ENTRA, "azure_auth_mode": "entraFederated"}, AzureIdentity(AzureWay.FEDERATED, SCOPE, "", "tenant-1", "app")),
])  # fmt: skip
def test_an_identity_is_asked_for_by_what_the_account_says_and_is_the_gateways_own(settings, wanted):
    ask = token(Secret("k"), facts(**settings))
    assert (ask.wanted, ask.is_own, ask.path) == (wanted, True, "azure_auth_mode")
    assert set(ask.bound) <= set(TARGET_SETTINGS)
    assert ask.key != token(None, facts(**{**settings, "azure_entra_scope": "other"})).key


@pytest.mark.parametrize("mode", ["managed", "workload", "entraFederated"])
def test_the_token_of_an_identity_stands_where_entras_does(mode):
    assert signed(Secret("t"), azure_auth_mode=mode) == {"authorization": "Bearer t"}


@pytest.mark.parametrize(("host", "is_microsofts"), [
    ("r.openai.azure.com", True), ("r.cognitiveservices.azure.com", True), ("r.services.ai.azure.com", True), ("m.eastus.models.ai.azure.com", True),
    ("r.openai.azure.us", True), ("openai.azure.com", False), ("x.eastus.cloudapp.azure.com", False), ("x.azurewebsites.net", False),
    ("r.openai.azure.com.evil.example", False), ("r-openai.azure.com", False), ("x.eastus.inference.ml.azure.com", False),
])  # fmt: skip
def test_an_identity_is_shown_to_services_that_microsoft_runs(host, is_microsofts):
    ask = token(None, facts(azure_auth_mode="managed"))
    assert bool(ask.hosts.fullmatch(host)) is is_microsofts


@pytest.mark.parametrize(("version", "path", "placed"), [
    (None, "/files", "/v1/files"), ("v1", "/files?limit=2", "/v1/files?limit=2"), ("preview", "/batches/b", "/v1/batches/b?api-version=preview"),
    ("2024-10-21", "/files", "/files?api-version=2024-10-21"), ("2024-10-21", "/files?limit=2", "/files?limit=2&api-version=2024-10-21"),
    ("2024-10-21", "/files?api-version=2025-01-01", "/files?api-version=2025-01-01"), ("2024-10-21", "/v1/files", "/v1/files"),
    ("2024-10-21", "/deployments/d/x", "/deployments/d/x"),
])  # fmt: skip
def test_a_path_that_is_sent_on_lies_where_the_version_has_it(version, path, placed):
    settings = {} if version is None else {"azure_api_version": version}
    base = "https://res.openai.azure.com/openai"
    assert forwarded(base, base + path, CallFacts("", False, True, {}, settings)) == base + placed
