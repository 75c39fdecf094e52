import orjson
import pytest
from openai.types.responses import ResponseStreamEvent
from pydantic import TypeAdapter

from data_plane.core.types import CallFacts, Usage
from data_plane.providers._openai_like import chat
from data_plane.providers._responses_adapter import responses_by_chat

OPERATION = responses_by_chat(chat("demo"))
EVENT = TypeAdapter(ResponseStreamEvent)
USAGE = {"id": "c-1", "choices": [], "usage": {"prompt_tokens": 9, "completion_tokens": 2}}


def delta(finish=None, **fields):
    return {
        "id": "c-1",
        "created": 5,
        "model": "m-1",
        "choices": [{"index": 0, "delta": fields, "finish_reason": finish}],
    }


def call(index, arguments, **head):
    return delta(
        tool_calls=[{"index": index, **head, "function": {"arguments": arguments, **({"name": "f"} if head else {})}}]
    )


def streamed(*chunks, done=True):
    """Return (all events, decoder); each event is one that the SDK knows, and they are numbered in order."""
    decoder = OPERATION.decoder(CallFacts("m", True, True, {}, {}))
    out = [piece for chunk in chunks for piece in decoder.feed("", orjson.dumps(chunk))]
    if done:
        decoder.feed("", b"[DONE]")
    events = [orjson.loads(piece) for piece in [*out, *decoder.close()]]
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    return [EVENT.validate_python(event) for event in events], decoder


def kinds(events):
    return [event.type.removeprefix("response.") for event in events]


def test_a_text_is_one_item_between_its_events():
    events, decoder = streamed(
        delta(role="assistant", content=""), delta(content="he"), delta(content="llo"), delta("stop"), USAGE
    )
    assert kinds(events) == [
        "created", "in_progress", "output_item.added", "content_part.added", "output_text.delta", "output_text.delta",
        "output_text.done", "content_part.done", "output_item.done", "completed",
    ]  # fmt: skip
    whole = events[-1].response
    assert (whole.output_text, whole.status, whole.usage.total_tokens, whole.id) == (
        "hello",
        "completed",
        11,
        "resp_c-1",
    )
    assert len({event.item_id for event in events if hasattr(event, "item_id")}) == 1
    assert decoder.usage == Usage(9, 2)


@pytest.mark.parametrize("repeats_id", [False, True])
def test_each_call_is_an_item_of_its_own_with_its_arguments(repeats_id):
    again = {"id": "a"} if repeats_id else {}
    events, _ = streamed(
        delta(content="let me"),
        call(0, "", id="a"),
        call(0, '{"x"', **again),
        call(0, ":1}", **again),
        call(1, "{}", id="b"),
    )
    output = events[-1].response.output
    assert [item.type for item in output] == ["message", "function_call", "function_call"]
    assert [(item.call_id, item.name, item.arguments) for item in output[1:]] == [
        ("a", "f", '{"x":1}'),
        ("b", "f", "{}"),
    ]
    assert [event.output_index for event in events if event.type == "response.output_item.added"] == [0, 1, 2]


def test_an_answer_that_was_cut_ends_incomplete():
    events, _ = streamed(delta(content="he"), delta("length"))
    assert (events[-1].type, events[-1].response.incomplete_details.reason) == (
        "response.incomplete",
        "max_output_tokens",
    )


def test_an_answer_that_broke_off_never_looks_finished():
    events, decoder = streamed(delta(content="he"), done=False)
    assert kinds(events)[-1] == "output_text.delta"
    assert not decoder.finished


def test_an_empty_answer_is_a_whole_response_all_the_same_and_told_once():
    events, decoder = streamed()
    assert kinds(events) == ["created", "in_progress", "completed"]
    assert decoder.close() == []
