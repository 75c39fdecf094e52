"""What is peculiar to Vertex AI: where it lives, how it is authorised, and its two ways to embed."""

import pytest

from data_plane.core.types import Usage
from data_plane.providers._google_auth import google_token
from data_plane.providers.vertex_ai import PROVIDER
from shared.addresses import fill_address, places
from shared.errors import Unsupported
from shared.redact import Secret

EMBED = PROVIDER.operations["embed"]


@pytest.mark.parametrize(("region", "host"), [
    ("us-central1", "us-central1-aiplatform.googleapis.com"), ("global", "aiplatform.googleapis.com"),
])  # fmt: skip
def test_a_region_has_a_host_of_its_own_and_global_has_none(region, host):
    filled = fill_address(PROVIDER.base_url, {"vertex_region": region, "vertex_project_id": "p-1"})
    assert filled == f"https://{host}/v1/projects/p-1/locations/{region}"


def test_the_form_asks_for_what_the_address_needs_and_for_one_of_two_credentials():
    fields = {field.name: (field.secret, field.required) for field in PROVIDER.credential}
    assert all(fields[name] == (False, True) for name in places(PROVIDER.base_url))
    assert fields["vertex_service_account_json"] == fields["key"] == (True, False)


def test_accounts_are_changed_for_tokens_which_are_sent_as_such():
    headers = {}
    PROVIDER.authorise(Secret("ya29.x"), headers)
    assert headers == {"authorization": "Bearer ya29.x"}
    assert PROVIDER.token is google_token
    assert PROVIDER.hosts == (
        "https://oauth2.googleapis.com", "https://storage.googleapis.com", "https://discoveryengine.googleapis.com",
    )  # fmt: skip


def test_callers_may_ask_for_claudes_betas_and_for_what_is_paid_in_advance():
    assert set(PROVIDER.caller_headers) == {
        "anthropic-beta", "x-vertex-ai-llm-request-type", "x-vertex-ai-llm-shared-request-type",
    }  # fmt: skip


@pytest.mark.parametrize(("model", "method", "member"), [
    ("gemini-embedding-001", "predict", "instances"), ("text-embedding-005", "predict", "instances"),
    ("google.gemini-embedding-2", "embedContent", "content"),
])  # fmt: skip
def test_later_models_embed_a_content_and_the_first_ones_instances(facts, model, method, member):
    name = model.removeprefix("google.")
    assert EMBED.path_for(facts(model)) == f"/publishers/google/models/{name}:{method}"
    assert member in EMBED.encode({"input": "a"}, facts(model))
    answers = {"predict": {"predictions": [{"embeddings": {"values": [1], "statistics": {"token_count": 2}}}]},
               "embedContent": {"embedding": {"values": [1]}, "usageMetadata": {"promptTokenCount": 2}}}  # fmt: skip
    decoded = EMBED.decode(answers[method], facts(model))
    assert (decoded["model"], decoded["provider"], EMBED.usage(decoded)) == (name, "vertex-ai", Usage(2))


def test_only_googles_models_embed(facts):
    with pytest.raises(Unsupported, match="embed is not supported by vertex-ai"):
        EMBED.path_for(facts("claude-x"))


def test_prices_are_googles():
    assert (PROVIDER.id, PROVIDER.price_source) == ("vertex-ai", "google")
