import json

import pytest

from data_plane.core.job import Principal
from data_plane.pipeline import said
from shared.errors import BadRequest, InlineBlocked, Unsupported
from shared.schema.rows import OrgRow, WorkspaceRow
from tests.data_plane import kit

OPEN = Principal(kit.api_key(), OrgRow(kit.ORG, "Demo", block_inline=False), WorkspaceRow(kit.WS, kit.ORG, "ws", "W"))
SAVED_ONLY = Principal(kit.api_key(), OrgRow(kit.ORG, "Demo", block_inline=True), OPEN.ws)


@pytest.mark.parametrize(("text", "value"), [
    ("true", True), ("True", True), (" TRUE ", True), ("1", True), ("false", False), ("False", False), ("0", False), ("", None), (None, None), ("on", None),
])  # fmt: skip
def test_a_flag_is_read_in_any_case(text, value):
    assert said.flag(text) is value


@pytest.mark.parametrize(("text", "value"), [("0", 0), ("5", 5), (" 3 ", 3), ("", None)])
def test_retries_are_a_small_number(text, value):
    assert said.retries({"x-portkey-retry-count": text}) == value


@pytest.mark.parametrize("text", ["6", "-1", "x", "1.5", "٣", "99999999999", "00009", "0000100"])
def test_more_than_five_retries_or_no_number_are_refused(text):
    with pytest.raises(BadRequest) as raised:
        said.retries({"x-portkey-retry-count": text})
    assert raised.value.path == "x-portkey-retry-count"


@pytest.mark.parametrize("text", ["x", "0", "-5", "1.5", "86400001", "٣", "0000864000001", "0" * 12 + "9" * 5000])
def test_a_timeout_that_is_no_number_of_milliseconds_is_refused(text):
    with pytest.raises(BadRequest):
        said.timeout_ms({"x-portkey-request-timeout": text})


@pytest.mark.parametrize("mode", ["simple", "semantic", "Simple"])
def test_a_cache_that_is_not_built_yet_says_so(mode):
    with pytest.raises(Unsupported, match="not available in this version"):
        said.check_cache({"x-portkey-cache": mode})


def test_a_cache_mode_that_is_none_is_refused():
    with pytest.raises(BadRequest, match="simple or semantic"):
        said.check_cache({"x-portkey-cache": "big"})


def test_no_cache_header_asks_for_no_cache():
    assert said.check_cache({}) is None


@pytest.mark.parametrize("text", ["X-A, x-b", '["X-A","x-b"]', " x-a ,x-b,, "])
def test_lists_come_with_commas_or_as_json(text):
    assert said.names(text, "h") == ("x-a", "x-b")


@pytest.mark.parametrize("text", ["[1]", "[", '{"a":1}'.replace("{", "[{")])
def test_a_list_that_is_none_is_refused(text):
    with pytest.raises(BadRequest, match="comma-separated list"):
        said.names(text, "h")


def test_the_header_that_forwards_cannot_be_forwarded():
    with pytest.raises(BadRequest) as raised:
        said.names("x-a,X-Portkey-Forward-Headers", "h")
    assert raised.value.message == "forward_headers must not contain the 'x-portkey-forward-headers' header"


def test_settings_of_providers_come_from_their_headers_and_secret_ones_cannot_be_printed():
    headers = {"x-portkey-azure-resource-name": "r", "x-portkey-aws-secret-access-key": "sentinel-secret"}
    chosen = said.choice(headers, OPEN)
    assert chosen.settings["azure_resource_name"] == "r"
    assert chosen.settings["aws_secret_access_key"].reveal() == "sentinel-secret"
    assert "sentinel" not in repr(chosen)


@pytest.mark.parametrize(("headers", "code"), [
    ({"x-portkey-provider": "openai"}, "inline_provider_blocked"),
    ({"x-portkey-provider": "added-by-the-organisation"}, "inline_provider_blocked"),
    ({"x-portkey-custom-host": "https://x.example/v1"}, "inline_custom_host_blocked"),
    ({"x-portkey-huggingface-base-url": "https://x.example"}, "inline_provider_url_blocked"),
    ({"x-portkey-azure-foundry-url": "https://x.example"}, "inline_provider_url_blocked"),
    ({"x-portkey-forward-headers": "x-a"}, "inline_forward_headers_blocked"),
    ({"x-portkey-provider": "openai", "x-portkey-custom-host": "https://x.example"}, "inline_provider_blocked"),
])  # fmt: skip
def test_saved_only_mode_names_the_first_thing_sent_inline(headers, code):
    with pytest.raises(InlineBlocked) as raised:
        said.choice(headers, SAVED_ONLY)
    body = raised.value.body()
    assert (body["status"], body["error"]["code"]) == ("failure", code)
    assert body["error"]["field"] in headers
    assert body["message"] == body["error"]["message"]
    said.choice(headers, OPEN)


@pytest.mark.parametrize("headers", [
    {"x-portkey-provider": "@main"}, {"x-portkey-virtual-key": "main"}, {"x-portkey-azure-resource-name": "r"},
    {"authorization": "Bearer k", "x-portkey-api-key": "gh-1"},
])  # fmt: skip
def test_saved_only_mode_still_takes_what_is_saved(headers):
    assert said.choice(headers, SAVED_ONLY) is not None


def test_the_sdks_placeholder_is_no_key():
    headers = {"x-portkey-api-key": "gh-1", "authorization": "Bearer OPENAI_API_KEY"}
    assert said.choice(headers, OPEN).key is None
    assert json.dumps(said.choice(headers, OPEN).settings) == "{}"


@pytest.mark.parametrize("name", ["authorization", "x-api-key"])
def test_a_key_to_this_gateway_is_never_taken_for_the_providers(name):
    value = f"Bearer {kit.KEY_TEXT}" if name == "authorization" else kit.KEY_TEXT
    assert said.choice({"x-portkey-api-key": kit.KEY_TEXT, name: value}, OPEN).key is None


@pytest.mark.parametrize(("value", "is_ours"), [
    (kit.KEY_TEXT, True), (f"Bearer {kit.KEY_TEXT}", True), (f"bearer  {kit.KEY_TEXT} ", True), ("Bearer sk-other", False), ("", False),
    (kit.KEY_TEXT[:-1] + "!", False),
])  # fmt: skip
def test_a_key_to_this_gateway_is_recognised_in_a_header(value, is_ours):
    assert said.holds_gateway_key(value) is is_ours
