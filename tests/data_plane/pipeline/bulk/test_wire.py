"""Requests of one account: only to hosts its credential is bound to, tried again where that helps, objects in slices."""

import pytest

from data_plane.core.types import CallFacts, Credential
from data_plane.pipeline.bulk.wire import SLICE_BYTES, ProviderRefused, Sending, Wire, read_object
from data_plane.pipeline.target import Destination
from data_plane.providers._bulk import Place, Told, request_to
from data_plane.providers.registry import load_providers
from shared.errors import Forbidden, UpstreamInvalid, UpstreamUnreachable
from shared.redact import Secret
from tests.fakes.google_bulk import TOKEN

PROVIDER = load_providers()["vertex-ai"]
FACTS = CallFacts("", False, True, {}, {})
PLACE = Place("my-bucket", "x.jsonl")


class Answered:
    """A response that is there."""

    def __init__(self, status=200, headers=None, body=b""):
        self.status, self.headers, self.body = status, headers or {}, body
        self.closed = False

    async def read(self, _limit):
        return self.body

    def close(self):
        self.closed = True


class Client:
    """Answers with what it is given, an exception among it; `sent` are the requests."""

    def __init__(self, *answers):
        self.answers, self.sent = list(answers), []

    async def send(self, request):
        self.sent.append(request)
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


class Deps:
    def __init__(self, client):
        self.client = client


def wire(*answers, hosts=()):
    client = Client(*answers)
    base_url = "https://mine.example/v1"
    destination = Destination(PROVIDER, None, Credential(Secret(TOKEN), hosts), base_url, {}, FACTS, None)
    return Wire(PROVIDER.bulk, PROVIDER.bulk.store(base_url, FACTS), destination, Deps(client), pause_s=0.0), client


async def test_a_request_carries_the_credential_and_a_limit():
    made, client = wire(Answered(body=b"{}"))
    told = await made.ask(request_to("https://mine.example/x"), is_storage=False)
    (sent,) = client.sent
    assert (told.body, sent.headers["authorization"], sent.timeout_ms > 0) == (b"{}", f"Bearer {TOKEN}", True)


async def test_a_credential_is_sent_to_its_hosts_only():
    made, client = wire(hosts=("aiplatform.googleapis.com",))
    with pytest.raises(Forbidden, match="not bound"):
        await made.ask(made.store.look(PLACE), is_storage=True)
    assert client.sent == []


@pytest.mark.parametrize(("status", "told"), [(404, 404), (503, 503), (301, 400)])
async def test_an_error_is_told_and_its_connection_given_back(status, told):
    answer = Answered(status, body=b'{"error":{"message":"no"}}')
    made, _ = wire(answer)
    with pytest.raises(ProviderRefused) as refused:
        await made.ask(made.store.look(PLACE), is_storage=True)
    assert (refused.value.status, refused.value.fault.message, answer.closed) == (told, "no", True)


async def test_what_fails_for_now_is_asked_again_and_at_last_given_up():
    made, client = wire(Answered(503), UpstreamUnreachable("gone"), Answered(body=b"x"))
    assert (await made.ask_again(lambda: made.store.look(PLACE))).body == b"x"
    assert len(client.sent) == 3
    for answers, error in (
        ([Answered(503)] * 3, ProviderRefused),
        ([UpstreamUnreachable("gone")] * 3, UpstreamUnreachable),
    ):
        made, client = wire(*answers)
        with pytest.raises(error):
            await made.ask_again(lambda made=made: made.store.look(PLACE))
        assert len(client.sent) == 3
    made, client = wire(Answered(403))
    with pytest.raises(ProviderRefused):
        await made.ask_again(lambda: made.store.look(PLACE))
    assert len(client.sent) == 1


async def test_nothing_is_asked_before_a_slice_is_full_and_the_last_one_says_the_total():
    begun = Answered(headers={"location": "https://x/?upload_id=u"})
    goes_on = Answered(308, {"range": f"bytes=0-{SLICE_BYTES - 1}"})
    made, client = wire(begun, goes_on, Answered())
    sending = Sending(made, PLACE, lambda: "batch")
    await sending.write(b"a" * SLICE_BYTES)
    assert client.sent == []
    await sending.write(b"b")
    assert await sending.finish() == SLICE_BYTES + 1
    total = SLICE_BYTES + 1
    assert [request.headers.get("content-range") for request in client.sent] == [
        None, f"bytes 0-{SLICE_BYTES - 1}/*", f"bytes {SLICE_BYTES}-{SLICE_BYTES}/{total}"
    ]  # fmt: skip


async def test_an_upload_is_dropped_quietly_even_when_the_store_refuses():
    made, client = wire(Answered(headers={"location": "https://x/?upload_id=u"}), Answered(403), Answered(500))
    sending = Sending(made, PLACE, lambda: "batch")
    await sending.drop()
    with pytest.raises(ProviderRefused):
        await sending.finish()
    await sending.drop()
    assert [request.method for request in client.sent] == ["POST", "PUT", "DELETE"]


@pytest.mark.parametrize("body", [b"[", b"[]", b"\xff"])
def test_an_answer_that_is_no_object_is_invalid(body):
    with pytest.raises(UpstreamInvalid):
        read_object(Told(200, {}, body), "bedrock")
    assert read_object(Told(200, {}, b""), "bedrock") == {}
