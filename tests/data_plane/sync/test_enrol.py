import base64

import msgspec
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from data_plane.sync.enrol import EnrolmentDelayed, EnrolmentFailed, enrol, load_identity, x25519_public
from shared import wire
from shared.redact import Secret

TOKEN = Secret("ghe-sentinel-token")


class Edge:
    """Answers enrolment as told, and remembers what was asked."""

    def __init__(self, status=200, root="ab"):
        self.asked, self.status, self.root = [], status, root

    async def handle(self, request):
        self.asked.append(msgspec.json.decode(await request.read(), type=wire.EnrolRequest))
        return web.Response(status=self.status, body=msgspec.json.encode(wire.EnrolAnswer("o", "g", self.root)))

    async def __aenter__(self):
        app = web.Application()
        app.router.add_post("/dp/v1/enroll", self.handle)
        self.server = TestServer(app)
        await self.server.start_server()
        return self

    async def __aexit__(self, *_):
        await self.server.close()

    @property
    def url(self):
        return str(self.server.make_url("/"))


async def test_an_identity_is_stored_and_found_again(tmp_path):
    async with Edge() as edge:
        made = await enrol(tmp_path, edge.url, TOKEN, "AB", "group")
    again = load_identity(tmp_path)
    assert (again.identity, again.instance, again.sealing_keys) == (made.identity, made.instance, made.sealing_keys)
    asked = edge.asked[0]
    assert base64.b64decode(asked.sealing_pub) == x25519_public(next(iter(made.sealing_keys.values())))


async def test_a_lost_answer_is_asked_for_again_with_the_same_keys(tmp_path):
    async with Edge(status=502) as edge:
        with pytest.raises(EnrolmentDelayed):
            await enrol(tmp_path, edge.url, TOKEN, "ab", "")
        edge.status = 200
        await enrol(tmp_path, edge.url, TOKEN, "ab", "")
    assert edge.asked[0] == edge.asked[1]


async def test_a_refused_token_is_a_clear_end(tmp_path):
    async with Edge(status=401) as edge:
        with pytest.raises(EnrolmentFailed, match="refused the enrolment token"):
            await enrol(tmp_path, edge.url, TOKEN, "ab", "")
    assert load_identity(tmp_path) is None


async def test_another_root_than_the_pinned_one_is_refused(tmp_path):
    async with Edge(root="cd") as edge:
        with pytest.raises(EnrolmentFailed, match="root of trust"):
            await enrol(tmp_path, edge.url, TOKEN, "ab", "")
    assert load_identity(tmp_path) is None


async def test_a_control_plane_that_is_away_is_worth_another_try(tmp_path):
    with pytest.raises(EnrolmentDelayed):
        await enrol(tmp_path, "http://127.0.0.1:1", TOKEN, "ab", "")


async def test_private_keys_can_be_read_by_their_owner_only_and_the_token_is_not_kept(tmp_path):
    async with Edge() as edge:
        made = await enrol(tmp_path, edge.url, TOKEN, "ab", "")
    assert "sentinel" not in repr(made)
    for path in tmp_path.rglob("*"):
        if path.is_file():
            assert path.stat().st_mode & 0o077 == 0
            assert b"sentinel" not in path.read_bytes()
