"""A role that a real gateway takes on, through both planes, at a strict AWS."""

import asyncio
import threading
from contextlib import contextmanager

import pytest

from tests.fakes.clouds import BASE, EXTERNAL_ID, OWN, ROLE, FakeCloud, lent
from tests.fakes.provider import FakeProvider
from tests.system.system_kit import fetch, wait_for

NOVA = "amazon.nova-pro-v1:0"
ASSUMED = {
    "aws_auth_type": "assumedRole",
    "aws_region": "eu-west-1",
    "aws_role_arn": ROLE,
    "aws_external_id": EXTERNAL_ID,
}


@contextmanager
def fake_cloud():
    """Yield (cloud, fake) of a fake that runs in a thread of this process."""
    cloud, ready, loop = FakeCloud(), threading.Event(), asyncio.new_event_loop()
    over = asyncio.Event()
    fakes = []

    async def serve():
        async with FakeProvider(cloud) as fake:
            fakes.append(fake)
            ready.set()
            await over.wait()

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),))
    thread.start()
    assert ready.wait(10)
    try:
        yield cloud, fakes[0]
    finally:
        loop.call_soon_threadsafe(over.set)
        thread.join(10)
        loop.close()


def restarted(system, environment):
    gateway = system.programs["gateway"]
    gateway.stop()
    gateway.environment = environment
    gateway.start()
    system.wait_ready()


@pytest.fixture
def stage(system):
    """A gateway whose environment says who it is at a fake AWS, and afterwards as before."""
    before = system.programs["gateway"].environment
    with fake_cloud() as (cloud, fake):
        own = {"AWS_ACCESS_KEY_ID": OWN[0], "AWS_SECRET_ACCESS_KEY": OWN[1], "AWS_ENDPOINT_URL_STS": fake.origin}
        restarted(system, before | own)
        try:
            yield system, cloud, fake
        finally:
            restarted(system, before)


def account(system, name, fake, settings):
    made = {
        "name": name, "provider": "bedrock", "workspace_id": system.demo["workspace_id"], "custom_host": fake.origin,
        "configurations": settings,
    }  # fmt: skip
    slug = system.admin("POST", "/virtual-keys", made)["slug"]
    system.wait_current()
    return f"@{slug}/{NOVA}"


def test_saved_accounts_take_on_roles_and_callers_do_not(stage):
    system, cloud, fake = stage
    of_gateway = account(system, "by the gateway's identity", fake, ASSUMED)
    own_key = {"aws_access_key_id": BASE[0], "aws_secret_access_key": BASE[1]}
    of_account = account(system, "by a key of its own", fake, {**ASSUMED, **own_key})
    for model, key_id in ((of_gateway, OWN[0]), (of_account, BASE[0])):
        fake.seen.clear()
        answers = [system.chat(model=model) for _ in range(4)]
        assert [(status, body["choices"][0]["message"]["content"]) for status, body, _ in answers] == [(200, "hi")] * 4
        asked = [seen for seen in fake.seen if seen.path == "/"]
        # Each of the two workers asks once.
        assert 1 <= len(asked) <= 2
        assert all(f"Credential={key_id}/" in seen.headers["authorization"] for seen in asked)
    assert cloud.refusals == []
    said = {f"x-portkey-{name.replace('_', '-')}": value for name, value in ASSUMED.items()}
    status, body, _ = system.chat(
        model=NOVA, **{**said, "x-portkey-provider": "bedrock", "x-portkey-custom-host": fake.origin}
    )
    assert (status, body["error"]["code"], body["error"]["param"]) == (403, "identity_forbidden", "aws_auth_type")


def test_what_a_role_is_made_of_is_in_no_log_record_or_file(stage):
    system, cloud, fake = stage
    model = account(system, "leaves no trace", fake, ASSUMED)
    status, _, headers = system.chat(model=model)
    assert (status, cloud.refusals) == (200, [])
    record = next(value for name, value in headers.items() if name.lower().endswith("trace-id"))
    wait_for(lambda: system.query("SELECT 1 FROM logs_record WHERE trace_id = %s", record), "the record is stored")
    stored = str(system.query("SELECT * FROM logs_record"))
    written = [path.read_bytes() for path in (*system.folder.glob("*.log"), *system.state.rglob("*")) if path.is_file()]
    secrets = [OWN[1], *(part for number in range(1, cloud.lent + 1) for part in lent(f"LENT{number}")[1:])]
    assert [
        secret for secret in secrets if secret in stored or any(secret.encode() in content for content in written)
    ] == []
    assert fetch(f"{system.gateway}/readyz")[0] == 200
