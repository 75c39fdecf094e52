"""An installation that has records already gets their totals with the ledger."""

import pytest
from django.db import connection
from django.db.migrations.executor import MigrationExecutor

from control_plane.ledger.verifying import differences
from tests.control_plane.factories import make_tenant
from tests.control_plane.ledger.ledger_kit import added_up, counted
from tests.control_plane.logs.log_kit import Gateway, make_record


@pytest.mark.django_db(transaction=True)
def test_records_from_before_the_ledger_are_counted_when_it_comes():
    leaves = MigrationExecutor(connection).loader.graph.leaf_nodes()
    tenant = make_tenant()
    records = [make_record(tenant, user_ref=f"u{n % 2}") for n in range(4)]
    try:
        MigrationExecutor(connection).migrate([("ledger", None)])
        Gateway(tenant).send_records(*records[:3])
    finally:
        MigrationExecutor(connection).migrate(leaves)
    Gateway(tenant).send_records(records[3])
    assert counted() == added_up(records)
    assert list(differences()) == []
