from types import SimpleNamespace

import pytest

from data_plane.core.types import NO_USAGE, Usage
from data_plane.pipeline.counting import counted


def exchange(operation, body, *, usage=NO_USAGE, status=200, pieces=0, raw=None, attempts=(1,)):
    job = SimpleNamespace(operation=operation, body=body, raw=raw)
    return SimpleNamespace(job=job, usage=usage, status=status, answer_pieces=pieces, attempts=attempts)


CHAT = {"messages": [{"role": "user", "content": "x" * 400}]}


@pytest.mark.parametrize(("operation", "body", "answer", "told"), [
    ("chat", CHAT, {"choices": [{"index": 0, "message": {"role": "assistant", "content": "y" * 40}}]}, (104, 10)),
    ("complete", {"prompt": "x" * 40}, {"choices": [{"index": 0, "text": "y" * 40, "logprobs": {"tokens": ["a"] * 99}}]}, (10, 10)),
    ("messages", {"system": "x" * 40, "messages": []}, {"content": [{"type": "text", "text": "y" * 40}]}, (10, 10)),
    ("responses", {"input": "x" * 40}, {"output": [{"type": "message", "content": [{"type": "output_text", "text": "y" * 40}]}]}, (10, 10)),
    ("embed", {"input": ["x" * 40, "x" * 40]}, {"data": [{"embedding": [1, 2]}]}, (20, 0)),
])  # fmt: skip
def test_what_nobody_counted_is_estimated_and_says_so(operation, body, answer, told):
    assert counted(exchange(operation, body), answer) == Usage(*told, source="estimated")


def test_an_answer_that_was_not_kept_is_counted_by_its_pieces():
    assert counted(exchange("chat", CHAT, pieces=7), None) == Usage(104, 7, source="estimated")


def test_speech_is_counted_in_characters():
    assert counted(exchange("speech", {"input": "x" * 40}), None) == Usage(10, characters=40, source="estimated")


@pytest.mark.parametrize("what", [
    exchange("chat", CHAT, usage=Usage(1, 2)), exchange("chat", CHAT, status=500), exchange("chat", {}, raw=object()),
    exchange("proxy", CHAT, raw=object()), exchange("moderate", {"input": "x"}), exchange("chat", CHAT, attempts=()),
    SimpleNamespace(job=None, usage=NO_USAGE, status=200, attempts=(1,)),
])  # fmt: skip
def test_what_was_counted_or_never_answered_is_left_alone(what):
    assert counted(what, {"choices": []}) is what.usage
