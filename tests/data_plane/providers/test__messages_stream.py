import orjson
import pytest

from data_plane.core.types import CallFacts, Usage
from data_plane.providers._messages_adapter import messages_by_chat
from data_plane.providers._messages_stream import usage_json
from data_plane.providers._openai_like import chat

OPERATION = messages_by_chat(chat("openai"))


def delta(finish=None, **fields):
    return {"id": "c-1", "model": "gpt-4o", "choices": [{"index": 0, "delta": fields, "finish_reason": finish}]}


def call(index, arguments, **head):
    return delta(
        tool_calls=[
            {"index": index, **head, "function": {"arguments": arguments, **({"name": head["id"]} if head else {})}}
        ]
    )


USAGE = {
    "id": "c-1",
    "choices": [],
    "usage": {"prompt_tokens": 9, "completion_tokens": 2, "prompt_tokens_details": {"cached_tokens": 4}},
}


def streamed(*chunks, done=True):
    """Return (events while the stream ran, events at its end, decoder)."""
    decoder = OPERATION.decoder(CallFacts("gpt-4o", True, True, {}, {}))
    events = [orjson.loads(out) for chunk in chunks for out in decoder.feed("", orjson.dumps(chunk))]
    if done:
        decoder.feed("", b"[DONE]")
    return events, [orjson.loads(out) for out in decoder.close()], decoder


def test_a_text_is_one_block_between_start_and_stop():
    events, last, decoder = streamed(
        delta(role="assistant", content=""), delta(content="he"), delta(content="llo"), delta("stop"), USAGE
    )
    assert [event["type"] for event in events] == [
        "message_start",
        "content_block_start",
        "content_block_delta",
        "content_block_delta",
    ]
    assert [event["type"] for event in last] == ["content_block_stop", "message_delta", "message_stop"]
    assert (events[0]["message"]["model"], events[0]["message"]["content"]) == ("gpt-4o", [])
    assert "".join(event["delta"]["text"] for event in events[2:]) == "hello"
    assert last[1]["delta"]["stop_reason"] == "end_turn"
    assert last[1]["usage"] == {
        "input_tokens": 5, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 4, "output_tokens": 2,
    }  # fmt: skip
    assert decoder.usage == Usage(9, 2, cache_read=4)


@pytest.mark.parametrize("repeats_id", [False, True])
def test_each_call_is_a_block_of_its_own_with_its_arguments(repeats_id):
    again = {"id": "a"} if repeats_id else {}
    events, last, _ = streamed(
        delta(content="let me"), call(0, "", id="a"), call(0, '{"x"', **again), call(0, ":1}", **again), call(1, "{}", id="b"), delta("tool_calls"),
    )  # fmt: skip
    starts = [
        (event["index"], event["content_block"].get("id")) for event in events if event["type"] == "content_block_start"
    ]
    assert starts == [(0, None), (1, "a"), (2, "b")]
    pieces = [
        (event["index"], event["delta"].get("partial_json"))
        for event in events
        if event["type"] == "content_block_delta"
    ]
    assert pieces[1:] == [(1, '{"x"'), (1, ":1}"), (2, "{}")]
    assert last[1]["delta"]["stop_reason"] == "tool_use"


def test_an_answer_that_broke_off_never_looks_finished():
    events, last, decoder = streamed(delta(content="he"), done=False)
    assert events
    assert (last, decoder.finished) == ([], False)


def test_an_empty_answer_is_a_whole_message_all_the_same():
    events, last, _ = streamed()
    assert events == []
    assert [event["type"] for event in last] == ["message_start", "message_delta", "message_stop"]


def test_the_end_is_told_once():
    _, _, decoder = streamed(delta(content="x"))
    assert decoder.close() == []


def test_tokens_that_are_cached_are_counted_beside_the_others():
    assert usage_json(Usage(10, 1, cache_read=3, cache_write=2))["input_tokens"] == 5
    assert usage_json(None)["output_tokens"] == 0
