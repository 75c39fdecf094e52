"""What the publisher signs is complete, current, and addressed to those who may read it; nothing goes back."""

import time
from datetime import timedelta
from threading import Barrier, Thread

import orjson
import psycopg
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from django.db import IntegrityError, OperationalError, connection, connections
from django.utils import timezone
from jwt.algorithms import RSAAlgorithm

from control_plane.catalog.custom_providers import create_custom_provider
from control_plane.catalog.services import update_integration
from control_plane.configs.services import delete_config
from control_plane.core.models import OutboxEvent
from control_plane.core.outbox import touch
from control_plane.gateways import publish
from control_plane.gateways.models import Blob, BundleVersion, GatewayGroup
from control_plane.gateways.publish import HEAD_CHANNEL, KEEP_VERSIONS, Publisher, organisations_of
from control_plane.gateways.signing import BUNDLE_KEY, ROOT_KEYS, Signers, add_root, create_root, make_key, signer
from control_plane.keys.models import ApiKey
from control_plane.keys.services import delete_api_key
from control_plane.orgs.token_keys import set_token_keys
from shared.bundle.model import HEAD_LIFETIME_S, MAX_REVOKED, BundleRejected
from shared.bundle.verify import Marks, check_head, marks_after_head
from shared.ids import uuid7
from shared.schema.rows import SECTIONS, ProviderPricesRow, VirtualKeyRow
from tests.control_plane.factories import Api, make_config, make_tenant, make_virtual_key
from tests.control_plane.factories import make_key as make_api_key
from tests.control_plane.gateways.publisher_kit import (
    content_of,
    identity_of,
    make_group,
    make_publisher,
    raw_buckets,
    read_bundle,
    read_head,
    read_manifest,
)

# The publisher sets the isolation level of its own transactions, which no surrounding transaction allows.
pytestmark = pytest.mark.django_db(transaction=True)
EVERYTHING = set(SECTIONS)


@pytest.fixture
def tenant():
    return make_tenant()


@pytest.fixture
def publisher(folder):
    return make_publisher(folder)


@pytest.fixture
def root(folder):
    return create_root(folder)


def digests(manifest):
    """Section → digests of its buckets."""
    found = {name: set() for name in manifest.sections}
    for name, ref, _ in raw_buckets(manifest):
        found[name].add(ref.d)
    return found


def work_off(publisher):
    """Publish what the making of rows has touched."""
    publisher.publish_new_groups()
    publisher.publish_pending()


def test_a_bundle_verifies_under_the_root_and_holds_every_section(tenant, publisher, root):
    group = make_group(tenant)
    key = make_api_key(tenant)
    virtual_key = make_virtual_key(tenant)
    config = make_config(tenant)
    publisher.render(group, EVERYTHING)
    bundle = read_bundle(root, group)
    assert set(bundle) == EVERYTHING
    assert set(bundle["orgs"]) == {str(tenant.organisation.pk)}
    assert set(bundle["workspaces"]) == {str(tenant.workspace.pk)}
    assert str(key.row.pk) in bundle["api_keys"]
    assert bundle["virtual_keys"][f"{tenant.workspace.pk}/{virtual_key.slug}"]["uid"] == str(virtual_key.pk)
    assert set(bundle["configs"]) == {f"{tenant.workspace.pk}/{config.slug}"}
    assert [row["kid"] for row in bundle["secrets"].values()] == [group.sealing_kid]
    assert bundle["virtual_keys"][f"{tenant.workspace.pk}/{virtual_key.slug}"]["secret"] in bundle["secrets"]
    assert {"openai", "anthropic"} <= set(bundle["prices"])
    assert set(bundle["gateway"]) == {"policy"}


def test_prices_are_published_at_the_start_and_once_a_day_if_they_changed(tenant, folder, root, monkeypatch):
    now = [2_000_000_000.0]
    publisher = make_publisher(folder, wall=lambda: now[0])
    group = make_group(tenant)
    work_off(publisher)
    assert publisher.publish_prices() == 0
    added = ProviderPricesRow("brand-new", "v2", ())
    monkeypatch.setattr("control_plane.gateways.export.price_rows", lambda: iter([added]))
    assert publisher.publish_prices() == 0
    now[0] += 24 * 3600
    assert publisher.publish_prices() == 1
    group.refresh_from_db()
    assert set(read_bundle(root, group)["prices"]) == {"brand-new"}
    assert make_publisher(folder, wall=lambda: now[0]).publish_prices() == 0


def test_a_bundle_is_addressed_to_its_group_only(tenant, publisher, root):
    group, other = make_group(tenant), make_group(tenant)
    publisher.render(group, EVERYTHING)
    group.refresh_from_db()
    with pytest.raises(BundleRejected, match="wrong_audience"):
        check_head(root, bytes(group.head), identity_of(other), Marks())


def test_a_head_says_what_is_current_and_for_how_long(tenant, folder, root):
    publisher = make_publisher(folder, wall=lambda: 2_000_000_000.5)
    group = make_group(tenant)
    manifest = publisher.render(group, EVERYTHING)
    head = read_head(root, group)
    assert (head.version, head.root_version) == (manifest.version, 1)
    assert (head.issued_at, head.expires) == (2_000_000_000.5, 2_000_000_000.5 + HEAD_LIFETIME_S)
    assert (group.seq, group.head_no) == (2_000_000_000_500, 2_000_000_000_500)


def test_rendering_again_without_a_change_publishes_nothing(tenant, publisher):
    group = make_group(tenant)
    publisher.render(group, EVERYTHING)
    before = GatewayGroup.objects.values().get(pk=group.pk)
    blobs = Blob.objects.count()
    assert publisher.render(group, EVERYTHING) is None
    assert GatewayGroup.objects.values().get(pk=group.pk) == before
    assert (BundleVersion.objects.count(), Blob.objects.count()) == (1, blobs)


def test_one_changed_key_makes_one_new_bucket_and_keeps_every_other_blob(tenant, publisher, root):
    group = make_group(tenant)
    one = make_api_key(tenant).row
    copies = [ApiKey.objects.get(pk=one.pk) for _ in range(400)]
    for copy in copies:
        copy.pk = uuid7()
    ApiKey.objects.bulk_create(copies)
    first = publisher.render(group, EVERYTHING)
    before, blobs = digests(first), set(Blob.objects.values_list("digest", flat=True))
    assert len(before["api_keys"]) == first.sections["api_keys"].buckets >= 4
    ApiKey.objects.filter(pk=one.pk).update(name="renamed")
    second = publisher.render(group, {"api_keys"})
    after = digests(second)
    assert len(after["api_keys"] - before["api_keys"]) == 1
    assert set(Blob.objects.values_list("digest", flat=True)) - blobs == {
        *(after["api_keys"] - before["api_keys"]),
        second.sections["api_keys"].index.d,
    }
    assert {name for name in SECTIONS if second.sections[name] != first.sections[name]} == {"api_keys"}
    assert read_bundle(root, group)["api_keys"][str(one.pk)]["name"] == "renamed"


def test_only_sections_that_are_asked_for_are_rendered_anew(tenant, publisher, root):
    group = make_group(tenant)
    publisher.render(group, EVERYTHING)
    make_config(tenant)
    make_api_key(tenant, name="later")
    publisher.render(group, {"configs"})
    bundle = read_bundle(root, group)
    assert len(bundle["configs"]) == 1
    assert "later" not in {row["name"] for row in bundle["api_keys"].values()}


def test_a_first_bundle_is_complete_whatever_was_touched(tenant, publisher, root):
    group = make_group(tenant)
    publisher.render(group, {"configs"})
    assert set(read_bundle(root, group)) == EVERYTHING


def test_a_section_that_became_empty_is_published_empty(tenant, publisher, root):
    group = make_group(tenant)
    config = make_config(tenant)
    publisher.render(group, EVERYTHING)
    delete_config(tenant.actor, config)
    publisher.render(group, {"configs"})
    assert read_bundle(root, group)["configs"] == {}


def test_versions_and_heads_go_up_although_the_clock_goes_back(tenant, folder, root):
    times = iter([2_000_000_000.0, 2_000_000_000.0, 1_000_000_000.0, 1_000_000_000.0, 1.0, 1.0, 2_000_000_000.0] * 3)
    publisher = make_publisher(folder, wall=lambda: next(times))
    group = make_group(tenant)
    seqs, heads, marks = [], [], Marks()
    for number in range(4):
        make_config(tenant, f"config {number}")
        publisher.render(GatewayGroup.objects.get(pk=group.pk), EVERYTHING)
        head = read_head(root, group, marks)
        marks = marks_after_head(marks, head)
        seqs.append(head.seq)
        heads.append(head.head_no)
    assert seqs == sorted(set(seqs))
    assert heads == sorted(set(heads))
    assert seqs[0] == 2_000_000_000_000


def test_a_publisher_with_old_knowledge_of_its_group_goes_on_from_what_is_stored(tenant, folder, root):
    group = make_group(tenant)
    old = GatewayGroup.objects.get(pk=group.pk)
    make_publisher(folder, wall=lambda: 2_000_000_000.0).render(group, EVERYTHING)
    first = read_head(root, group)
    make_config(tenant)
    make_publisher(folder, wall=lambda: 1_900_000_000.0).render(old, EVERYTHING)
    second = read_head(root, group, marks_after_head(Marks(), first))
    assert (second.seq, second.head_no) == (first.seq + 1, first.head_no + 1)
    assert len(read_bundle(root, group)["configs"]) == 1


def test_a_number_that_an_operator_has_raised_is_gone_on_from(tenant, publisher, root):
    group = make_group(tenant)
    publisher.render(group, EVERYTHING)
    ahead = 3_000_000_000_000
    GatewayGroup.objects.filter(pk=group.pk).update(seq=ahead)
    make_config(tenant)
    publisher.render(GatewayGroup.objects.get(pk=group.pk), EVERYTHING)
    assert read_head(root, group).seq == ahead + 1


def test_of_two_publishers_at_the_same_moment_one_fails_and_leaves_nothing(tenant, folder, root):
    group = make_group(tenant)
    make_publisher(folder).render(group, EVERYTHING)
    make_config(tenant)
    barrier, outcomes, later = Barrier(2), [], time.time() + 60

    def run(own):
        waits = iter([barrier.wait])

        def wall():
            # Both have read the database when they first ask for the time; both are told the same.
            next(waits, lambda _: None)(20)
            return later

        try:
            outcomes.append(make_publisher(folder, wall=wall).render(own, EVERYTHING))
        except (IntegrityError, OperationalError) as lost:
            outcomes.append(lost)
        finally:
            connections.close_all()

    groups = [GatewayGroup.objects.get(pk=group.pk) for _ in range(2)]
    threads = [Thread(target=run, args=(own,)) for own in groups]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert sorted(isinstance(outcome, Exception) for outcome in outcomes) == [False, True]
    assert BundleVersion.objects.filter(group=group).count() == 2
    assert read_head(root, group).seq == int(later * 1000)


def test_a_publisher_that_dies_before_the_head_leaves_nothing_behind_and_the_next_one_publishes(
    tenant, publisher, root, monkeypatch
):
    group = make_group(tenant)

    def die(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(Publisher, "sign_head", die)
        publisher.publish_new_groups()
    assert (BundleVersion.objects.count(), Blob.objects.count()) == (0, 0)
    assert publisher.publish_new_groups() == 1
    assert set(read_bundle(root, group)) == EVERYTHING


def test_one_number_can_never_be_issued_twice(tenant, publisher):
    group = make_group(tenant)
    publisher.render(group, EVERYTHING)
    version = BundleVersion.objects.get()
    version.pk = None
    with pytest.raises(IntegrityError, match="bundle_version_once"):
        version.save(force_insert=True)


def test_a_bundle_holds_no_half_of_an_edit_that_commits_while_it_is_rendered(tenant, publisher, root, monkeypatch):
    group = make_group(tenant)

    def edit():
        make_api_key(tenant, name="too late")
        make_config(tenant, "too late")
        connections.close_all()

    (covered, export_orgs), *rest = publish.EXPORTERS

    def export_slowly(organisation):
        yield from export_orgs(organisation)
        thread = Thread(target=edit)
        thread.start()
        thread.join(timeout=20)

    monkeypatch.setattr(publish, "EXPORTERS", ((covered, export_slowly), *rest))
    publisher.render(group, EVERYTHING)
    bundle = read_bundle(root, group)
    assert ApiKey.objects.filter(name="too late").count() == 1
    assert "too late" not in {row["name"] for row in bundle["api_keys"].values()}
    assert bundle["configs"] == {}


#: A key to sign tokens with, as an organisation publishes it.
TOKEN_KEY = {
    "kid": "main", **RSAAlgorithm.to_jwk(rsa.generate_private_key(65537, 2048).public_key(), as_dict=True),
}  # fmt: skip


RATE_POLICY = {
    "name": "Each user", "type": "requests", "unit": "rpm", "value": 7, "group_by": [{"key": "metadata._user"}],
    "conditions": [{"key": "model", "value": "*"}],
}  # fmt: skip
USAGE_POLICY = {**{name: RATE_POLICY[name] for name in ("name", "conditions", "group_by", "type")}, "credit_limit": 9}


def fill(name):
    """A tenant with one of everything."""
    tenant = make_tenant(name)
    make_api_key(tenant)
    account = make_virtual_key(tenant, key=f"sk-{name}-0123456789").integration
    update_integration(tenant.actor, account, {"pricing_adjustments": {"multiplier": {"default": 2}}})
    make_config(tenant)
    create_custom_provider(tenant.actor, {"name": name, "base_url": "https://llm.example.com"})
    set_token_keys(tenant.actor, {"jwks": {"keys": [TOKEN_KEY]}})
    Api(tenant.admin_key).post("policies/rate-limits", RATE_POLICY)
    Api(tenant.admin_key).post("policies/usage-limits", USAGE_POLICY)
    return tenant


def owners(bundle):
    """The organisations whose rows are in a bundle."""
    rows = [row for name, section in bundle.items() if name not in {"prices", "gateway"} for row in section.values()]
    return {row.get("org", row["id"]) for row in rows}


def test_no_row_of_another_organisation_is_in_a_groups_bundle(publisher, root):
    mine = make_group(make_tenant())
    tenants = [fill("one"), fill("two")]
    groups = [make_group(tenant) for tenant in tenants]
    for tenant, group in zip(tenants, groups, strict=True):
        make_virtual_key(tenant, "Sealed", key="sk-sealed-0123456789")
        publisher.render(group, EVERYTHING)
        bundle = read_bundle(root, group)
        assert owners(bundle) == {str(tenant.organisation.pk)}
        assert [name for name in EVERYTHING if not bundle[name]] == []
    assert organisations_of(mine) == [mine.organisation]


def test_a_group_that_serves_all_has_every_active_organisation_in_its_bundle(publisher, root):
    tenants = [fill("one"), fill("two")]
    gone = fill("gone")
    group = make_group(tenants[0], serves_all=True)
    gone.organisation.status = "inactive"
    gone.organisation.save()
    publisher.render(group, EVERYTHING)
    assert owners(read_bundle(root, group)) == {str(tenant.organisation.pk) for tenant in tenants}


def test_an_inactive_organisations_own_group_is_left_with_nothing_of_it(publisher, root):
    tenant = fill("gone")
    group = make_group(tenant)
    publisher.render(group, EVERYTHING)
    tenant.organisation.status = "inactive"
    tenant.organisation.save()
    publisher.render(group, EVERYTHING)
    assert owners(read_bundle(root, group)) == set()


def test_no_plain_credential_and_no_callers_key_is_in_any_blob(tenant, publisher, folder):
    group = make_group(tenant)
    make_virtual_key(tenant, key="sk-canary-provider-0123456789")
    key = make_api_key(tenant).shown_once()
    manifest = publisher.render(group, EVERYTHING)
    raw = b"".join(raw for _, _, raw in raw_buckets(manifest)) + bytes(BundleVersion.objects.get().manifest)
    assert b"openai" in raw
    for canary in (b"sk-canary", b"provider-0123456789", key.encode(), tenant.admin_key.encode()):
        assert canary not in raw


# The outbox


def test_pending_events_are_published_to_the_groups_they_touch_and_done(publisher, root):
    tenant, other = make_tenant(), make_tenant()
    mine, theirs, everyones = make_group(tenant), make_group(other), make_group(other, serves_all=True)
    work_off(publisher)
    before = {group.pk: read_head(root, group).seq for group in (mine, theirs, everyones)}
    make_config(tenant)
    assert publisher.publish_pending() == 2
    moved = {group.pk for group in (mine, theirs, everyones) if read_head(root, group).seq > before[group.pk]}
    assert moved == {mine.pk, everyones.pk}
    assert not OutboxEvent.objects.filter(done_at__isnull=True).exists()
    assert publisher.publish_pending() == 0


def test_an_event_stays_pending_when_publishing_fails(tenant, publisher, monkeypatch):
    make_group(tenant)
    work_off(publisher)
    touch(tenant.organisation, ["configs"])
    monkeypatch.setattr(Publisher, "render", lambda *_: (_ for _ in ()).throw(OperationalError("gone")))
    with pytest.raises(OperationalError):
        publisher.publish_pending()
    assert OutboxEvent.objects.filter(done_at__isnull=True).count() == 1


def test_an_event_with_an_unknown_section_is_done_and_harms_nothing(tenant, publisher):
    make_group(tenant)
    work_off(publisher)
    touch(tenant.organisation, ["of-a-later-release"])
    publisher.publish_pending()
    assert BundleVersion.objects.count() == 1
    assert not OutboxEvent.objects.filter(done_at__isnull=True).exists()


def test_a_revoked_group_gets_nothing_more(tenant, publisher):
    group = make_group(tenant, status="revoked")
    work_off(publisher)
    group.refresh_from_db()
    assert (group.seq, group.head) == (0, None)


def test_new_groups_are_published_once(tenant, publisher):
    make_group(tenant)
    make_group(tenant)
    assert publisher.publish_new_groups() == 2
    assert publisher.publish_new_groups() == 0


# Revocations


def test_a_deleted_key_is_revoked_in_the_next_head_before_anything_is_rendered(tenant, publisher, root, monkeypatch):
    group = make_group(tenant)
    key = make_api_key(tenant)
    work_off(publisher)
    key_id = key.row.pk
    delete_api_key(tenant.actor, key.row)
    monkeypatch.setattr(Publisher, "render", lambda *_: None)
    publisher.publish_pending()
    assert read_head(root, group).revoked == (f"k:{key_id}",)


def test_a_deleted_key_is_gone_from_the_next_bundle(tenant, publisher, root):
    group = make_group(tenant)
    key = make_api_key(tenant)
    work_off(publisher)
    key_id = str(key.row.pk)
    assert key_id in read_bundle(root, group)["api_keys"]
    delete_api_key(tenant.actor, key.row)
    publisher.publish_pending()
    assert key_id not in read_bundle(root, group)["api_keys"]


def test_a_head_names_the_newest_64_revocations_newest_last(tenant, publisher, root):
    group = make_group(tenant)
    for number in range(MAX_REVOKED + 6):
        touch(tenant.organisation, ["api_keys"], revoked=[f"k:{number}"])
    work_off(publisher)
    assert read_head(root, group).revoked == tuple(f"k:{number}" for number in range(6, MAX_REVOKED + 6))


def test_an_event_with_more_revocations_than_a_head_holds_does_not_break_it(tenant, publisher, root):
    group = make_group(tenant)
    touch(tenant.organisation, ["api_keys"], revoked=[f"k:{number}" for number in range(MAX_REVOKED + 1)])
    work_off(publisher)
    assert len(read_head(root, group).revoked) == MAX_REVOKED


def test_revocations_older_than_a_day_are_left_to_the_manifest(tenant, publisher, root):
    group = make_group(tenant)
    old = touch(tenant.organisation, ["api_keys"], revoked=["k:old"])
    OutboxEvent.objects.filter(pk=old.pk).update(created_at=timezone.now() - timedelta(hours=25))
    touch(tenant.organisation, ["api_keys"], revoked=["k:new"])
    work_off(publisher)
    assert read_head(root, group).revoked == ("k:new",)


def test_revocations_of_another_organisation_are_told_only_to_a_group_that_serves_it(publisher, root):
    tenant, other = make_tenant(), make_tenant()
    mine, everyones = make_group(tenant), make_group(tenant, serves_all=True)
    touch(other.organisation, ["api_keys"], revoked=["k:theirs"])
    work_off(publisher)
    assert read_head(root, mine).revoked == ()
    assert read_head(root, everyones).revoked == ("k:theirs",)


# Heads


def test_only_heads_older_than_asked_are_renewed(tenant, publisher, root):
    old, fresh = make_group(tenant), make_group(tenant)
    make_group(tenant, name="has no bundle yet")
    for group in (old, fresh):
        publisher.render(group, EVERYTHING)
    GatewayGroup.objects.filter(pk=old.pk).update(head_signed_at=timezone.now() - timedelta(seconds=300))
    before = {group.pk: read_head(root, group) for group in (old, fresh)}
    assert publisher.renew_heads(240) == 1
    renewed = read_head(root, old, marks_after_head(Marks(), before[old.pk]))
    assert renewed.head_no > before[old.pk].head_no
    assert renewed.version == before[old.pk].version
    assert read_head(root, fresh) == before[fresh.pk]
    assert publisher.renew_heads(240) == 0


def test_a_group_without_a_manifest_has_no_head_to_sign(tenant, publisher):
    with pytest.raises(LookupError):
        publisher.sign_head(make_group(tenant))


def test_a_new_head_is_told_on_the_channel_that_the_edge_listens_to(tenant, publisher):
    group = make_group(tenant)
    database = connection.settings_dict
    with psycopg.connect(
        host=database["HOST"], port=database["PORT"], user=database["USER"], password=database["PASSWORD"],
        dbname=database["NAME"], autocommit=True,
    ) as line:  # fmt: skip
        line.execute(f"LISTEN {HEAD_CHANNEL}")
        publisher.render(group, EVERYTHING)
        assert [note.payload for note in line.notifies(timeout=5, stop_after=1)] == [str(group.pk)]


# Rotation of what is signed with


def rotate_bundle_key(folder, **fields):
    (folder / f"{BUNDLE_KEY}.pem").unlink()
    make_key(folder, BUNDLE_KEY)
    add_root(folder, version=2, signers=[signer(folder, name) for name in ROOT_KEYS], **fields)
    return Signers.load(folder)


@pytest.mark.parametrize("epoch", [1, 2])
def test_after_a_root_with_another_bundle_key_every_group_gets_a_manifest_that_the_root_vouches_for(
    tenant, publisher, folder, epoch
):
    groups = [make_group(tenant), make_group(tenant)]
    work_off(publisher)
    signers = rotate_bundle_key(folder, epoch=epoch)
    rotated = Publisher(signers)
    assert rotated.publish_under_root() == 2
    for group in groups:
        assert read_manifest(signers.root, group).epoch == epoch
        assert set(read_bundle(signers.root, group)) == EVERYTHING
    assert rotated.publish_under_root() == 0
    assert rotated.render(groups[0], EVERYTHING) is None


def test_a_new_epoch_alone_is_published_with_the_old_keys(tenant, publisher, folder):
    group = make_group(tenant)
    work_off(publisher)
    root = add_root(folder, version=2, signers=[signer(folder, name) for name in ROOT_KEYS], epoch=2)
    assert Publisher(Signers.load(folder)).publish_under_root() == 1
    assert read_manifest(root, group).epoch == 2


# Housekeeping


def test_collecting_keeps_what_the_kept_revisions_need_and_nothing_else(tenant, publisher, root):
    group = make_group(tenant)
    for number in range(KEEP_VERSIONS + 3):
        make_config(tenant, f"config {number}")
        publisher.render(group, {"configs"})
    newest = set(BundleVersion.objects.order_by("-seq")[:KEEP_VERSIONS].values_list("seq", flat=True))
    Blob.objects.create(digest="0" * 64, content=b"just stored, not named yet")
    assert publisher.collect() == 0, "blobs stored a moment ago may be about to be named"
    assert set(BundleVersion.objects.values_list("seq", flat=True)) == newest
    Blob.objects.update(created_at=timezone.now() - timedelta(hours=2))
    assert publisher.collect() == 3 * 2 + 1  # three revisions with a bucket and an index each, and the unnamed one
    assert len(read_bundle(root, group)["configs"]) == KEEP_VERSIONS + 3
    for version in BundleVersion.objects.all():
        for section in publish.manifest_of(version).sections.values():
            assert content_of(section.index.d)
            assert list(raw_buckets(publish.manifest_of(version)))


def test_collecting_keeps_each_groups_own_revisions(publisher, root):
    groups = [make_group(fill("one")), make_group(fill("two"))]
    for group in groups:
        publisher.render(group, EVERYTHING)
    Blob.objects.update(created_at=timezone.now() - timedelta(hours=2))
    assert publisher.collect() == 0
    for group in groups:
        assert read_bundle(root, group)["configs"]


def test_a_set_is_published_in_one_order():
    names = [f"model-{number}" for number in range(50)]
    row = VirtualKeyRow(id="i", org="o", ws="w", slug="s", provider="openai", integration="n", models=frozenset(names))
    assert orjson.loads(publish._line(row, "w/s"))["models"] == sorted(names)
