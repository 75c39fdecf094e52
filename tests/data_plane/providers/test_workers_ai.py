"""What is peculiar to Workers AI: where an account is, what is run beside OpenAI's words, and how errors are listed."""

import pytest

from data_plane.core.types import CallFacts, Usage
from data_plane.providers.registry import load_providers
from shared.addresses import AddressIncomplete, fill_address

PROVIDER = load_providers()["workers-ai"]
FACTS = CallFacts("@cf/x/m", False, True, {}, {})
ACCOUNT = "https://api.cloudflare.com/client/v4/accounts/acc1/ai"


def test_an_account_stands_in_the_address():
    assert fill_address(PROVIDER.base_url, {"workers_ai_account_id": "acc1"}) == f"{ACCOUNT}/v1"


def test_without_an_account_there_is_no_address():
    with pytest.raises(AddressIncomplete):
        fill_address(PROVIDER.base_url, {})


@pytest.mark.parametrize(("name", "path"), [
    ("chat", "/v1/chat/completions"), ("embed", "/v1/embeddings"), ("image", "/run/@cf/x/m"), ("transcribe", "/run/@cf/x/m"),
    ("translate", "/run/@cf/x/m"), ("rerank", "/run/@cf/x/m"), ("models", "/models/search"),
])  # fmt: skip
def test_what_openai_has_no_words_for_is_run_beside_the_rest(name, path):
    assert PROVIDER.operations[name].url_for(f"{ACCOUNT}/v1", FACTS) == ACCOUNT + path


@pytest.mark.parametrize("name", ["chat", "embed", "image", "transcribe", "translate", "rerank"])
def test_an_error_is_a_list_of_reasons(name):
    fault = PROVIDER.operations[name].fault(
        400, {"success": False, "errors": [{"code": 5007, "message": "No such model"}]}
    )
    assert (fault.message, fault.code) == ("No such model", 5007)


def test_what_was_used_is_counted():
    heard = PROVIDER.operations["transcribe"]
    answer = {"result": {"text": "ho", "transcription_info": {"duration": 1.5}}}
    assert heard.usage(heard.decode(answer, FACTS)) == Usage(audio_ms=1500)
    drawn = PROVIDER.operations["image"]
    assert drawn.usage(drawn.decode_binary(b"x", "image/png", FACTS)) == Usage(images=1)
    vectors = PROVIDER.operations["embed"]
    assert vectors.usage(
        vectors.decode({"data": [{"embedding": [1.0]}], "usage": {"total_tokens": 3}}, FACTS)
    ) == Usage(3)
