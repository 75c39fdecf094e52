"""What is peculiar to Ollama: it lives where its user says, and needs no key."""

from dataclasses import replace

import pytest

from data_plane.core.types import CallFacts
from data_plane.providers.registry import load_providers

PROVIDER = load_providers()["ollama"]
FACTS = CallFacts("m", False, True, {}, {})


def test_it_lives_where_its_user_says_and_needs_no_key():
    assert PROVIDER.base_url == ""
    assert not PROVIDER.credential[0].required


@pytest.mark.parametrize("end", ["", "/v1"])
def test_its_address_may_be_given_with_the_version_or_without(end):
    urls = {operation.url_for(f"http://h.example:11434{end}", FACTS) for operation in PROVIDER.operations.values()}
    assert urls == {
        f"http://h.example:11434/v1{path}" for path in ("/chat/completions", "/completions", "/embeddings", "/models")
    }


def test_vectors_are_packed_where_it_does_not():
    embed = PROVIDER.operations["embed"]
    asked = replace(FACTS, asked={"encoding_format": "base64"})
    answer = {"object": "list", "data": [{"object": "embedding", "index": 0, "embedding": [0.5]}]}
    assert embed.decode(answer, asked)["data"][0]["embedding"] == "AAAAPw=="
