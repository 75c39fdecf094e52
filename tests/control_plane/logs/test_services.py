"""Records are found by their id and in pages, and only by those who may know of them."""

from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from control_plane.core.errors import Invalid
from control_plane.keys.models import ApiKey
from control_plane.logs.partitions import maintain_partitions
from control_plane.logs.services import LogQuery, attempts_of, bodies_of, find_log, find_logs
from control_plane.orgs.services import add_workspace_user, principal_of_user
from shared.schema.log_record import AttemptRecord, Step
from tests.control_plane.factories import make_member, make_tenant
from tests.control_plane.logs.log_kit import Gateway, make_record, now_us, payload_frame, store

pytestmark = pytest.mark.django_db


@pytest.fixture
def tenant():
    return make_tenant()


def recent(**conditions):
    now = datetime.now(UTC)
    return LogQuery(since=now - timedelta(hours=1), until=now + timedelta(minutes=1), **conditions)


def ids(page):
    return [str(row.id) for row in page.rows]


def test_pages_follow_each_other_without_gap_or_repetition_even_at_the_same_moment(tenant):
    same = now_us()
    records = [make_record(tenant, ts_us=same, id=str(uuid4())) for _ in range(5)]
    records += [make_record(tenant, ts_us=same - number) for number in range(1, 5)]
    Gateway(tenant).send_records(*records)
    seen, cursor = [], None
    for _ in range(9):
        page = find_logs(tenant.actor, recent(size=2, cursor=cursor))
        seen += ids(page)
        cursor = page.next_cursor
        if cursor is None:
            break
    expected = sorted(records, key=lambda record: (record.ts_us, UUID(record.id).int), reverse=True)
    assert seen == [record.id for record in expected]


@pytest.mark.parametrize(
    ("condition", "fields"),
    [
        ({"outcome": "error"}, {"status": 500}),
        ({"status": 429}, {"status": 429}),
        ({"model": "big"}, {"model_served": "big"}),
        ({"model": "asked"}, {"model_requested": "asked"}),
        ({"provider": "anthropic"}, {"provider": "anthropic"}),
        ({"trace_id": "t-9"}, {"trace_id": "t-9"}),
        ({"api_key_id": UUID(int=5)}, {"api_key": str(UUID(int=5))}),
        ({"workspace_id": UUID(int=6)}, {"ws": str(UUID(int=6))}),
    ],
)
def test_a_condition_keeps_what_meets_it_and_nothing_else(tenant, condition, fields):
    wanted = make_record(tenant, **fields)
    Gateway(tenant).send_records(make_record(tenant), wanted)
    assert ids(find_logs(tenant.actor, recent(**condition))) == [wanted.id]


def test_success_leaves_errors_out(tenant):
    fine, held = make_record(tenant, status=201), make_record(tenant, status=101)
    Gateway(tenant).send_records(fine, held, make_record(tenant, status=302), make_record(tenant, status=500))
    found = find_logs(tenant.actor, recent(outcome="success"))
    assert set(ids(found)) == {fine.id, held.id}
    assert all(row.is_success for row in found.rows)


def test_a_list_ends_where_its_range_ends(tenant):
    store(tenant, ts_us=now_us() - 2 * 3600 * 1_000_000)
    assert ids(find_logs(tenant.actor, recent())) == []


@pytest.mark.parametrize("cursor", ["", "x", "!!", "MTIz", "OTk5OTk5OTk5OTk5OTk5OTk5OTk5OTk5LjA", "ü", "A" * 9000])
def test_a_cursor_that_is_not_ours_is_refused(tenant, cursor):
    with pytest.raises(Invalid):
        find_logs(tenant.actor, recent(cursor=cursor))


@pytest.mark.parametrize("span", [timedelta(0), timedelta(seconds=-1), timedelta(days=31, seconds=1)])
def test_a_range_without_sense_is_refused(tenant, span):
    now = datetime.now(UTC)
    with pytest.raises(Invalid):
        find_logs(tenant.actor, LogQuery(since=now - span, until=now))


@pytest.mark.parametrize("size", [0, 101])
def test_a_page_is_bounded(tenant, size):
    with pytest.raises(Invalid):
        find_logs(tenant.actor, recent(size=size))


def test_another_organisation_sees_nothing_of_a_record(tenant):
    row, stranger = store(tenant), make_tenant()
    assert find_log(stranger.actor, str(row.id)) is None
    assert ids(find_logs(stranger.actor, recent())) == []


@pytest.mark.parametrize("log_id", ["", "nothing", str(UUID(int=2**128 - 1)), "ffffffff-ffff-7fff-bfff-ffffffffffff"])
def test_an_id_without_a_record_finds_none(tenant, log_id):
    assert find_log(tenant.actor, log_id) is None


def test_an_id_is_searched_for_in_the_table_of_its_day_only(tenant):
    maintain_partitions(datetime.now(UTC).date())
    row = store(tenant)
    with CaptureQueriesContext(connection) as queries:
        assert find_log(tenant.actor, str(row.id)) == row
    assert len(queries) == 1
    with connection.cursor() as cursor:
        cursor.execute("EXPLAIN " + queries[0]["sql"])
        plan = "\n".join(line for (line,) in cursor.fetchall())
    assert "logs_record_default" not in plan


@pytest.mark.parametrize("log_id", [str(uuid4()), "00000000-0001-7000-8000-000000000001"])
def test_an_id_that_tells_no_time_or_another_is_found_all_the_same(tenant, log_id):
    assert str(store(tenant, id=log_id).id) == log_id
    assert str(find_log(tenant.actor, log_id).id) == log_id


def test_bodies_come_back_as_they_were_sent(tenant):
    request, response = {"messages": [{"content": "a\x00ü\U0001f600"}]}, {"choices": [], "n": 1.5}
    bodies = bodies_of(store(tenant, request=request, response=response))
    assert (bodies.request, bodies.response) == (request, response)


def test_a_record_without_bodies_has_none(tenant):
    assert bodies_of(store(tenant)) is None


def test_another_organisation_cannot_put_a_body_to_a_record(tenant):
    stranger, record = make_tenant(), make_record(tenant)
    Gateway(tenant).send_records(record)
    forged = make_record(stranger, id=record.id, ts_us=record.ts_us)
    Gateway(stranger).send([payload_frame(1, forged, {"forged": True}, None)], stream_id=uuid4())
    assert bodies_of(find_log(tenant.actor, record.id)) is None


def test_attempts_come_in_order_and_only_those_of_the_record(tenant):
    def attempts(*numbers):
        return tuple(AttemptRecord(n=n, provider="p", path="c", status=200, start_us=0, dur_ms=1) for n in numbers)

    first, second = make_record(tenant, attempts=attempts(2, 0, 1)), make_record(tenant, attempts=attempts(7))
    Gateway(tenant).send_records(first, second)
    assert [attempt.n for attempt in attempts_of(find_log(tenant.actor, first.id))] == [0, 1, 2]


def test_a_list_does_not_read_the_decisions_of_its_records(tenant):
    store(tenant, decision=(Step("retry"),))
    (row,) = find_logs(tenant.actor, recent()).rows
    assert row.get_deferred_fields() == {"decision"}
    assert find_log(tenant.actor, str(row.id)).get_deferred_fields() == set()


def test_whoever_sees_own_data_only_sees_the_records_of_own_keys(tenant):
    user = make_member(tenant)
    add_workspace_user(tenant.actor, tenant.workspace, user.pk, "member")
    key = ApiKey.objects.create(
        organisation=tenant.organisation,
        workspace=tenant.workspace,
        type="workspace-user",
        name="mine",
        user=user,
        secret_hash="h",
        masked="m",
        scopes=[],
    )
    mine, other = store(tenant, api_key=str(key.pk)), store(tenant)
    assert set(ids(find_logs(principal_of_user(user), recent()))) == {str(mine.id), str(other.id)}
    tenant.organisation.access = {"membersViewAllData": False}
    tenant.organisation.save()
    principal = principal_of_user(user)
    assert ids(find_logs(principal, recent())) == [str(mine.id)]
    assert find_log(principal, str(other.id)) is None
