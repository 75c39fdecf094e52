"""Real SDKs, unchanged, against real processes."""

import json

import anthropic
import openai
import portkey_ai
import pytest

from tests.system.system_kit import fetch, wait_for

CHAT = [{"role": "user", "content": "Hello there"}]


@pytest.fixture
def client(system):
    made = openai.OpenAI(base_url=f"{system.gateway}/v1", api_key=system.key, max_retries=0)
    yield made
    made.close()


@pytest.fixture
def portkey():
    """Makes Portkey clients, and closes their connections at the end."""
    made = []

    def make(**arguments):
        made.append(portkey_ai.Portkey(**arguments))
        return made[-1]

    yield make
    for each in made:
        each._client.close()
        each.openai_client.close()


def test_the_openai_sdk_works_with_a_base_url_and_a_key_alone(client):
    answer = client.chat.completions.create(model="@demo/gpt-4o", messages=CHAT)
    assert "Hello there" in answer.choices[0].message.content
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens


def test_the_openai_sdk_streams(client):
    with client.chat.completions.create(
        model="@demo/gpt-4o", messages=CHAT, stream=True, stream_options={"include_usage": True}
    ) as stream:
        chunks = list(stream)
    assert "Hello there" in "".join(choice.delta.content or "" for chunk in chunks for choice in chunk.choices)
    assert chunks[-1].usage.total_tokens > 0
    assert [choice.finish_reason for chunk in chunks for choice in chunk.choices][-1] == "stop"


def test_the_openai_sdk_calls_tools(client):
    tool = {"type": "function", "function": {"name": "get_weather", "parameters": {"type": "object", "properties": {}}}}
    answer = client.chat.completions.create(
        model="@demo/gpt-4o", messages=[{"role": "user", "content": "please get_weather"}], tools=[tool]
    )
    assert answer.choices[0].message.tool_calls[0].function.name == "get_weather"


def test_the_openai_sdk_lists_models(client):
    assert "@demo/gpt-4o" in [model.id for model in client.models.list().data]


def test_the_openai_sdk_raises_its_own_errors(system, client):
    with pytest.raises(openai.BadRequestError, match="no provider @nowhere"):
        client.chat.completions.create(model="@nowhere/x", messages=CHAT)
    with (
        openai.OpenAI(base_url=f"{system.gateway}/v1", api_key="gh-wrong", max_retries=0) as stranger,
        pytest.raises(openai.AuthenticationError),
    ):
        stranger.chat.completions.create(model="@demo/gpt-4o", messages=CHAT)


def test_the_portkey_sdk_administers_and_calls_what_it_made(system, portkey):
    made_by = portkey(api_key=system.admin_key, base_url=f"{system.control}/v1")
    workspace = made_by.admin.workspaces.create(name="Team A")
    virtual_key = made_by.virtual_keys.create(
        name="Team provider", provider="openai", key="demo-key", workspace_id=workspace.id, custom_host=system.provider
    )
    config = made_by.configs.create(
        name="Team config",
        config={"strategy": {"mode": "fallback"}, "targets": [{"virtual_key": virtual_key.slug}]},
        workspace_id=workspace.id,
    )
    key = made_by.api_keys.create(
        type="workspace", sub_type="service", name="team", workspace_id=workspace.id, scopes=["completions.write"]
    )
    caller = portkey(api_key=key.key, base_url=f"{system.gateway}/v1", config=config.slug)
    answer = caller.chat.completions.create(model="gpt-4o", messages=CHAT)
    assert "Hello there" in answer.choices[0].message.content
    assert answer.get_headers()["last-used-option-index"] == "config.targets[0]"
    streamed = caller.chat.completions.create(model="gpt-4o", messages=CHAT, stream=True)
    assert "Hello there" in "".join(chunk.choices[0].delta.content or "" for chunk in streamed if chunk.choices)
    by_header = portkey(api_key=key.key, base_url=f"{system.gateway}/v1", virtual_key=virtual_key.slug)
    assert by_header.chat.completions.create(model="gpt-4o", messages=CHAT).choices
    made_by.configs.update(slug=config.slug, config={"provider": f"@{virtual_key.slug}"})
    assert made_by.configs.retrieve(slug=config.slug).config in (
        {"provider": f"@{virtual_key.slug}"},
        json.dumps({"provider": f"@{virtual_key.slug}"}),
    )
    made_by.virtual_keys.delete(slug=virtual_key.slug)


def test_one_base_url_does_administration_and_inference(system, portkey):
    gateway = f"{system.gateway}/v1"
    admin = portkey(api_key=system.admin_key, base_url=gateway)
    made = admin.virtual_keys.create(
        name="By one URL",
        provider="openai",
        key="demo-key",
        workspace_id=system.demo["workspace_id"],
        custom_host=system.provider,
    )
    listed = fetch(f"{gateway}/virtual-keys", key=system.admin_key)[1]
    assert made.slug in [row["slug"] for row in listed["data"]]
    answer = portkey(api_key=system.key, base_url=gateway, virtual_key=made.slug).chat.completions.create(
        model="gpt-4o", messages=CHAT
    )
    assert "Hello there" in answer.choices[0].message.content


def test_a_new_object_works_in_the_very_next_request(system):
    for number in range(5):
        key = system.new_key(f"fresh-{number}")
        status, body, _ = system.chat(key=key["key"])
        assert status == 200, body


def test_an_inline_config_works_in_an_organisation_that_allows_it(system):
    config = json.dumps({"retry": {"attempts": 1}, "provider": "@demo"})
    status, body, headers = system.chat(model="gpt-4o", **{"x-portkey-config": config, "x-portkey-api-key": system.key})
    assert status == 200, body
    assert headers["x-portkey-retry-attempt-count"] == "0"


def test_a_request_is_seen_in_the_log_with_its_cost(system):
    status, body, headers = system.chat(text="find me later")
    assert status == 200
    page = f"{system.control}/v1/logs/{headers['x-portkey-request-id']}"
    wait_for(lambda: fetch(page, key=system.key)[0] == 200, "the record arrives")
    _, record, _ = fetch(page, key=system.key)
    assert record["response"]["status"] == 200
    assert record["metrics"]["ai_model"]
    assert record["metrics"]["total_units"] == body["usage"]["total_tokens"]
    assert record["metrics"]["cost"] > 0
    wait_for(lambda: (fetch(page, key=system.key)[1]["request"].get("body") or {}).get("messages"), "the body arrives")
    listed = fetch(f"{system.control}/v1/logs?page_size=100", key=system.key)[1]["data"]
    assert record["metrics"]["id"] in [item["id"] for item in listed]


def test_a_model_without_a_price_is_unpriced_and_not_free(system):
    _, _, headers = system.chat(model="@demo/demo-chat")
    page = f"{system.control}/v1/logs/{headers['x-portkey-request-id']}"
    wait_for(lambda: fetch(page, key=system.key)[0] == 200, "the record arrives")
    metrics = fetch(page, key=system.key)[1]["metrics"]
    assert metrics["cost"] is None
    assert metrics["price_status"] == "unpriced"


def test_another_organisation_sees_and_reaches_nothing(system):
    made = json.loads(system.manage("create_organisation", "Elsewhere", "--json").splitlines()[-1])
    _, _, headers = system.chat()
    page = f"{system.control}/v1/logs/{headers['x-portkey-request-id']}"
    wait_for(lambda: fetch(page, key=system.admin_key)[0] == 200, "the record arrives")
    assert fetch(page, key=made["admin_api_key"])[0] == 404
    body = {"name": "k", "workspace_id": made["workspace_id"], "scopes": ["completions.write"]}
    status, key, _ = fetch(f"{system.control}/v1/api-keys/workspace/service", key=made["admin_api_key"], body=body)
    assert status == 200, key
    status, answer, _ = system.chat(key=key["key"])
    assert (status, answer["error"]["code"]) == (400, "invalid_provider")


@pytest.fixture
def claude(system):
    made = anthropic.Anthropic(base_url=system.gateway, api_key=system.key, max_retries=0)
    yield made
    made.close()


def test_the_anthropic_sdk_talks_to_a_provider_that_knows_only_chats(system, claude):
    answer = claude.messages.create(model="@demo/gpt-4o", max_tokens=100, system="be brief", messages=CHAT)
    assert "Hello there" in answer.content[0].text
    assert (answer.stop_reason, answer.usage.output_tokens > 0) == ("end_turn", True)


def test_the_anthropic_sdk_streams_and_the_record_has_the_whole_message(system, claude):
    with claude.messages.stream(model="@demo/gpt-4o", max_tokens=100, messages=CHAT) as stream:
        text = "".join(stream.text_stream)
        final = stream.get_final_message()
        record_id = stream.response.headers["x-portkey-request-id"]
    assert "Hello there" in text
    assert (final.stop_reason, final.usage.input_tokens > 0) == ("end_turn", True)

    def stored():
        # A record arrives before its bodies, which travel apart.
        status, body, _ = fetch(f"{system.control}/v1/logs/{record_id}", key=system.admin_key)
        return body if status == 200 and body["response"]["body"] is not None else None

    record = wait_for(stored, "the record and its bodies are stored")
    assert text in json.dumps(record)


def test_the_anthropic_sdk_calls_tools_on_any_provider(claude):
    tool = {"name": "get_weather", "description": "d", "input_schema": {"type": "object", "properties": {}}}
    asked = [{"role": "user", "content": "please get_weather"}]
    answer = claude.messages.create(model="@demo/gpt-4o", max_tokens=100, messages=asked, tools=[tool])
    (call,) = [block for block in answer.content if block.type == "tool_use"]
    assert (call.name, answer.stop_reason) == ("get_weather", "tool_use")
    again = [
        *asked, {"role": "assistant", "content": answer.content},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": call.id, "content": "sunny"}]},
    ]  # fmt: skip
    assert claude.messages.create(model="@demo/gpt-4o", max_tokens=100, messages=again, tools=[tool]).content


def test_the_anthropic_sdk_raises_its_own_errors(claude):
    with pytest.raises(anthropic.BadRequestError, match="no provider @nowhere"):
        claude.messages.create(model="@nowhere/x", max_tokens=5, messages=CHAT)


def test_the_openai_sdk_has_responses_from_a_provider_that_knows_only_chats(system, client):
    made = {
        "name": "Only chats",
        "provider": "deepseek",
        "key": "demo-key",
        "workspace_id": system.demo["workspace_id"],
    }
    slug = system.admin("POST", "/virtual-keys", made | {"custom_host": system.provider})["slug"]
    answer = client.responses.create(model=f"@{slug}/gpt-4o", input="Hello there", instructions="be brief")
    assert "Hello there" in answer.output_text
    with client.responses.stream(model=f"@{slug}/gpt-4o", input="Hello there") as stream:
        texts = [event.delta for event in stream if event.type == "response.output_text.delta"]
        final = stream.get_final_response()
    assert "".join(texts) == final.output_text
    assert (final.status, final.usage.output_tokens > 0) == ("completed", True)
