"""What all tests share: settings of the control plane that a real process must be given."""

import gc
import re

import pytest
import structlog
from hypothesis import HealthCheck, settings

# How fast this machine is says nothing about what is tested; the first text drawn builds the tables of Unicode.
settings.register_profile("noisy", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("noisy")

# The usual rendering of a traceback, with every local, takes seconds.
structlog.configure(
    processors=[
        *structlog.get_config()["processors"][:-1],
        structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback),
    ]
)


@pytest.fixture(scope="session", autouse=True)
def control_plane_settings():
    """Secrets made for tests, and password hashing that costs nothing."""
    from django.test import override_settings

    with override_settings(
        SECRET_KEY="only-for-tests-only-for-tests-only-for-tests",
        FERNET_KEYS=("dGVzdHRlc3R0ZXN0dGVzdHRlc3R0ZXN0dGVzdHRlc3Q=",),
        PASSWORD_HASHERS=["django.contrib.auth.hashers.MD5PasswordHasher"],
    ):
        yield


#: What `flush` leaves and fills anew by signals: it is the same in every database.
_KEPT = ("django_migrations", "django_content_type", "auth_permission")
#: Triggers that keep rows for ever are off, as they are for the TRUNCATE of `flush`, which makes every table's file anew.
_DELETE_ALL = f"""
DO $$
DECLARE name text;
BEGIN
    SET LOCAL session_replication_role = replica;
    FOR name IN SELECT format('%I.%I', schemaname, tablename) FROM pg_tables
        WHERE schemaname = 'public' AND tablename NOT IN {_KEPT}
    LOOP
        EXECUTE 'DELETE FROM ' || name;
    END LOOP;
END
$$
"""


@pytest.fixture(scope="session", autouse=True)
def quick_flush():
    """After tests that commit, delete the few rows there are: that takes a tenth of the time of a flush."""
    from django.db import connections
    from django.test import TransactionTestCase

    def delete_all(self):
        for alias in self._databases_names(include_mirrors=False):
            with connections[alias].cursor() as cursor:
                cursor.execute(_DELETE_ALL)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(TransactionTestCase, "_fixture_teardown", delete_all)
        yield


#: What a test module makes anew whenever it is imported: ids and keys.
_RANDOM = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-|gh-\w{24}")


def pytest_make_parametrize_id(val, argname):
    """Name a parameter that is random by its place: processes that share the tests must call them the same."""
    return argname if isinstance(val, str) and _RANDOM.search(val) else None


def pytest_collection_finish(session):
    """Keep the garbage collector away from thousands of collected tests: it would look at them all, again and again."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)
