import time

import msgspec
import pytest

from data_plane.core.job import Choice, Job, Principal, Raw
from data_plane.pipeline.target import UnknownProvider, find_provider, locate
from data_plane.providers.registry import load_providers
from shared.errors import BadRequest, Forbidden, GatewayError, Quarantined, SecretUnresolved, Unsupported
from shared.redact import Secret
from shared.routing.plan import DEFAULT_PLAN, Target
from shared.schema.rows import (
    CustomProviderRow,
    DeploymentRow,
    ModelSettingsRow,
    OrgRow,
    SecretMappingRow,
    WorkspaceRow,
)
from tests.data_plane import kit

PROVIDERS = load_providers()
PRINCIPAL = Principal(
    kit.api_key(), OrgRow(kit.ORG, "Demo", block_inline=False), WorkspaceRow(kit.WS, kit.ORG, "ws", "W")
)
MESSAGES = [{"role": "user", "content": "hi"}]
ROWS = [
    kit.virtual_key("main"),
    kit.virtual_key("second", provider="anthropic", secret=None, settings={"anthropic_version": "v", "a": "row"}),
    kit.virtual_key("few", models=frozenset({"gpt-4o", "org/model"})),
    kit.virtual_key("none", models=frozenset()),
    kit.virtual_key("old", expires=time.time() - 1),
    kit.virtual_key("soon", expires=time.time() + 86_400),
    kit.virtual_key("strange", provider="never-heard-of"),
    kit.virtual_key("late", secret="secret-that-is-not-here"),
    kit.virtual_key("other", id="ws-2/other", ws="ws-2"),
]  # fmt: skip
SNAPSHOT = kit.snapshot(virtual_keys=ROWS)


def find(
    target=None,
    *,
    model="m",
    choice=None,
    body=None,
    denied=frozenset(),
    headers=None,
    trusted=frozenset(),
    snapshot=SNAPSHOT,
    **rest,
):
    """Return where an attempt goes; `target` is a Target or the fields of a root target."""
    made = target if isinstance(target, Target) else Target(**{"path": "config", **(target or {})})
    asked = {"model": model, "messages": MESSAGES, **(body or {})}
    fields = {name: rest.pop(name) for name in ("strict", "operation", "stream", "raw") if name in rest}
    job = Job(
        fields.pop("operation", "chat"),
        DEFAULT_PLAN,
        asked,
        model,
        fields.pop("stream", False),
        choice or Choice(),
        **fields,
    )
    return locate(
        made, job, PRINCIPAL, snapshot, denied=denied, headers=headers or {}, providers=PROVIDERS, trusted_hosts=trusted, **rest
    )  # fmt: skip


def named(place):
    """Return how a place was found: its virtual key, or the provider's id."""
    return f"@{place.virtual_key.slug}" if place.virtual_key else place.provider.id


# who is named


@pytest.mark.parametrize(("target", "model", "choice", "found"), [
    ({"override_params": {"model": "@main/gpt"}, "virtual_key": "second"}, "@few/gpt-4o", Choice(virtual_key="soon"), "@main"),
    ({"path": "config.targets[0]", "override_params": {"model": "@main/gpt"}, "virtual_key": "second"}, "m", None, "@main"),
    ({"virtual_key": "second"}, "@main/gpt", None, "@main"),
    ({"path": "config.targets[0]", "virtual_key": "second"}, "@main/gpt", None, "@second"),
    ({"path": "config.targets[0]", "provider": "@second"}, "@main/gpt", Choice(virtual_key="few"), "@second"),
    ({"path": "config.targets[0]", "provider": "anthropic"}, "@main/gpt", Choice(provider="openai"), "anthropic"),
    ({"path": "config.targets[0]"}, "@main/gpt", Choice(virtual_key="second"), "@second"),
    ({"path": "config.targets[0]"}, "@main/gpt", None, "@main"),
    ({"virtual_key": "second"}, "m", Choice(virtual_key="main"), "@second"),
    ({"provider": "openai"}, "m", Choice(provider="anthropic"), "openai"),
    ({"virtual_key": "main", "provider": "anthropic"}, "m", None, "@main"),
    ({}, "m", Choice(virtual_key="second", provider="openai"), "@second"),
    ({}, "m", Choice(provider="anthropic"), "anthropic"),
    ({}, "@main/gpt", Choice(provider="@second"), "@main"),
    ({"passthrough": True, "virtual_key": "second"}, "m", Choice(virtual_key="main"), "@main"),
    ({"passthrough": True, "virtual_key": "second"}, "m", None, "@second"),
])  # fmt: skip
def test_the_model_that_is_forced_wins_then_the_target_then_the_headers_then_the_body(target, model, choice, found):
    assert named(find(target, model=model, choice=choice)) == found


@pytest.mark.parametrize(
    "target", [{"provider": "@main"}, {"virtual_key": "@main"}, {"virtual_key": "main"}, {"provider": "@main/gpt-4o"}]
)
def test_a_saved_provider_may_be_written_with_and_without_its_sign(target):
    assert named(find(target)) == "@main"


def test_the_provider_gets_the_bare_model():
    place = find(model="@few/org/model")
    assert (named(place), place.facts.model) == ("@few", "org/model")


@pytest.mark.parametrize("how", [
    {"model": "@nobody/gpt"}, {"model": "@/gpt"}, {"target": {"virtual_key": "nobody"}}, {"choice": Choice(provider="@nobody")},
    {"choice": Choice(virtual_key="../ws-2/other")}, {"model": "@other/gpt"}, {"choice": Choice(virtual_key="other")},
])  # fmt: skip
def test_a_saved_provider_that_this_workspace_has_not_is_refused(how):
    with pytest.raises(BadRequest) as raised:
        find(**how)
    assert raised.value.path == "provider"


@pytest.mark.parametrize("how", [
    {"target": {"provider": "nonesuch"}}, {"choice": Choice(provider="OPENAI")}, {"model": "@strange/gpt"}, {"target": {}}, {"choice": Choice(provider="../openai")},
])  # fmt: skip
def test_a_provider_that_nobody_knows_is_refused(how):
    with pytest.raises(BadRequest, match="Invalid provider passed"):
        find(**how)


def test_an_operation_that_the_provider_has_not_may_be_tried_elsewhere():
    with pytest.raises(Unsupported) as raised:
        find({"virtual_key": "main"}, operation="paint")
    assert not raised.value.final


@pytest.mark.parametrize("model", ["@main", "@main/", ""])
def test_without_a_model_nothing_is_sent(model):
    with pytest.raises(BadRequest, match="model is required"):
        find({"virtual_key": "main"}, model=model)


@pytest.mark.parametrize("model", [7, ["gpt"], {"a": 1}, True])
@pytest.mark.parametrize("params", ["override_params", "default_params"])
def test_a_model_that_is_no_text_is_refused_wherever_it_comes_from(model, params):
    asked = {"model": ""} if params == "override_params" else {}
    job = Job("chat", DEFAULT_PLAN, {**asked, "messages": MESSAGES}, "", stream=False, choice=Choice())
    target = Target("config", virtual_key="main", **{params: {"model": model}})
    with pytest.raises(GatewayError):
        locate(
            target,
            job,
            PRINCIPAL,
            SNAPSHOT,
            denied=frozenset(),
            headers={},
            providers=PROVIDERS,
            trusted_hosts=frozenset(),
        )


# who may use it


@pytest.mark.parametrize("model", ["gpt-4o", "org/model"])
def test_a_model_on_the_allow_list_passes(model):
    assert find(model=f"@few/{model}").facts.model == model


@pytest.mark.parametrize("model", ["@few/gpt-4", "@few/GPT-4o", "@few/gpt-4o ", "@few/model", "@none/gpt-4o"])
def test_a_model_that_is_not_on_the_allow_list_is_refused(model):
    with pytest.raises(Forbidden, match="not allowed"):
        find(model=model)


def test_the_allow_list_counts_for_the_model_that_is_forced():
    with pytest.raises(Forbidden):
        find({"virtual_key": "few", "override_params": {"model": "gpt-5"}}, model="gpt-4o")


def test_a_call_that_is_not_about_a_model_passes_the_allow_list():
    assert named(find({"virtual_key": "none"}, model="-", any_model=True)) == "@none"


def test_an_expired_provider_is_refused_and_one_that_is_not_yet_is_used():
    with pytest.raises(Forbidden, match="expired"):
        find(model="@old/gpt")
    assert named(find(model="@soon/gpt")) == "@soon"


def test_a_revoked_provider_is_as_if_it_were_not_there():
    assert named(find(model="@main/gpt", denied=frozenset({"vk:uid-second", "k:uid-main", "main"}))) == "@main"
    with pytest.raises(UnknownProvider):
        find(model="@main/gpt", denied=frozenset({"vk:uid-main"}))


# the credential and where it may go


def test_the_sealed_key_of_a_saved_provider_is_opened():
    place = find({"virtual_key": "main", "api_key": Secret("sk-inline")}, choice=Choice(key=Secret("sk-callers-own")))
    assert place.credential.key.reveal() == kit.PROVIDER_KEY
    assert place.base_url == "https://api.openai.com/v1"


def test_a_saved_provider_without_a_key_gets_nobody_elses():
    assert find({"virtual_key": "second"}, choice=Choice(key=Secret("sk-callers-own"))).credential.key is None


def test_a_credential_that_has_not_arrived_is_worth_a_moments_wait():
    with pytest.raises(UnknownProvider):
        find(model="@late/gpt")


def test_a_credential_that_does_not_open_is_quarantined():
    broken = kit.sealed_row(bound_to=kit.SealedTo(kit.ORG, "another-group", "secret-1", 1))
    with pytest.raises(Quarantined):
        find(model="@main/gpt", snapshot=kit.snapshot(secrets=[broken]))


@pytest.mark.parametrize(("target", "choice", "key"), [
    ({"provider": "openai", "api_key": Secret("sk-of-target")}, Choice(key=Secret("sk-of-caller")), "sk-of-target"),
    ({"provider": "openai"}, Choice(key=Secret("sk-of-caller")), "sk-of-caller"),
])  # fmt: skip
def test_a_named_provider_is_called_with_the_key_that_came_along(target, choice, key):
    assert find(target, choice=choice).credential.key.reveal() == key


def test_a_named_provider_may_be_called_without_any_key():
    assert find({"provider": "openai"}).credential.key is None


@pytest.mark.parametrize("how", [
    {"choice": Choice(custom_host="https://evil.example/v1")},
    {"target": {"virtual_key": "main", "custom_host": "https://evil.example"}},
    {"choice": Choice(custom_host="https://api.openai.com.evil.example")},
    {"choice": Choice(custom_host="https://evil.example/api.openai.com")},
])  # fmt: skip
def test_an_organisations_key_goes_to_no_host_that_it_was_not_sealed_for(how):
    with pytest.raises(Forbidden, match="may not be sent to this host"):
        find(**{"target": {"virtual_key": "main"}, **how})


@pytest.mark.parametrize(("hosts", "passes"), [
    (("aiplatform.googleapis.com",), False), (("discoveryengine.googleapis.com",), True), ((), True),
])  # fmt: skip
def test_an_organisations_key_goes_to_another_service_only_when_it_was_sealed_for_that(hosts, passes):
    settings = {"vertex_project_id": "p", "vertex_region": "global"}
    row = kit.virtual_key("vertex", provider="vertex-ai", settings=settings)
    snapshot = kit.snapshot(virtual_keys=[row], secrets=[kit.sealed_row(hosts=hosts)])
    how = {"target": {"virtual_key": "vertex"}, "operation": "rerank", "snapshot": snapshot}
    if passes:
        assert find(**how).base_url == "https://aiplatform.googleapis.com/v1/projects/p/locations/global"
        return
    with pytest.raises(Forbidden, match="may not be sent to this host"):
        find(**how)


def test_an_organisations_key_goes_to_any_address_below_its_host():
    place = find({"virtual_key": "main"}, choice=Choice(custom_host="https://API.openai.com:8443/v2/"))
    assert place.base_url == "https://API.openai.com:8443/v2"


@pytest.mark.parametrize("url", [
    "http://10.0.0.1", "http://127.0.0.1:8080/v1", "http://localhost", "http://169.254.169.254/latest", "ftp://a.example", "a.example",
    "http://user:pass@a.example", "https://a.example/?q=1", "https://a.example/#x", "https://2130706433/", "http://[::1]/", "https://a.example:22",
])  # fmt: skip
@pytest.mark.parametrize("place", ["header", "config", "row"])
def test_a_custom_host_is_checked_wherever_it_was_written(url, place):
    snapshot = kit.snapshot(
        virtual_keys=[kit.virtual_key("main", secret=None, custom_host=url if place == "row" else None)]
    )
    target = {"virtual_key": "main", "custom_host": url if place == "config" else None}
    with pytest.raises(BadRequest, match="Invalid custom host"):
        find(target, choice=Choice(custom_host=url if place == "header" else None), snapshot=snapshot)


def test_a_trusted_private_host_may_be_a_custom_host():
    place = find({"provider": "openai", "custom_host": "http://127.0.0.1:9/v1"}, trusted=frozenset({"127.0.0.1"}))
    assert place.base_url == "http://127.0.0.1:9/v1"


@pytest.mark.parametrize(("header", "config", "found"), [
    ("https://h.example", "https://c.example", "https://h.example"), (None, "https://c.example", "https://c.example"), (None, None, "https://r.example"),
])  # fmt: skip
def test_the_requests_host_wins_over_the_targets_and_that_over_the_saved_one(header, config, found):
    snapshot = kit.snapshot(virtual_keys=[kit.virtual_key("main", secret=None, custom_host="https://r.example")])
    assert (
        find(
            {"virtual_key": "main", "custom_host": config}, choice=Choice(custom_host=header), snapshot=snapshot
        ).base_url
        == found
    )


# the body and the facts


def test_the_body_is_shaped_as_the_target_wants_it():
    config = {"virtual_key": "main", "default_params": {"a": 1}, "override_params": {"c": 3}, "drop_params": (("d",),)}
    assert find(config, body={"c": 2, "d": 2}).body == {
        "model": "m", "messages": MESSAGES, "a": 1, "c": 3,
    }  # fmt: skip


@pytest.mark.parametrize(("of_job", "of_target", "strict"), [
    (None, None, True), (True, None, True), (None, True, True), (False, None, False), (None, False, False), (True, False, False),
])  # fmt: skip
def test_answers_are_strict_unless_somebody_says_otherwise(of_job, of_target, strict):
    assert find({"virtual_key": "main", "strict": of_target}, strict=of_job).facts.strict is strict


def test_a_targets_settings_win_over_the_saved_ones():
    place = find({"virtual_key": "second", "settings": {"a": "target"}})
    assert dict(place.facts.settings) == {"anthropic_version": "v", "a": "target"}


@pytest.mark.parametrize(
    ("options", "wanted"),
    [(None, False), ({}, False), ({"include_usage": True}, True), ({"include_usage": 1}, False), ("yes", False)],
)
def test_tokens_at_the_end_of_a_stream_are_for_who_asked_for_them(options, wanted):
    assert find({"virtual_key": "main"}, body={"stream_options": options}, stream=True).facts.include_usage is wanted


def test_the_translation_sees_the_callers_headers():
    assert find({"virtual_key": "main"}, headers={"openai-beta": "x"}).facts.headers == {"openai-beta": "x"}


# what goes out unread


def forwarded(target, raw, *, body=None, row="few"):
    made = Job("proxy", DEFAULT_PLAN, body or {}, "", stream=False, choice=Choice(virtual_key=row), raw=raw)
    return locate(
        Target(**{"path": "config", **target}), made, PRINCIPAL, SNAPSHOT, denied=frozenset(), headers={}, providers=PROVIDERS,
        trusted_hosts=frozenset(),
    )  # fmt: skip


ALLOWED = {"override_params": {"model": "gpt-4o"}}


@pytest.mark.parametrize("target", [{}, ALLOWED, {"default_params": {"model": "gpt-4o"}}])
@pytest.mark.parametrize("content", [b"", b'[{"model":"dear"}]'])
def test_what_a_target_would_put_into_a_body_vouches_for_none_that_is_not_read(target, content):
    with pytest.raises(Forbidden, match="names none"):
        forwarded(target, Raw("POST", "/v1/audio/transcriptions", content))


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "DELETE"])
def test_what_runs_no_model_needs_none_and_gets_no_body(method):
    place = forwarded(ALLOWED, Raw(method, "/v1/files"))
    assert (place.body, place.facts.model) == ({}, "")


def test_a_model_that_is_read_is_checked_with_what_the_target_makes_of_it():
    raw = Raw("POST", "/v1/x", b'{"model":"dear"}', is_read=True)
    assert forwarded(ALLOWED, raw, body={"model": "dear"}).facts.model == "gpt-4o"
    with pytest.raises(Forbidden, match="dear"):
        forwarded({}, raw, body={"model": "dear"})


def test_a_slug_that_a_target_forces_still_names_the_provider_of_what_is_not_read():
    place = forwarded({"override_params": {"model": "@main/gpt"}}, Raw("POST", "/v1/files"))
    assert named(place) == "@main"


# whose key goes where


@pytest.mark.parametrize(("target", "choice", "key"), [
    ({"path": "config.targets[0]", "provider": "openai"}, Choice(key=Secret("k")), None),
    ({"path": "config.targets[0]", "provider": "openai", "api_key": Secret("t")}, Choice(key=Secret("k")), "t"),
    ({"path": "config.targets[0]"}, Choice(provider="openai", key=Secret("k")), "k"),
    ({"path": "config", "provider": "openai"}, Choice(key=Secret("k")), "k"),
    ({"path": "fallbacks[0]", "provider": "openai"}, Choice(key=Secret("k")), "k"),
])  # fmt: skip
def test_the_callers_key_is_not_spread_over_the_providers_of_a_config(target, choice, key):
    found = find(target, choice=choice).credential.key
    assert (found.reveal() if found else None) == key


@pytest.mark.parametrize(("saved", "asked", "passes"), [
    (None, "http://api.openai.com/v1", False), ("https://api.openai.com/v1", "http://api.openai.com/v1", False),
    (None, "HTTP://api.openai.com/v1", False), ("http://api.openai.com/v1", "http://api.openai.com/v2", True),
    (None, "https://api.openai.com/v2", True), ("http://api.openai.com/v1", None, True),
])  # fmt: skip
def test_a_saved_key_leaves_unencrypted_only_where_its_owner_says_so(saved, asked, passes):
    snapshot = kit.snapshot(virtual_keys=[kit.virtual_key("main", custom_host=saved)])
    how = {"choice": Choice(custom_host=asked), "snapshot": snapshot}
    if passes:
        assert find({"virtual_key": "main"}, **how).credential.key.reveal() == kit.PROVIDER_KEY
        return
    with pytest.raises(Forbidden, match="may not be sent to this host"):
        find({"virtual_key": "main"}, **how)


def test_a_header_replaces_a_plain_setting_of_an_account_and_no_sealed_one():
    plain = kit.msgspec.json.encode(kit.SealedPlaintext("k", ("api.openai.com",), {"aws_secret_access_key": "sealed"}))
    binding = kit.SealedTo(kit.ORG, kit.GROUP, "secret-1", 1)
    sealed = kit.SecretRow(
        "secret-1", kit.ORG, 1, kit.KID, kit.base64.b64encode(kit.seal(kit.PUBLIC, plain, binding)).decode()
    )
    snapshot = kit.snapshot(
        secrets=[sealed], virtual_keys=[kit.virtual_key("main", settings={"openai_project": "row"})]
    )
    choice = Choice(
        virtual_key="main", settings={"openai_project": "header", "aws_secret_access_key": Secret("header")}
    )
    settings = find(choice=choice, snapshot=snapshot).facts.settings
    assert (settings["openai_project"], settings["aws_secret_access_key"].reveal()) == ("header", "sealed")


@pytest.mark.parametrize(("target", "told"), [
    ({"path": "config.targets[0]"}, True), ({"path": "config.targets[0]", "virtual_key": "main"}, False),
])  # fmt: skip
def test_settings_in_headers_are_for_the_provider_that_the_headers_name(target, told):
    choice = Choice(virtual_key="main", settings={"openai_project": "header"})
    assert ("openai_project" in find(target, choice=choice).facts.settings) is told


# providers that the organisation added


def added(slug, base_url="https://api.acme.example/v1", **fields):
    return CustomProviderRow(id=f"{kit.ORG}/{slug}", org=kit.ORG, slug=slug, base_url=base_url, **fields)


def with_added(*rows, secret=None, key=None):
    """Return a snapshot with custom providers, and with the virtual key `mine` of the first."""
    mine = kit.virtual_key("mine", provider=rows[0].slug, secret=secret.id if secret else None, **(key or {}))
    return kit.snapshot(custom_providers=rows, virtual_keys=[mine], secrets=[secret] if secret else [])


@pytest.mark.parametrize("how", [
    {"model": "@mine/m"}, {"choice": Choice(provider="acme", key=Secret("k"))}, {"target": {"provider": "acme"}}, {"target": {"virtual_key": "mine"}},
])  # fmt: skip
def test_a_provider_that_the_organisation_added_is_found_however_it_is_named(how):
    place = find(**how, snapshot=with_added(added("acme")))
    assert (place.provider.id, place.base_url, place.facts.model) == ("acme", "https://api.acme.example/v1", "m")


def test_a_provider_of_the_release_comes_before_one_that_was_added_under_its_name():
    snapshot = with_added(added("openai"))
    assert find_provider("openai", kit.ORG, snapshot, PROVIDERS) is PROVIDERS["openai"]
    assert find(model="@mine/m", snapshot=snapshot).base_url == "https://api.openai.com/v1"


def test_a_provider_that_is_newer_than_the_snapshot_is_told_apart_from_no_provider():
    with pytest.raises(UnknownProvider):
        find(choice=Choice(provider="acme"))
    with pytest.raises(BadRequest) as raised:
        find()
    assert not isinstance(raised.value, UnknownProvider)


@pytest.mark.parametrize(("base_url", "hosts", "refused"), [
    ("https://api.acme.example/v1", ("api.acme.example",), False), ("https://api.acme.example:8443/v2", ("api.acme.example",), False),
    ("https://elsewhere.example/v1", ("api.acme.example",), True), ("http://api.acme.example/v1", ("api.acme.example",), False),
])  # fmt: skip
def test_a_key_goes_to_the_host_of_a_custom_provider_that_it_was_sealed_for_and_to_no_other(base_url, hosts, refused):
    secret = kit.sealed_row("secret-2", hosts=hosts)
    snapshot = with_added(added("acme", base_url), secret=secret)
    if refused:
        with pytest.raises(Forbidden):
            find(model="@mine/m", snapshot=snapshot)
    else:
        assert find(model="@mine/m", snapshot=snapshot).base_url == base_url


def test_a_key_whose_custom_provider_is_encrypted_is_not_sent_in_plain_text():
    secret = kit.sealed_row("secret-2", hosts=("api.acme.example",))
    with pytest.raises(Forbidden):
        find(
            model="@mine/m",
            choice=Choice(custom_host="http://api.acme.example/v1"),
            snapshot=with_added(added("acme"), secret=secret),
        )


@pytest.mark.parametrize(
    "base_url", ["http://169.254.169.254/v1", "https://10.0.0.1/v1", "https://{x}.example/v1", "https://u:p@a.example"]
)
def test_the_address_of_a_custom_provider_is_judged_as_a_custom_host_is(base_url):
    with pytest.raises(BadRequest, match="Invalid custom host"):
        find(model="@mine/m", snapshot=with_added(added("acme", base_url)))


def test_a_custom_provider_that_cannot_be_used_is_refused_to_who_names_it():
    snapshot = with_added(added("acme"), added("bad", headers={"host": "x"}))
    with pytest.raises(Quarantined):
        find(choice=Choice(provider="bad"), snapshot=snapshot)
    assert find(model="@mine/m", snapshot=snapshot).provider.id == "acme"


MINE = "https://vllm.example/v1"
ITS_OWN = [
    {"previous_response_id": "resp_1"}, {"conversation": "c"}, {"background": True}, {"store": True},
    {"tools": [{"type": "function", "name": "f"}, {"type": "web_search"}]}, {"input": "x", "prompt": {"id": "p"}},
]  # fmt: skip


def at(host, body, **rest):
    """Return the path at which OpenAI's Responses API is asked for at a custom host."""
    target = {"provider": "openai", "custom_host": host}
    return find(target, operation="responses", body={"input": "x", **body}, **rest).operation.path


@pytest.mark.parametrize("body", [{}, {"store": False}, {"tools": [{"type": "function", "name": "f"}]}, {"tools": []}])
def test_responses_at_a_host_of_ones_own_go_through_its_chat(body):
    assert at(MINE, body) == "/chat/completions"


@pytest.mark.parametrize("body", ITS_OWN)
def test_what_no_chat_can_do_is_asked_of_the_host_itself(body):
    assert at(MINE, body) == "/responses"


@pytest.mark.parametrize(
    "host", ["https://api.openai.com/v1", "https://eu.api.openai.com/v1", "https://API.openai.com"]
)
def test_the_provider_itself_is_asked_for_its_own_responses_wherever_it_stands(host):
    assert at(host, {}) == "/responses"


@pytest.mark.parametrize("host", ["https://api.openai.com.vllm.example", "https://my-api.openai.com/v1"])
def test_a_host_with_a_name_like_the_providers_is_another(host):
    assert at(host, {}) == "/chat/completions"


def test_responses_that_are_sent_on_unread_are_the_hosts_own():
    assert at(MINE, {}, raw=Raw("POST", None, b"{}", is_read=True)) == "/responses"


def test_tools_that_came_raw_are_looked_into():
    tools = msgspec.Raw(b'[{"type": "web_search"}]')
    assert [at(MINE, {"tools": tools}), at(MINE, {"input": msgspec.Raw(b'"x"')})] == ["/responses", "/chat/completions"]


@pytest.mark.parametrize(
    ("provider", "path"), [("anthropic", "/messages"), ("cohere", "/v2/chat"), ("openai", "/completions")]
)
def test_a_text_is_completed_by_the_chat_of_who_has_nothing_else(provider, path):
    assert find({"provider": provider}, operation="complete", body={"prompt": "x"}).operation.path == path


@pytest.mark.parametrize("operation", ["messages", "responses"])
def test_what_a_chat_can_stand_for_works_with_a_custom_provider(operation):
    place = find(model="@mine/m", operation=operation, snapshot=with_added(added("acme")))
    assert place.operation.path == "/chat/completions"


# what single models of an account have of their own


def account(**changes):
    """A snapshot whose `@main` is changed, its key bound to two hosts."""
    secret = kit.sealed_row(hosts=("api.openai.com", "eu.example.com"))
    return kit.snapshot(virtual_keys=[kit.virtual_key("main", **changes)], secrets=[secret])


HOSTED = {"large": ModelSettingsRow("https://eu.example.com/v1", {"x-region": "eu"})}


def test_a_model_has_its_own_address_and_the_others_the_accounts():
    snapshot = account(model_settings=HOSTED)
    assert find(model="@main/large", snapshot=snapshot).base_url == "https://eu.example.com/v1"
    assert find(model="@main/small", snapshot=snapshot).base_url == "https://api.openai.com/v1"
    moved = account(model_settings=HOSTED, custom_host="https://api.openai.com/v2")
    assert find(model="@main/large", snapshot=moved).base_url == "https://eu.example.com/v1"
    assert find(model="@main/small", snapshot=moved).base_url == "https://api.openai.com/v2"


def test_the_address_of_a_model_is_no_way_around_the_hosts_of_the_credential():
    snapshot = account(model_settings={"large": ModelSettingsRow("https://evil.example.com/v1")})
    with pytest.raises(Forbidden, match="may not be sent to this host"):
        find(model="@main/large", snapshot=snapshot)


def test_a_models_address_in_plain_http_is_as_safe_as_its_owner_says():
    plain = account(model_settings={"large": ModelSettingsRow("http://eu.example.com/v1")})
    assert find(model="@main/large", snapshot=plain).base_url == "http://eu.example.com/v1"
    with pytest.raises(Forbidden):
        find({"custom_host": "http://eu.example.com/v1"}, model="@main/small", snapshot=plain)
    with pytest.raises(Forbidden):
        find({"custom_host": "http://eu.example.com/v1"}, model="@main/large", snapshot=account(model_settings=HOSTED))


@pytest.mark.parametrize("model", ["gpt-4", ""])
def test_a_model_that_is_denied_is_refused_and_so_is_none_at_all(model):
    snapshot = account(denied_models=frozenset({"gpt-4"}))
    with pytest.raises((Forbidden, BadRequest)):
        find(model=f"@main/{model}", snapshot=snapshot)
    assert find(model="@main/gpt-4o", snapshot=snapshot).facts.model == "gpt-4o"


def test_a_call_that_names_no_model_is_refused_where_some_are_denied():
    snapshot = account(denied_models=frozenset({"gpt-4"}))
    with pytest.raises(Forbidden, match="names none"):
        find({"virtual_key": "main"}, model="", operation="models", snapshot=snapshot)


@pytest.mark.parametrize(
    ("model", "deployment", "version"),
    [
        ("fast", "dep-b", "2024-02-01"), ("gpt-4o", "dep-a", "2024-10-21"), ("dep-b", "dep-b", "2024-02-01"),
        ("never-heard-of", "dep-a", "2024-10-21"),
    ],
)  # fmt: skip
def test_a_model_means_one_of_an_azure_accounts_deployments(model, deployment, version):
    rows = (
        DeploymentRow("dep-b", "2024-02-01", ("fast", "dep-b")),
        DeploymentRow("dep-a", "2024-10-21", ("gpt-4o", "dep-a"), is_default=True),
    )
    settings = {"azure_resource_name": "res", "azure_api_version": "old"}
    snapshot = kit.snapshot(
        virtual_keys=[
            kit.virtual_key("az", provider="azure-openai", secret=None, settings=settings, deployments=rows),
        ]
    )
    place = find(model=f"@az/{model}", snapshot=snapshot)
    url = place.operation.url_for(place.base_url, place.facts)
    expected = f"/deployments/{deployment}/chat/completions?api-version={version}"
    assert url == f"https://res.openai.azure.com/openai{expected}"
    assert place.operation.encode(place.body, place.facts)["model"] == deployment


def test_a_credential_in_a_secret_manager_is_refused_in_words_and_another_target_may_serve():
    snapshot = account(secret_mappings=(SecretMappingRow("key", "ref-1"),))
    with pytest.raises(SecretUnresolved, match="is a secret reference, which this gateway cannot resolve yet") as told:
        find(model="@main/gpt-4o", snapshot=snapshot)
    assert (told.value.status, told.value.final) == (503, False)
