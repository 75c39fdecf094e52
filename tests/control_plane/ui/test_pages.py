"""Every page: needs a person, has no inline script or style, is well formed and can be used without a mouse."""

import pytest
from django.test import Client

from control_plane.accounts.services import create_setup_link, find_or_create_user
from control_plane.orgs.domains import claim_domain
from control_plane.orgs.invites import create_invite
from control_plane.orgs.services import add_workspace_user
from tests.control_plane.accounts.people_kit import PASSWORD, with_password, with_second_factor
from tests.control_plane.factories import make_key, make_member, make_tenant, make_virtual_key
from tests.control_plane.logs.log_kit import store
from tests.control_plane.ui.page_kit import Page, owner_of, signed_in

pytestmark = pytest.mark.django_db

INSIDE = [
    "/api", "/logs", "/gateways", "/keys", "/keys/create", "LOG", "REVOKE", "/account", "/people", "/people/invite", "ROLE",
    "REMOVE", "/people/sign-in", "/people/sign-in/rules", "/people/sign-in/provider", "/budgets", "/budgets/explain",
]  # fmt: skip
#: Pages of people who have a password, and of those who have a second factor too.
PROVED = ["/account/password", "/account/second-factor"]
SAFER = ["/account/second-factor/remove", "/account/recovery-codes"]
OUTSIDE = ["/login", "SETUP", "/setup/gone", "/nowhere", "INVITE", "/invite/gone", "CODE", "/sso/callback"]


@pytest.fixture
def tenant():
    return make_tenant()


def path_of(name, tenant):
    if name == "LOG":
        return f"/logs/{store(tenant, request={'a': 1}, response={'b': 2}, metadata={'team': 'x'}).id}"
    if name == "REVOKE":
        return f"/keys/{make_key(tenant).row.pk}/revoke"
    if name in {"ROLE", "REMOVE"}:
        return f"/people/{make_member(tenant).pk}/{name.lower()}"
    if name == "INVITE":
        return f"/invite/{create_invite(tenant.actor, 'new@example.com', 'admin').link().rpartition('/')[2]}"
    if name == "SETUP":
        return f"/setup/{create_setup_link(make_member(tenant)).reveal()}"
    return name


def status_of_file(path):
    """The status of a static file; the test client leaves it to us to close what is streamed."""
    answer = Client().get(path)
    answer.close()
    return answer.status_code


def half_way(tenant):
    """A browser that has given the right password of somebody with a second factor."""
    user = with_password(make_member(tenant))
    with_second_factor(user)
    client = Client()
    client.post("/login", {"email": user.email, "password": PASSWORD})
    return client


@pytest.fixture(params=[*INSIDE, *PROVED, *SAFER, *OUTSIDE])
def answer(request, tenant):
    make_virtual_key(tenant)
    store(tenant)
    create_invite(tenant.actor, "pending@example.com", "member")
    claim_domain(tenant.actor, "example.com")
    if request.param == "CODE":
        return half_way(tenant).get("/login/code")
    user = with_password(make_member(tenant, "owner"))
    if request.param in SAFER:
        with_second_factor(user)
    client = Client() if request.param in OUTSIDE else signed_in(user)
    return client.get(path_of(request.param, tenant))


@pytest.fixture
def shown(answer):
    return Page(answer)


def test_the_policy_forbids_everything_inline(answer):
    policy = answer["content-security-policy"]
    assert "default-src 'self'" in policy
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy


def test_no_page_has_an_inline_script_or_style_or_handler(shown):
    assert shown.all("style") == []
    assert [script for script in shown.all("script") if not script.get("src")] == []
    attributes = {name for _, given in shown.elements for name in given}
    assert {name for name in attributes if name == "style" or name.startswith("on")} == set()


def test_every_file_a_page_needs_is_our_own_and_there(shown):
    needed = [link["href"] for link in shown.all("link")] + [script["src"] for script in shown.all("script")]
    assert needed
    assert {path for path in needed if not path.startswith("/static/")} == set()
    assert [status_of_file(path) for path in needed] == [200] * len(needed)


def test_every_page_is_well_formed(shown):
    assert shown.unbalanced == []
    ids = [given["id"] for _, given in shown.elements if "id" in given]
    assert sorted(set(ids)) == sorted(ids)


def test_every_page_has_a_language_a_title_one_heading_and_a_way_to_its_content(shown):
    assert shown.all("html")[0]["lang"]
    assert len(shown.all("h1")) == len(shown.all("main")) == len(shown.all("title")) == 1
    assert shown.links()[0] == "#main"


def test_every_field_has_a_label_and_every_table_heads(shown):
    labels = {label["for"] for label in shown.all("label")}
    fields = [
        field for tag in ("input", "select", "textarea") for field in shown.all(tag) if field.get("type") != "hidden"
    ]
    assert {field["id"] for field in fields} - labels == set()
    assert all("scope" in head for head in shown.all("th"))
    assert len(shown.all("caption")) == len(shown.all("table"))


@pytest.mark.parametrize("name", [*INSIDE, *PROVED, *SAFER])
def test_a_stranger_is_sent_to_sign_in_and_comes_back(tenant, name):
    path = path_of(name, tenant)
    sent = Client().get(path)
    assert (sent.status_code, sent["location"]) == (302, f"/login?next={path.replace('/', '%2F')}")


def test_the_start_leads_to_the_logs():
    assert Client().get("/")["location"] == "/logs"


@pytest.mark.parametrize("name", INSIDE)
def test_browsers_keep_no_copy_of_a_page_with_rows(tenant, name):
    assert "no-store" in owner_of(tenant).get(path_of(name, tenant))["cache-control"]


def test_the_frame_names_organisation_and_person_and_marks_the_place(tenant):
    shown = Page(signed_in(make_member(tenant, "owner", "ada@example.com")).get("/keys"))
    assert f"{tenant.organisation.name} · ada@example.com" in shown.text
    assert [link["href"] for link in shown.all("a") if link.get("aria-current") == "page"] == ["/keys"]


def test_a_person_without_an_organisation_is_told_so_and_can_leave():
    answer = signed_in(find_or_create_user("alone@example.com")).get("/logs")
    shown = Page(answer)
    assert (answer.status_code, "no organisation" in shown.text) == (403, True)
    assert "/logout" in [form["action"] for form in shown.all("form")]


def test_a_member_sees_only_places_that_the_role_opens(tenant):
    member = make_member(tenant)
    add_workspace_user(tenant.actor, tenant.workspace, member.pk, "member")
    client = signed_in(member)
    assert "/gateways" not in Page(client.get("/logs")).links()
    refused = client.get("/gateways")
    assert (refused.status_code, "Ask an owner" in Page(refused).text) == (403, True)


@pytest.mark.parametrize("path", ["/logs", "/gateways", "/keys", "/budgets", "/budgets/explain"])
def test_pages_that_show_refuse_to_be_posted_to(tenant, path):
    assert owner_of(tenant).post(path).status_code == 405


def test_a_failure_of_ours_has_a_page_too():
    from django.template.loader import get_template

    assert "Something went wrong" in get_template("500.html").render()
