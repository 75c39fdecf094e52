import pytest

from data_plane.core.types import CallFacts
from data_plane.providers.registry import load_providers

CHAT = load_providers()["mistral-ai"].operations["chat"]
FACTS = CallFacts("mistral-small-latest", True, True, {}, {})


def encoded(**fields):
    body = {"model": "@m/mistral-small-latest", "messages": [], **fields}
    before = dict(body)
    found = CHAT.encode(body, FACTS)
    assert body == before
    return {name: value for name, value in found.items() if name not in {"model", "messages"}}


@pytest.mark.parametrize(("sent", "own"), [
    ({"seed": 7}, {"random_seed": 7}), ({"max_completion_tokens": 5}, {"max_tokens": 5}), ({"tool_choice": "required"}, {"tool_choice": "any"}),
    ({"tool_choice": "auto"}, {"tool_choice": "auto"}), ({"user": "u", "logprobs": True, "store": False}, {}),
    ({"stream": True, "stream_options": {"include_usage": True}}, {"stream": True}), ({"safe_prompt": True}, {"safe_prompt": True}),
])  # fmt: skip
def test_parameters_are_said_in_mistrals_words(sent, own):
    assert encoded(**sent) == own
