import pytest

from shared import errors


def subclasses(kind):
    return {kind}.union(*(subclasses(child) for child in kind.__subclasses__()))


OURS = sorted(
    (kind for kind in subclasses(errors.GatewayError) if kind.__module__ == "shared.errors"),
    key=lambda kind: kind.__name__,
)


@pytest.mark.parametrize("kind", OURS)
def test_every_error_has_a_client_or_server_status_and_a_code(kind):
    assert 400 <= kind.status <= 599
    assert kind.code == kind.code.lower()


def test_a_body_speaks_to_openai_clients_and_to_portkey_clients():
    body = errors.BadRequest("no", path="model").body()
    assert (body["status"], body["message"]) == ("failure", "no")
    assert body["error"] == {"message": "no", "type": "invalid_request", "param": "model", "code": "invalid_request"}


def test_all_faults_of_a_config_are_listed():
    assert errors.InvalidConfig("bad", errors=["a", "b"]).body()["errors"] == ["a", "b"]


def test_the_timeout_body_is_the_contracts():
    assert errors.UpstreamTimeout(10000).body() == {
        "error": {
            "message": "Request exceeded the timeout sent in the request: 10000ms",
            "type": "timeout_error", "param": None, "code": None,
        }
    }  # fmt: skip


def test_a_saved_only_violation_names_kind_and_field():
    body = errors.InlineBlocked("inline_config_blocked", "x-portkey-config").body()
    assert (body["error"]["code"], body["error"]["field"]) == ("inline_config_blocked", "x-portkey-config")
