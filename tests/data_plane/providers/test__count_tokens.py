from data_plane.core.types import CallFacts
from data_plane.providers._count_tokens import count_by_estimate
from data_plane.providers.registry import load_providers
from tests.data_plane import kit
from tests.data_plane.gateway_kit import at, gateway
from tests.fakes.provider import FakeProvider


def test_the_estimate_says_that_it_is_one():
    operation = count_by_estimate(load_providers()["groq"].operations["chat"])
    facts = CallFacts("m", False, True, {}, {})
    told = operation.local({"messages": [{"role": "user", "content": "x" * 400}]}, facts)
    assert told == {"input_tokens": 104, "estimated": True}


async def test_nobody_is_asked(tmp_path):
    body = {"model": "@main/gpt-4o", "messages": [{"role": "user", "content": "hello there"}]}
    async with FakeProvider() as fake, gateway(tmp_path, **at(fake)) as gw:
        headers = {"x-api-key": kit.KEY_TEXT}
        async with gw.session.post(gw.url + "/v1/messages/count_tokens", json=body, headers=headers) as response:
            assert (response.status, await response.json()) == (200, {"input_tokens": 7, "estimated": True})
        assert fake.seen == []
        record = gw.recorded.last
        assert (record.endpoint, record.usage_source, record.cost_nano) == ("count_tokens", "none", None)
