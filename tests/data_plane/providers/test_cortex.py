"""What is peculiar to Cortex: an account's address, limits under their new name, Claude's own API, packed vectors."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_plane.core.types import CallFacts, Usage
from data_plane.pipeline.target import operation_of
from data_plane.providers.cortex import PROVIDER
from shared.addresses import fill_address
from shared.errors import BadRequest, Unsupported, UpstreamInvalid

CHAT, EMBED = PROVIDER.operations["chat"], PROVIDER.operations["embed"]
ASKED = [{"role": "user", "content": "hi"}]


def test_an_account_has_its_address(facts):
    base = fill_address(PROVIDER.base_url, {"snowflake_account": "myorg-acc"})
    assert CHAT.url_for(base, facts()) == "https://myorg-acc.snowflakecomputing.com/api/v2/cortex/v1/chat/completions"
    assert EMBED.url_for(base, facts()) == "https://myorg-acc.snowflakecomputing.com/api/v2/cortex/inference:embed"


@pytest.mark.parametrize(("given", "sent"), [
    ({"max_tokens": 5}, 5), ({"max_completion_tokens": 6}, 6), ({"max_tokens": 5, "max_completion_tokens": 6}, 6),
    ({}, None),
])  # fmt: skip
def test_a_limit_is_named_as_cortex_reads_it(facts, given, sent):
    shaped = CHAT.encode({"messages": ASKED, **given}, facts("llama"))
    assert (shaped.get("max_completion_tokens"), "max_tokens" in shaped) == (sent, False)


@pytest.mark.parametrize(("model", "path"), [("claude-4-sonnet", "/v1/messages"), ("llama3", "/v1/chat/completions")])
def test_claudes_chats_go_through_messages(facts, model, path):
    assert operation_of(PROVIDER, "chat", model).path_for(facts(model)) == path


def test_callers_of_messages_reach_claude_untranslated_and_others_through_their_chat(facts):
    claude = operation_of(PROVIDER, "messages", "claude-4-sonnet")
    assert (claude.passes_through, claude.path_for(facts())) == (True, "/v1/messages")
    assert operation_of(PROVIDER, "messages", "llama3").path_for(facts()) == "/v1/chat/completions"


@pytest.mark.parametrize("name", ["responses", "complete"])
def test_what_a_chat_stands_for_goes_through_the_chat_that_the_model_has(facts, name):
    paths = [operation_of(PROVIDER, name, model).path_for(facts(model)) for model in ("claude-4-sonnet", "llama3")]
    assert paths == ["/v1/messages", "/v1/chat/completions"]


def test_responses_of_claude_are_asked_and_read_in_claudes_words(facts):
    claude = operation_of(PROVIDER, "responses", "claude-4-sonnet")
    assert claude.encode({"input": "hi", "max_output_tokens": 5}, facts("claude-4-sonnet"))["max_tokens"] == 5
    told = {
        "type": "message",
        "id": "c",
        "model": "m",
        "content": [{"type": "text", "text": "ho"}],
        "stop_reason": "end_turn",
    }
    assert claude.decode(told, facts())["output"][0]["content"][0]["text"] == "ho"


def test_texts_are_embedded_and_vectors_unpacked(facts):
    assert EMBED.encode({"input": "a", "user": "u"}, facts("e5")) == {"model": "e5", "text": ["a"]}
    told = {"data": [{"embedding": [[0.5, 1.0]], "index": 0}], "model": "e5", "usage": {"total_tokens": 4}}
    answer = EMBED.decode(told, facts("e5"))
    assert answer["data"] == [{"object": "embedding", "index": 0, "embedding": [0.5, 1.0]}]
    assert (answer["provider"], EMBED.usage(answer)) == ("cortex", Usage(4))


def test_vectors_are_packed_for_who_wants_them_so(facts):
    asked = replace(facts("e5"), asked={"encoding_format": "base64"})
    assert EMBED.decode({"data": [{"embedding": [[1.0]]}]}, asked)["data"][0]["embedding"] == "AACAPw=="


@pytest.mark.parametrize(("value", "error"), [([1], Unsupported), ([{"text": "a"}], BadRequest), (None, BadRequest)])
def test_what_is_no_text_is_not_embedded(facts, value, error):
    with pytest.raises(error):
        EMBED.encode({"input": value}, facts())


JSON = st.recursive(st.none() | st.floats() | st.text(max_size=3), lambda inner: st.lists(inner, max_size=2)
                    | st.dictionaries(st.sampled_from(["data", "embedding", "usage", "message"]), inner), max_leaves=8)  # fmt: skip


@given(st.dictionaries(st.sampled_from(["data", "usage", "model", "message"]), JSON))
def test_whatever_is_answered_is_a_list_or_the_providers_fault(answer):
    try:
        decoded = EMBED.decode(answer, CallFacts("m", False, True, {}, {}))
    except UpstreamInvalid:
        decoded = {"object": "list"}
    assert decoded["object"] == "list"
