"""What is peculiar to Cohere: where it lives, and that tools go round and round."""

import copy

from data_plane.core.types import CallFacts, Usage
from data_plane.providers.cohere import PROVIDER

CHAT = PROVIDER.operations["chat"]
FACTS = CallFacts("command-a-03-2025", stream=False, strict=True, headers={}, settings={})


def test_version_two_is_spoken():
    paths = {name: PROVIDER.operations[name].url_for(PROVIDER.base_url, FACTS) for name in ("chat", "embed", "rerank")}
    assert paths == {
        "chat": "https://api.cohere.com/v2/chat",
        "embed": "https://api.cohere.com/v2/embed",
        "rerank": "https://api.cohere.com/v2/rerank",
    }


def test_ranks_are_billed_by_searches():
    ranks = PROVIDER.operations["rerank"]
    answer = {
        "id": "r",
        "results": [{"index": 0, "relevance_score": 0.5}],
        "meta": {"billed_units": {"search_units": 1}},
    }
    assert ranks.usage(ranks.decode(answer, FACTS)) == Usage(searches=1)


def test_an_error_is_read():
    fault = CHAT.fault(400, {"id": "e", "message": "invalid request: model not found"})
    assert (fault.message, fault.type, fault.code) == ("invalid request: model not found", None, None)


def test_an_answers_calls_come_back_to_cohere_as_it_made_them():
    calls = [
        {"id": f"f_{n}", "type": "function", "function": {"name": "f", "arguments": f'{{"x":{n}}}'}} for n in range(2)
    ]
    answer = {
        "id": "c",
        "finish_reason": "TOOL_CALL",
        "message": {"role": "assistant", "tool_plan": "I will ask.", "tool_calls": calls},
    }
    message = CHAT.decode(copy.deepcopy(answer), FACTS)["choices"][0]["message"]
    results = [{"role": "tool", "tool_call_id": call["id"], "content": "5"} for call in calls]
    encoded = CHAT.encode({"messages": [{"role": "user", "content": "hi"}, message, *results]}, FACTS)
    assert encoded["messages"][1:] == [answer["message"], *results]
