"""Every operation of the Admin API, called with what its OpenAPI description allows and with what it forbids.

Whatever is sent, the answer is one that the description names: never a fault of ours, and a refusal always has the
shape, the code and the status of a refusal.  The document is the one that is served; the application is the real one,
below WSGI.  Wholly random calls would stop at the first check of many, so half of them differ only in some fields from
one that works, and most name rows that are there.
"""

import copy
import json
import re

import pytest
import schemathesis
from django.core import signals
from django.core.handlers.wsgi import WSGIHandler
from django.db import close_old_connections, transaction
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis.generation import GenerationMode
from schemathesis.specs.openapi import checks

from control_plane.core.errors import error_body
from control_plane.core.openapi import document, operations
from tests.contract.resource_kit import make, named_by
from tests.control_plane.factories import Api, make_member, make_tenant
from tests.control_plane.ui.page_kit import signed_in

DOCUMENT = copy.deepcopy(document())
OPERATIONS = {f"{each.method.upper()} {each.path}": each for each in operations()}
SCHEMA = schemathesis.openapi.from_dict(DOCUMENT)
SCHEMA.app = WSGIHandler()
CHECKS = [
    checks.status_code_conformance, checks.content_type_conformance, checks.response_headers_conformance,
    checks.response_schema_conformance,
]  # fmt: skip
#: Of an operation, with data that its schema allows and with data that it does not.
EXAMPLES = 5
#: What keys may not change, but owners may.
OWNERS_ONLY = re.compile(r"(POST|PUT|DELETE) /admin/organisation/(sign-in-rules|identity-provider|domains)")
FORGERY_TOKEN = "f" * 32
#: Headers without which more calls can be done: conditions, and what is drawn in the place of the caller's own key.
CONDITIONS, KEYS = {"if-match", "idempotency-key"}, {"authorization", "x-portkey-api-key"}
#: A key of tokens, of the right length.
TOKEN_KEY = {"kty": "RSA", "kid": "1", "e": "AQAB", "n": "_" * 341 + "w"}

pytestmark = pytest.mark.django_db


class Known:
    """A tenant with a row of everything, its callers, and what fields of bodies and queries may name."""

    def __init__(self):
        self.tenant = make_tenant()
        self.rows = {}
        self.paths = {name: named_by(operation.path, self.tenant, self.rows) for name, operation in OPERATIONS.items()}
        cookies = signed_in(make_member(self.tenant, "owner")).cookies
        self.owner = {
            "headers": {"x-csrftoken": FORGERY_TOKEN},
            "cookies": {"sessionid": cookies["sessionid"].value, "csrftoken": FORGERY_TOKEN},
        }
        self.key = {"headers": {"x-portkey-api-key": self.tenant.admin_key}}
        user = self.rows["admin/users/{id}"]
        integration = make("integrations", self.tenant)
        self.meant = {
            "organisation_id": str(self.tenant.organisation.pk), "organization_id": str(self.tenant.organisation.pk),
            "workspace_id": self.tenant.workspace.slug, "user_id": user, "integration_id": integration, "role": "member",
            "parent_collection_id": self.rows["collections/{id}"], "key": self.tenant.admin_key, "slugs": "gpt-4o",
            "users": [{"id": user, "role": "member"}], "start_time": "2020-01-01T00:00:00Z", "end_time": "2099-01-01T00:00:00Z",
            "workspaces": [{"id": self.tenant.workspace.slug, "enabled": True}], "config": {"provider": "openai"},
            "models": [{"slug": "gpt-4o", "enabled": True}], "jwks_uri": None, "jwks": {"keys": [TOKEN_KEY]},
        }  # fmt: skip
        api = Api(self.tenant.admin_key)
        assert api.put("admin/organisation/jwks", {"jwks": self.meant["jwks"]}).status_code == 200
        models = f"integrations/{self.rows['integrations/{integration}']}/models"
        assert api.put(models, {"models": self.meant["models"]}).status_code == 200

    def caller(self, name):
        """Whoever may make a call."""
        return self.owner if OWNERS_ONLY.match(name) else self.key


@pytest.fixture(scope="module")
def known(django_db_setup, django_db_blocker):
    """The rows of all tests of this module; each call is undone."""
    with django_db_blocker.unblock(), transaction.atomic(), pytest.MonkeyPatch.context() as patch:
        made = Known()
        patch.setattr("control_plane.orgs.domains.texts_at", lambda name: [])
        patch.setattr("control_plane.core.outgoing._socket", refuse)
        for signal in (signals.request_started, signals.request_finished):
            # As Django's own client does: the end of a request would close the connection that all tests share.
            signal.disconnect(close_old_connections)
        yield made
        for signal in (signals.request_started, signals.request_finished):
            signal.connect(close_old_connections)
        transaction.set_rollback(True)


def refuse(host, port, deadline):
    raise ConnectionRefusedError


def good_body(name, body):
    """The example that the description gives of a body, or what it knows of the fields of `body`."""
    operation = OPERATIONS[name]
    described = DOCUMENT["paths"][operation.path][operation.method]["requestBody"]["content"]["application/json"]
    known = described["schema"]["properties"]
    return described.get("example") or {field: value for field, value in body.items() if field in known}


def come_nearer(draw, case, name, known):
    """Make a drawn call one that gets further, in some of its parts."""
    if draw(st.integers(0, 3)):
        case.path_parameters = {**case.path_parameters, **known.paths[name]}
    left_out = KEYS | CONDITIONS if draw(st.booleans()) else KEYS
    case.headers = {key: value for key, value in case.headers.items() if key.lower() not in left_out}
    if draw(st.booleans()):
        case.query = {key: known.meant.get(key, value) for key, value in case.query.items()}
    if isinstance(case.body, dict) and draw(st.booleans()):
        wanted = {key: known.meant.get(key, value) for key, value in good_body(name, case.body).items()}
        strange = draw(st.sets(st.sampled_from(sorted(case.body)), max_size=2)) if case.body else ()
        case.body = {**wanted, **{key: case.body[key] for key in strange}}


def said(answer):
    """What is wrong with the form of a refusal; None for nothing."""
    body = json.loads(answer.content)
    expected = error_body(answer.status_code, body["data"]["message"], body.get("errors"))
    return None if body == expected else body


@settings(
    max_examples=EXAMPLES, derandomize=True, database=None, phases=[Phase.generate, Phase.shrink],
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.function_scoped_fixture],
)  # fmt: skip
@given(data=st.data())
def call(name, mode, known, statuses, data):
    """Make calls of an operation, and note how they were answered."""
    operation = OPERATIONS[name]
    case = data.draw(SCHEMA[operation.path][operation.method.upper()].as_strategy(generation_mode=mode))
    come_nearer(data.draw, case, name, known)
    with transaction.atomic():
        answer = case.call(**known.caller(name))
        transaction.set_rollback(True)
    statuses.append(answer.status_code)
    assert answer.status_code < 500, answer.content
    case.validate_response(answer, checks=CHECKS)
    assert answer.status_code < 400 or said(answer) is None, answer.content


@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE], ids=str)
@pytest.mark.parametrize("name", sorted(OPERATIONS))
def test_an_answer_is_one_that_the_description_names(name, mode, known):
    statuses = []
    call(name, mode, known, statuses)
    assert len(statuses) >= EXAMPLES
