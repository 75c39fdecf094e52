import ssl

import pytest

from data_plane.upstream import pool as pool_module
from data_plane.upstream.client import UpstreamClient
from data_plane.upstream.pool import IDLE_S, MAX_IDLE, RESOLVED_S, Origin, Pool
from data_plane.upstream.ssrf import AddressRefused
from shared.errors import HostRefused, UpstreamUnreachable
from tests.data_plane.upstream.raw_server import OK, RawServer

TRUSTED = frozenset({"127.0.0.1", "localhost", "two.example"})


class Clock:
    """Seconds that pass when a test says so."""

    now = 1000.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
async def pool(clock):
    made = Pool(TRUSTED, connect_s=5.0, silence_s=5.0, clock=clock)
    yield made
    await made.close()


def origin(server, host="127.0.0.1"):
    return Origin("http", host, server.port)


async def connections(pool, place, number):
    return [await pool.connect(place) for _ in range(number)]


async def test_the_youngest_idle_connection_serves_first(pool):
    async with RawServer() as server:
        place = origin(server)
        older, younger = await connections(pool, place, 2)
        pool.give_back(place, older)
        pool.give_back(place, younger)
        assert [pool.idle(place) for _ in range(3)] == [younger, older, None]
        older.close()
        younger.close()


async def test_a_connection_serves_its_own_origin_only(pool):
    async with RawServer() as server:
        (made,) = await connections(pool, origin(server), 1)
        pool.give_back(origin(server), made)
        for other in (
            origin(server, "localhost"),
            Origin("https", "127.0.0.1", server.port),
            Origin("http", "127.0.0.1", 1),
        ):
            assert pool.idle(other) is None


async def test_an_idle_connection_expires(pool, clock):
    async with RawServer() as server:
        place = origin(server)
        (made,) = await connections(pool, place, 1)
        pool.give_back(place, made)
        clock.now += IDLE_S
        assert pool.idle(place) is None
        assert not made.is_usable()


async def test_connections_of_origins_that_nobody_calls_any_more_are_closed_too(pool, clock):
    async with RawServer() as server, RawServer() as other:
        (left,) = await connections(pool, origin(server), 1)
        (used,) = await connections(pool, origin(other), 1)
        pool.give_back(origin(server), left)
        clock.now += IDLE_S + 1
        pool.give_back(origin(other), used)
        assert not left.is_usable()
        assert pool.idle(origin(other)) is used
        used.close()


async def test_no_more_than_so_many_idle_connections_are_kept(pool):
    async with RawServer() as server:
        place = origin(server)
        made = await connections(pool, place, MAX_IDLE + 3)
        for each in made:
            pool.give_back(place, each)
        assert [each.is_usable() for each in made[:4]] == [False, False, False, True]
        assert sum(each.is_usable() for each in made) == MAX_IDLE


async def test_closing_the_pool_closes_what_is_idle(pool):
    async with RawServer() as server:
        (made,) = await connections(pool, origin(server), 1)
        pool.give_back(origin(server), made)
        await pool.close()
        assert not made.is_usable()
        assert pool.idle(origin(server)) is None


# addresses


@pytest.mark.parametrize("host", ["10.0.0.1", "169.254.169.254", "127.0.0.2", "::1", "::ffff:10.0.0.1"])
async def test_a_private_address_is_refused_before_anything_is_sent(pool, host):
    with pytest.raises(AddressRefused):
        await pool.connect(Origin("http", host, 80))


async def test_a_name_that_points_to_a_private_address_is_refused():
    pool = Pool(frozenset(), connect_s=5.0, silence_s=5.0)
    async with RawServer(OK) as server:
        with pytest.raises(AddressRefused):
            await pool.connect(origin(server, "localhost"))
        assert server.connections == 0
    client = UpstreamClient(frozenset())
    with pytest.raises(HostRefused, match="Invalid custom host"):
        await client.send(server.call(host="localhost"))
    await client.close()
    await pool.close()


class Lookup:
    """The system's resolver; every name has the address of `found`."""

    found = "127.0.0.1"

    async def resolve(self, _host, _port, _family):
        return [{"host": self.found}]

    async def close(self):
        """Nothing is open."""


@pytest.mark.parametrize(
    "inside", ["127.0.0.2", "169.254.169.254", "64:ff9b::a9fe:a9fe", "::ffff:127.0.0.1", "fe80::1%lo"]
)
async def test_a_name_that_turns_inside_is_refused_at_its_next_look_up(pool, clock, inside):
    lookup = pool._resolver._inner = Lookup()
    async with RawServer() as server:
        place = origin(server, "rebound.example")
        (await pool.connect(place)).close()
        lookup.found = inside
        clock.now += RESOLVED_S - 1
        (await pool.connect(place)).close()
        assert server.connections == 2
        clock.now += 1
        with pytest.raises(AddressRefused):
            await pool.connect(place)


@pytest.mark.parametrize(
    "metadata", ["64:ff9b::a9fe:a9fe", "2002:a9fe:a9fe::1", "::ffff:169.254.169.254", "fd00:ec2::254"]
)
async def test_a_trusted_name_does_not_lead_to_metadata_behind_a_translator(pool, metadata):
    pool._resolver._inner = Lookup()
    pool._resolver._inner.found = metadata
    with pytest.raises(AddressRefused):
        await pool.connect(Origin("http", "two.example", 80))


@pytest.mark.parametrize("spelling", ["127.2", "0x7f.2", "2130706434", "0177.0.0.2"])
async def test_a_number_that_the_system_reads_as_a_private_address_is_refused(pool, spelling):
    with pytest.raises(AddressRefused):
        await pool.connect(Origin("http", spelling, 80))


class Names:
    """Stands where the guarded resolver stands; counts what it is asked."""

    found = ()
    asked = 0

    def __init__(self, _trusted, _may_reach):
        """Take what the real one takes."""

    async def resolve(self, host, port, _family):
        type(self).asked += 1
        return [{"host": address} for address in self.found]

    async def close(self):
        """Nothing is open."""


@pytest.fixture
async def named(monkeypatch, clock):
    """A pool for which every name has the addresses of `Names.found`."""
    monkeypatch.setattr(Names, "asked", 0)
    monkeypatch.setattr(pool_module, "GuardedResolver", Names)
    made = Pool(TRUSTED, connect_s=5.0, silence_s=5.0, clock=clock)
    yield made
    await made.close()


async def test_the_addresses_of_a_name_are_tried_in_turn(named, monkeypatch):
    async with RawServer(OK) as server:
        monkeypatch.setattr(Names, "found", ("::1", "127.0.0.1"))
        made = await named.connect(origin(server, "two.example"))
        assert made.is_usable()
        assert server.connections == 1
        made.close()


@pytest.mark.parametrize("found", [(), ("::1",)])
async def test_a_name_none_of_whose_addresses_answers_cannot_be_reached(named, monkeypatch, found):
    async with RawServer() as server:
        monkeypatch.setattr(Names, "found", found)
        with pytest.raises(OSError):
            await named.connect(origin(server, "two.example"))


async def test_a_name_is_looked_up_again_after_a_few_seconds_only(named, monkeypatch, clock):
    async with RawServer() as server:
        monkeypatch.setattr(Names, "found", ("127.0.0.1",))
        for wait_s, asked in ((0, 1), (RESOLVED_S - 1, 1), (1, 2)):
            clock.now += wait_s
            (await named.connect(origin(server, "two.example"))).close()
            assert Names.asked == asked


# TLS


async def answered(server):
    client = UpstreamClient(TRUSTED)
    try:
        response = await client.send(server.call(scheme="https", headers={"authorization": "Bearer sk-sentinel"}))
        return await response.read()
    finally:
        await client.close()


async def test_a_certificate_that_nobody_vouches_for_is_refused_before_anything_is_sent(certificate):
    tls, _ = certificate("localhost")
    async with RawServer(OK, tls=tls) as server:
        with pytest.raises(UpstreamUnreachable) as raised:
            await answered(server)
        assert "127.0.0.1" not in raised.value.message
        assert server.requests == []


async def test_a_trusted_certificate_of_the_host_is_accepted(certificate, monkeypatch):
    tls, file = certificate("localhost")
    monkeypatch.setenv("SSL_CERT_FILE", str(file))
    async with RawServer(OK, tls=tls) as server:
        assert await answered(server) == b"ok"


async def test_a_trusted_certificate_of_another_host_is_refused(certificate, monkeypatch):
    tls, file = certificate("api.example.com")
    monkeypatch.setenv("SSL_CERT_FILE", str(file))
    async with RawServer(OK, tls=tls) as server:
        with pytest.raises(UpstreamUnreachable):
            await answered(server)
        assert server.requests == []


async def test_a_server_that_speaks_no_tls_cannot_be_reached_by_https(pool):
    async with RawServer(greeting=b"SSH-2.0-x\r\n") as server:
        with pytest.raises(ssl.SSLError):
            await pool.connect(Origin("https", "127.0.0.1", server.port))
