"""Budgets that reach their limits, and a receiver of webhooks that notes what arrives."""

import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from control_plane.alerts.services import create_destination
from control_plane.budgets.models import Budget, BudgetEvent
from control_plane.budgets.standing import standing
from shared.ids import uuid7
from shared.money import NANO
from shared.redact import Secret

SECRET = "a-secret-that-signs-0123456789"


class Receiver:
    """Answers each POST with the next of `statuses`, the last of them from then on; `asked` is what came."""

    def __init__(self, statuses=(200,)):
        self.statuses, self.asked, self.headers = list(statuses), [], {}
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["content-length"]))
                receiver.asked.append((self.path, {name.lower(): value for name, value in self.headers.items()}, body))
                status = receiver.statuses.pop(0) if len(receiver.statuses) > 1 else receiver.statuses[0]
                self.send_response(status)
                for name, value in receiver.headers.items():
                    self.send_header(name, value)
                self.end_headers()

            def log_message(self, *_args):
                """Say nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/budgets/T0K3N?token=4711"

    @property
    def bodies(self):
        """The JSON objects that came."""
        return [json.loads(body) for _, _, body in self.asked]


@contextmanager
def receiving(settings, *statuses):
    """A receiver on this machine, which is trusted meanwhile."""
    settings.TRUSTED_CUSTOM_HOSTS = frozenset({"127.0.0.1"})
    receiver = Receiver(statuses or (200,))
    thread = threading.Thread(target=receiver.server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield receiver
    finally:
        receiver.server.shutdown()
        thread.join()
        receiver.server.server_close()


def make_destination(tenant, workspace=None, **given):
    """A destination; by default a webhook to nowhere."""
    given = {"name": "on call", "type": "webhook", **given}
    if given["type"] != "email":
        given.setdefault("url", "https://hooks.example.com/x")
    if isinstance(given.get("secret"), str):
        given["secret"] = Secret(given["secret"])
    return create_destination(tenant.actor, workspace, given)


def make_budget(tenant, kind="workspace", *, limit=100 * NANO, threshold=80 * NANO, **fields):
    """A budget of which nothing was used."""
    fields = {"owner_id": uuid7(), "name": "Search", **fields}
    return Budget.objects.create(
        organisation=tenant.organisation, kind=kind, limit=limit, threshold=threshold, **fields
    )


def spend(budget, spent):
    """Say that so much was spent, as whatever books it does; return the events that came of it."""
    before = set(BudgetEvent.objects.values_list("pk", flat=True))
    budget.spent = budget.committed = spent
    standing(budget)
    budget.save()
    return list(BudgetEvent.objects.exclude(pk__in=before).order_by("pk"))
