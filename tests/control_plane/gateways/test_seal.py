"""A credential is sealed when it is written, to every group that serves its organisation and to nobody else."""

from queue import Queue
from threading import Thread

import msgspec
import pytest
from django.db import connection, connections, transaction

from control_plane.gateways.models import SealedSecret
from control_plane.gateways.seal import groups_serving, seal_for_group
from control_plane.vault.models import VaultSecret
from control_plane.vault.services import replace_secret, store_secret
from shared.crypto.sealing import SealBroken, SealedTo, unseal
from shared.redact import Secret
from shared.schema.rows import SealedPlaintext
from tests.control_plane.factories import make_tenant
from tests.control_plane.gateways.publisher_kit import GroupKeys, make_group

pytestmark = pytest.mark.django_db
HOSTS = ("api.openai.com",)


@pytest.fixture
def tenant():
    return make_tenant()


def binding(row, **changes):
    fields = {
        "org": str(row.secret.organisation_id),
        "group": str(row.group_id),
        "secret_id": str(row.secret_id),
        "version": row.version,
    }
    return SealedTo(**{**fields, **changes})


def opened(keys, row, **changes):
    plain = msgspec.json.decode(unseal(keys.sealing, bytes(row.sealed), binding(row, **changes)), type=SealedPlaintext)
    return plain.key, plain.hosts


def test_a_stored_secret_opens_with_the_groups_private_key(tenant):
    keys = GroupKeys()
    group = make_group(tenant, keys)
    secret = store_secret(tenant.organisation, Secret("sk-first"), HOSTS)
    row = SealedSecret.objects.get(group=group)
    assert (row.secret_id, row.version, row.kid) == (secret.pk, 1, group.sealing_kid)
    assert opened(keys, row) == ("sk-first", HOSTS)


@pytest.mark.parametrize("moved", [{"org": "other"}, {"group": "other"}, {"secret_id": "other"}, {"version": 2}])
def test_a_sealed_secret_that_was_moved_elsewhere_does_not_open(tenant, moved):
    keys = GroupKeys()
    make_group(tenant, keys)
    store_secret(tenant.organisation, Secret("sk-first"), HOSTS)
    with pytest.raises(SealBroken):
        opened(keys, SealedSecret.objects.get(), **moved)


def test_another_groups_key_does_not_open_it(tenant):
    make_group(tenant)
    store_secret(tenant.organisation, Secret("sk-first"), HOSTS)
    with pytest.raises(SealBroken):
        opened(GroupKeys(), SealedSecret.objects.get())


def test_a_secret_is_sealed_to_its_organisations_active_groups_and_to_those_that_serve_all(tenant):
    other = make_tenant()
    serving = {make_group(tenant).pk, make_group(tenant).pk, make_group(other, serves_all=True).pk}
    make_group(other)
    make_group(tenant, status="revoked")
    store_secret(tenant.organisation, Secret("sk-first"), HOSTS)
    assert set(SealedSecret.objects.values_list("group_id", flat=True)) == serving
    assert {group.pk for group in groups_serving(tenant.organisation.pk)} == serving


def test_a_replaced_secret_is_sealed_as_version_two_and_the_old_sealing_is_gone(tenant):
    keys = GroupKeys()
    make_group(tenant, keys)
    secret = store_secret(tenant.organisation, Secret("sk-first"), HOSTS)
    replace_secret(secret, Secret("sk-second"), HOSTS)
    row = SealedSecret.objects.get()
    assert row.version == 2
    assert opened(keys, row) == ("sk-second", HOSTS)


def test_a_transaction_that_is_rolled_back_seals_nothing(tenant):
    make_group(tenant)
    with pytest.raises(RuntimeError, match="undo"), transaction.atomic():
        store_secret(tenant.organisation, Secret("sk-first"), HOSTS)
        assert SealedSecret.objects.count() == 1
        raise RuntimeError("undo")
    assert SealedSecret.objects.count() == VaultSecret.objects.count() == 0


def test_the_seal_hides_the_key(tenant):
    make_group(tenant)
    store_secret(tenant.organisation, Secret("sk-canary-0123456789"), HOSTS)
    assert b"canary" not in bytes(SealedSecret.objects.get().sealed)


def test_a_group_that_comes_later_is_given_what_it_may_use_once(tenant):
    other = make_tenant()
    mine = store_secret(tenant.organisation, Secret("sk-mine"), HOSTS)
    store_secret(other.organisation, Secret("sk-theirs"), HOSTS)
    keys = GroupKeys()
    group = make_group(tenant, keys)
    assert seal_for_group(group) == 1
    row = SealedSecret.objects.get()
    assert row.secret_id == mine.pk
    assert opened(keys, row) == ("sk-mine", HOSTS)
    assert seal_for_group(group) == 0
    assert bytes(SealedSecret.objects.get().sealed) == bytes(row.sealed)


def test_a_group_that_serves_all_is_given_every_organisations_secrets(tenant):
    secrets = {store_secret(make_tenant().organisation, Secret(f"sk-{n}"), HOSTS).pk for n in range(3)}
    group = make_group(tenant, serves_all=True)
    assert seal_for_group(group) == 3
    assert set(SealedSecret.objects.values_list("secret_id", flat=True)) == secrets


def test_a_group_with_a_new_sealing_key_is_given_everything_again(tenant):
    store_secret(tenant.organisation, Secret("sk-first"), HOSTS)
    group = make_group(tenant)
    seal_for_group(group)
    keys = GroupKeys()
    group.sealing_pub, group.sealing_kid = keys.sealing_pub, "another-key"
    group.save()
    assert seal_for_group(group) == 1
    assert opened(keys, SealedSecret.objects.get(kid="another-key")) == ("sk-first", HOSTS)


def test_a_secret_that_cannot_be_decrypted_does_not_keep_a_group_from_the_others(tenant):
    broken = store_secret(tenant.organisation, Secret("sk-broken"), HOSTS)
    VaultSecret.objects.filter(pk=broken.pk).update(ciphertext="gAAAAA-nothing")
    good = store_secret(tenant.organisation, Secret("sk-good"), HOSTS)
    assert seal_for_group(make_group(tenant)) == 1
    assert SealedSecret.objects.get().secret_id == good.pk


def backend_pid():
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        return cursor.fetchone()[0]


def waits_for_lock(pid):
    with connection.cursor() as cursor:
        cursor.execute("SELECT wait_event_type FROM pg_stat_activity WHERE pid = %s", [pid])
        return cursor.fetchone()[0] == "Lock"


@pytest.mark.django_db(transaction=True)
def test_a_group_made_while_a_secret_is_being_written_waits_and_is_given_it():
    tenant, outcome, pids = make_tenant(), Queue(), Queue()

    def make_and_seal():
        with transaction.atomic():
            pids.put(backend_pid())
            group = make_group(tenant)
            outcome.put(seal_for_group(group))
        connections.close_all()

    with transaction.atomic():
        store_secret(tenant.organisation, Secret("sk-first"), HOSTS)
        thread = Thread(target=make_and_seal)
        thread.start()
        pid = pids.get(timeout=10)
        while not waits_for_lock(pid):
            assert outcome.empty(), "the new group did not wait for the secret that was being written"
            assert thread.is_alive()
    thread.join(timeout=10)
    assert outcome.get(timeout=10) == 1
