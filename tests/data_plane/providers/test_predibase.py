"""What is peculiar to Predibase: tenant and deployment in the path, adapters behind a colon."""

from dataclasses import replace

import pytest

from data_plane.providers.predibase import PROVIDER
from shared.errors import BadRequest

CHAT = PROVIDER.operations["chat"]
BODY = {"model": "x", "user": "tenant-1", "messages": [], "temperature": 0}


def call(facts, model, **asked):
    return replace(facts(model), asked={**BODY, **asked})


@pytest.mark.parametrize(("model", "deployment", "adapter"), [
    ("llama-3-8b", "llama-3-8b", ""), ("llama-3-8b:mine/1", "llama-3-8b", "mine/1"), ("a/../b:c:d", "a%2F..%2Fb", "c:d"),
])  # fmt: skip
def test_the_model_names_a_deployment_and_an_adapter(facts, model, deployment, adapter):
    asked = call(facts, model)
    url = CHAT.url_for(PROVIDER.base_url, asked)
    assert url == f"https://serving.app.predibase.com/tenant-1/deployments/v2/llms/{deployment}/v1/chat/completions"
    assert CHAT.encode(BODY, asked) == {"messages": [], "temperature": 0, "model": adapter}


@pytest.mark.parametrize(("model", "user", "path"), [
    ("m", None, "user"), ("m", "", "user"), ("m", "..", "user"), ("m", 5, "user"), (":a", "t", "model"), (".", "t", "model"),
])  # fmt: skip
def test_without_tenant_or_deployment_nothing_is_sent(facts, model, user, path):
    with pytest.raises(BadRequest) as refusal:
        CHAT.path_for(call(facts, model, user=user))
    assert refusal.value.path == path
