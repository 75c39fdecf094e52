"""A question is read as the gateway reads requests, and refused with every fault and its path."""

import json

import pytest

from control_plane.configs.question import Question, read_question
from control_plane.core.errors import Invalid
from shared.routing.simulate import Asked, MadeUpAnswer

CONFIG = {"virtual_key": "a"}


def ask(**given):
    return read_question({"config": CONFIG, **given})


def faults(**given):
    with pytest.raises(Invalid) as raised:
        ask(**given)
    assert raised.value.status_code == 400
    return [fault.removeprefix("path: ").partition(", message: ")[0] for fault in raised.value.errors]


def test_a_config_alone_is_a_question():
    question = ask()
    assert isinstance(question, Question)
    assert (question.config, question.seed, question.runs, question.now_s) == (CONFIG, 0, 0, None)
    facts = question.request.facts
    assert (facts.path, facts.params, facts.metadata, facts.headers) == ("/v1/chat/completions", {}, {}, {})


def test_headers_say_what_they_say_to_the_gateway():
    headers = {
        "X-Portkey-Provider": " @a ", "x-portkey-virtual-key": "b", "X-PORTKEY-RETRY-COUNT": "3", "X-Team": "Q",
        "x-portkey-config": "pc-other",
    }  # fmt: skip
    request = ask(request={"method": "POST", "path": "/v1/embeddings", "headers": headers}).request
    assert (request.asked, request.retries) == (Asked("@a", "b"), 3)
    assert (request.facts.path, request.facts.headers["x-team"]) == ("/v1/embeddings", "Q")


def test_metadata_of_header_and_request_are_merged_as_the_gateway_does():
    given = {
        "headers": {"x-portkey-metadata": json.dumps({"plan": "free", "n": 5}), "baggage": "team=search,plan=none"},
        "metadata": {"plan": "paid", "flag": True, "gone": None, "long": "x" * 500},
        "body": {"user": "u-1"},
    }
    expected = {"plan": "paid", "n": "5", "team": "search", "flag": "true", "long": "x" * 128, "_user": "u-1"}
    assert ask(request=given).request.facts.metadata == expected


@pytest.mark.parametrize(
    ("given", "answers"),
    [
        (429, (MadeUpAnswer(429),)),
        ([429, 200], (MadeUpAnswer(429), MadeUpAnswer(200))),
        ({"status": 429, "retry_after_s": 3}, (MadeUpAnswer(429, 3.0),)),
        ([{"status": 429, "retry_after_s": 0.5}, 503], (MadeUpAnswer(429, 0.5), MadeUpAnswer(503))),
    ],
)
def test_answers_are_read_in_every_form(given, answers):
    assert ask(answers={"0": given}).answers == {"0": answers}


@pytest.mark.parametrize(("given", "draws"), [(0, (0.0,)), (0.37, (0.37,)), ([0.1, 0.9], (0.1, 0.9))])
def test_draws_are_one_number_or_several(given, draws):
    assert ask(draw=given).draws == draws


def test_a_moment_without_a_zone_is_in_utc():
    assert ask(now="1971-01-01T00:00:00").now_s == ask(now="1971-01-01T01:00:00+01:00").now_s == 365 * 86_400


@pytest.mark.parametrize(
    ("given", "path"),
    [
        ({"config": None}, "config"), ({"config": 7}, "config"), ({"config": ""}, "config"),
        ({"config": []}, "config"), ({"config": {"x": "y" * 300_000}}, "config"), ({"bogus": 1}, "bogus"),
        ({"request": 1}, "request"), ({"request": {"url": "/"}}, "request,url"),
        ({"request": {"method": "BREW"}}, "request,method"), ({"request": {"path": "v1"}}, "request,path"),
        ({"request": {"path": "/v1?a=b"}}, "request,path"), ({"request": {"headers": []}}, "request,headers"),
        ({"request": {"headers": {"a": 1}}}, "request,headers,a"),
        ({"request": {"headers": {"x-portkey-retry-count": "6"}}}, "request,headers,x-portkey-retry-count"),
        ({"request": {"headers": {"x-portkey-retry-count": "²"}}}, "request,headers,x-portkey-retry-count"),
        ({"request": {"headers": {"x-portkey-fallbacks": "[]"}}}, "request,headers,x-portkey-fallbacks"),
        ({"request": {"headers": {"X-Portkey-Cache": "simple"}}}, "request,headers,X-Portkey-Cache"),
        ({"request": {"metadata": "a"}}, "request,metadata"), ({"request": {"body": [1]}}, "request,body"),
        ({"request": {"body": {"model": 1}}}, "request,body,model"),
        ({"request": {"body": {"x": "y" * 300_000}}}, "request"),
        ({"answers": [1]}, "answers"), ({"answers": {"a": "429"}}, "answers,a"), ({"answers": {"a": []}}, "answers,a"),
        ({"answers": {"a": [200] * 101}}, "answers,a"), ({"answers": {"a": True}}, "answers,a"),
        ({"answers": {"a": 99}}, "answers,a"), ({"answers": {"a": 600}}, "answers,a"),
        ({"answers": {"a": [200, 4.5]}}, "answers,a,1"), ({"answers": {"a": {"retry_after_s": 1}}}, "answers,a,status"),
        ({"answers": {"a": {"status": 429, "retry_after_s": -1}}}, "answers,a,retry_after_s"),
        ({"answers": {"a": {"status": 429, "x": 1}}}, "answers,a,x"),
        ({"draw": 1}, "draw"), ({"draw": -0.1}, "draw"), ({"draw": "0.5"}, "draw"), ({"draw": []}, "draw"),
        ({"draw": True}, "draw"), ({"draw": [0.5, 1.0]}, "draw,1"), ({"draw": [0.5] * 1001}, "draw"),
        ({"seed": 1.5}, "seed"), ({"seed": 2**63}, "seed"), ({"open_breakers": "a"}, "open_breakers"),
        ({"open_breakers": [1]}, "open_breakers,0"), ({"now": "soon"}, "now"), ({"now": 5}, "now"),
        ({"now": "9999-12-31T23:59:59Z"}, "now"), ({"now": "2030-02-30T00:00:00Z"}, "now"),
        ({"runs": 1}, "runs"), ({"runs": 10_001}, "runs"), ({"runs": "5"}, "runs"), ({"workspace_id": 5}, "workspace_id"),
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_refused_with_its_path(given, path):
    assert faults(**given) == [path]


def test_all_faults_are_told_at_once():
    assert set(faults(draw=2, runs=0, bogus=1, answers={"a": 0})) == {"draw", "runs", "bogus", "answers,a"}
