"""`make bench`, third part: how long calls of the Admin API take in an installation with very many keys.

The calls run in this process, against a real PostgreSQL; the ratio says what 38 times as many keys cost a call.
"""

import statistics
import sys
import time
from uuid import uuid4

import tests.performance.django_ready  # noqa: F401 -- before any model is imported

# isort: split

from cryptography.fernet import Fernet
from django.conf import settings
from django.db import connection
from django.test.utils import setup_databases, setup_test_environment, teardown_databases

from control_plane.core.scopes import OF_KEY_TYPE, WORKSPACE_SERVICE_KEY
from control_plane.keys.models import ApiKey
from control_plane.orgs.models import Workspace
from shared.ids import uuid7
from tests.control_plane.factories import Api, make_config, make_tenant, make_virtual_key

TIMES, WORKSPACES, KEYS, MANY_KEYS = 60, 500, 10_000, 380_000
LIMIT_MS = 60


def fill(tenant, total):
    """Make workspaces and keys, until there are so many."""
    missing = WORKSPACES - Workspace.objects.count()
    Workspace.objects.bulk_create(
        [
            Workspace(organisation=tenant.organisation, name=f"Team {n}", slug=f"ws-{uuid4().hex[:8]}")
            for n in range(missing)
        ]
    )
    homes = list(Workspace.objects.values_list("pk", flat=True))
    scopes = sorted(OF_KEY_TYPE[WORKSPACE_SERVICE_KEY])[:12]
    have = ApiKey.objects.count()
    for start in range(have, total, 5000):
        rows = [
            ApiKey(
                id=uuid7(), organisation=tenant.organisation, workspace_id=homes[n % len(homes)], type=WORKSPACE_SERVICE_KEY,
                name=f"Key {n}", secret_hash=f"{n:064x}", masked=f"gh-{n:05d}****", scopes=scopes,
            )
            for n in range(start, min(start + 5000, total))
        ]  # fmt: skip
        ApiKey.objects.bulk_create(rows)
    with connection.cursor() as cursor:
        # As the server does by itself after so many new rows.
        cursor.execute("VACUUM ANALYZE")
    return homes


def calls(tenant, homes, total):
    """Yield (name, call) of what administrators and Terraform ask for most."""
    api = Api(tenant.admin_key)
    key = ApiKey.objects.filter(workspace_id=homes[-1]).first()
    config, virtual_key = make_config(tenant), make_virtual_key(tenant)
    last = total // 100 - 1
    yield "list keys", lambda: api.get("api-keys", page_size=100)
    yield "list keys, last page", lambda: api.get("api-keys", page_size=100, current_page=last)
    yield "list a workspace's keys", lambda: api.get("api-keys", page_size=100, workspace_id=str(homes[-1]))
    yield "read a key", lambda: api.get(f"api-keys/{key.pk}")
    yield "make a key", lambda: api.post("api-keys/workspace/service", {"name": "k", "scopes": ["completions.write"]})
    yield "change a key", lambda: api.put(f"api-keys/{key.pk}", {"name": uuid4().hex})
    yield "list workspaces", lambda: api.get("admin/workspaces", page_size=100)
    yield "list users", lambda: api.get("admin/users", pageSize=100)
    yield "list configs", lambda: api.get("configs")
    yield "read a config", lambda: api.get(f"configs/{config.slug}")
    yield "list virtual keys", lambda: api.get("virtual-keys", page_size=100)
    yield "change a virtual key", lambda: api.put(f"virtual-keys/{virtual_key.slug}", {"note": uuid4().hex})
    yield "list integrations", lambda: api.get("integrations", page_size=100)


def p95_ms(call):
    """Return the 95th percentile of a call's milliseconds, and how many queries one makes."""
    took = []
    for _ in range(TIMES):
        began = time.perf_counter()
        answer = call()
        took.append((time.perf_counter() - began) * 1000)
        if answer.status_code != 200:
            raise SystemExit(answer.content.decode())
    connection.force_debug_cursor = True
    connection.queries_log.clear()
    call()
    queries = len(connection.queries_log)
    connection.force_debug_cursor = False
    return statistics.quantiles(took, n=20)[-1], queries


def main():
    settings.FERNET_KEYS = (Fernet.generate_key().decode(),)
    setup_test_environment()
    old = setup_databases(verbosity=0, interactive=False)
    try:
        tenant = make_tenant()
        found = {}
        for total in (KEYS, MANY_KEYS):
            homes = fill(tenant, total)
            found[total] = {name: p95_ms(call) for name, call in calls(tenant, homes, total)}
    finally:
        teardown_databases(old, verbosity=0)
    print(f"\nAdmin API: p95 of {TIMES} calls in ms, {WORKSPACES} workspaces; SQL queries of one call")
    print(f"{'':28}{f'{KEYS:,} keys':>14}{f'{MANY_KEYS:,} keys':>14}{'ratio':>8}{'queries':>9}")
    for name, (few, queries) in found[KEYS].items():
        many, as_many = found[MANY_KEYS][name]
        mark = "" if few <= LIMIT_MS and queries == as_many else "   over the limit"
        print(f"{name:28}{few:>14.1f}{many:>14.1f}{many / few:>8.2f}{queries:>9}{mark}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
