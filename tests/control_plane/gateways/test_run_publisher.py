"""The publisher as a process: it publishes at once, alone, and until it is told to stop."""

import os
import signal
import statistics
import subprocess
import sys
import time
from pathlib import Path

import pytest
from django.db import connection

from control_plane.core.outbox import touch
from control_plane.gateways.management.commands.run_publisher import LOCK_ID
from control_plane.gateways.models import BundleVersion
from control_plane.gateways.signing import BUNDLE_KEY, ROOT_KEYS, Signers, add_root, create_root, make_key, signer
from tests.control_plane.factories import make_config, make_tenant
from tests.control_plane.gateways.publisher_kit import make_group, read_bundle, read_head, read_manifest

pytestmark = pytest.mark.django_db(transaction=True)
ROOT = Path(__file__).parents[3]
BOUND_S = 30.0


def wait_for(done, what):
    """Return the first true value of `done()`; fail with `what` when there is none in time."""
    until = time.monotonic() + BOUND_S
    while not (found := done()):
        assert time.monotonic() < until, f"waited in vain: {what}"
        time.sleep(0.01)
    return found


class Publishers:
    """Publisher processes on the test's database, each known to the database by its name."""

    def __init__(self, folder):
        database = connection.settings_dict
        login = f"{database['USER']}:{database['PASSWORD']}@{database['HOST']}:{database['PORT']}"
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("PYTEST")},
            "DATABASE_URL": f"postgresql://{login}/{database['NAME']}",
            "GATEHOUSE_SIGNING_DIR": str(folder),
            "DJANGO_SETTINGS_MODULE": "control_plane.settings",
        }
        self.processes = {}

    def start(self, name):
        self.processes[name] = subprocess.Popen(
            [sys.executable, "manage.py", "run_publisher"],
            cwd=ROOT,
            env={**self.environment, "PGAPPNAME": name},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        return self.processes[name]

    def stop(self):
        for process in self.processes.values():
            process.kill()
            process.communicate(timeout=10)


def query(sql, *arguments):
    with connection.cursor() as cursor:
        cursor.execute(sql, arguments)
        return cursor.fetchall()


def leaders():
    """The names of the publishers that hold the lock."""
    rows = query(
        "SELECT application_name FROM pg_locks JOIN pg_stat_activity USING (pid)"
        " WHERE locktype = 'advisory' AND objid = %s AND granted", LOCK_ID,
    )  # fmt: skip
    return [name for (name,) in rows]


def has_asked_for_the_lead(name):
    return query(
        "SELECT 1 FROM pg_stat_activity WHERE application_name = %s AND query LIKE '%%pg_try_advisory_lock%%'"
        " AND state = 'idle'", name,
    )  # fmt: skip


@pytest.fixture
def publishers(transactional_db, folder):
    made = Publishers(folder)
    yield made
    made.stop()


@pytest.fixture
def tenant(transactional_db):
    return make_tenant()


@pytest.fixture
def group(tenant):
    return make_group(tenant)


def published(group):
    group.refresh_from_db()
    return group.seq


def publish_a_change(tenant, group, name):
    """Change something; return how long it took until a head with the change was there, in seconds."""
    before = published(group)
    started = time.monotonic()
    make_config(tenant, name)
    wait_for(lambda: published(group) > before, f"{name} is published")
    return time.monotonic() - started


def test_a_change_is_published_well_before_the_next_sweep(publishers, folder, tenant, group):
    root = create_root(folder)
    publishers.start("first")
    wait_for(lambda: published(group), "the first bundle")
    wait_for(lambda: not query("SELECT 1 FROM core_outboxevent WHERE done_at IS NULL"), "the outbox is worked off")
    # Each change comes right behind the one before, so that a sweep would be about a second away.
    took = [publish_a_change(tenant, group, f"config {number}") for number in range(5)]
    assert statistics.median(took) < 0.6
    assert max(took) < 3.0
    assert len(read_bundle(root, group)["configs"]) == 5


def test_a_change_whose_notification_was_missed_is_found_by_the_sweep(publishers, folder, tenant, group):
    create_root(folder)
    event = touch(tenant.organisation, ["configs"])
    publishers.start("first")
    wait_for(lambda: published(group), "the first bundle")
    wait_for(
        lambda: query("SELECT 1 FROM core_outboxevent WHERE id = %s AND done_at IS NOT NULL", event.pk), "it is done"
    )
    query_without_notification = "UPDATE core_outboxevent SET done_at = NULL WHERE id = %s RETURNING id"
    assert query(query_without_notification, event.pk)
    wait_for(
        lambda: query("SELECT 1 FROM core_outboxevent WHERE id = %s AND done_at IS NOT NULL", event.pk), "it is found"
    )


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_stops_when_it_is_told_to(publishers, folder, group, number):
    create_root(folder)
    process = publishers.start("first")
    wait_for(lambda: published(group), "the first bundle")
    process.send_signal(number)
    assert process.wait(timeout=10) == 0
    wait_for(lambda: leaders() == [], "the lead is given up")


def test_a_second_publisher_waits_and_takes_over_when_the_first_is_killed(publishers, folder, tenant, group):
    root = create_root(folder)
    first = publishers.start("first")
    wait_for(lambda: published(group), "the first bundle")
    second = publishers.start("second")
    wait_for(lambda: has_asked_for_the_lead("second"), "the second asks for the lead")
    publish_a_change(tenant, group, "while both run")
    assert leaders() == ["first"]
    before = read_head(root, group)
    first.kill()
    assert first.wait(timeout=10) == -signal.SIGKILL
    publish_a_change(tenant, group, "after the first was killed")
    assert leaders() == ["second"]
    assert read_head(root, group).seq > before.seq
    assert len(read_bundle(root, group)["configs"]) == 2
    assert second.poll() is None


def test_a_waiting_publisher_stops_when_it_is_told_to(publishers, folder, group):
    create_root(folder)
    publishers.start("first")
    wait_for(lambda: leaders() == ["first"], "the first leads")
    second = publishers.start("second")
    wait_for(lambda: has_asked_for_the_lead("second"), "the second asks for the lead")
    second.terminate()
    assert second.wait(timeout=10) == 0
    assert leaders() == ["first"]


def test_it_waits_for_signing_keys_instead_of_ending(publishers, folder, group):
    process = publishers.start("first")
    wait_for(process.stdout.readline, "it says that it waits")
    assert (process.poll(), published(group)) == (None, 0)
    create_root(folder)
    wait_for(lambda: published(group), "the first bundle")


def test_it_goes_on_after_the_database_has_cut_its_connections(publishers, folder, tenant, group):
    root = create_root(folder)
    process = publishers.start("first")
    wait_for(lambda: published(group), "the first bundle")
    assert query("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'first'")
    publish_a_change(tenant, group, "after the cut")
    assert len(read_bundle(root, group)["configs"]) == 1
    assert process.poll() is None


def test_a_new_root_is_followed_without_a_restart(publishers, folder, group):
    create_root(folder)
    publishers.start("first")
    wait_for(lambda: published(group), "the first bundle")
    old = [signer(folder, name) for name in ROOT_KEYS]
    (folder / f"{BUNDLE_KEY}.pem").unlink()
    make_key(folder, BUNDLE_KEY)
    add_root(folder, version=2, signers=old, epoch=2)
    wait_for(lambda: BundleVersion.objects.filter(epoch=2).exists(), "a manifest of the new epoch")
    root = Signers.load(folder).root
    wait_for(lambda: published(group) and group.epoch == 2, "the group is in the new epoch")
    assert read_manifest(root, group).epoch == 2
