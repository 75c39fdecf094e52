"""A domain is whose TXT record says so: asked of a real name server on this machine."""

import socket
import threading
from io import StringIO

import dns.message
import dns.rcode
import dns.rrset
import pytest
from django.core.management import CommandError, call_command

from control_plane.core.errors import Conflict, Denied, Invalid
from control_plane.core.models import AuditEvent
from control_plane.orgs.domains import claim_domain, confirm_domain, record_of, remove_domain, texts_at, verify_domain
from control_plane.orgs.models import Domain
from control_plane.orgs.services import principal_of_user
from tests.control_plane.factories import make_member, make_tenant

pytestmark = pytest.mark.django_db


@pytest.fixture
def tenant():
    return make_tenant()


@pytest.fixture
def zone(settings):
    """TXT records by name, served over UDP."""
    records = {}
    server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    server.bind(("127.0.0.1", 0))
    settings.DNS_SERVERS = (f"127.0.0.1:{server.getsockname()[1]}",)

    def serve():
        while (packet := server.recvfrom(4096))[0] != b"stop":
            query = dns.message.from_wire(packet[0])
            name = query.question[0].name
            answer = dns.message.make_response(query)
            found = records.get(name.to_text(omit_final_dot=True))
            if found is None:
                answer.set_rcode(dns.rcode.NXDOMAIN)
            elif found == "broken":
                answer.set_rcode(dns.rcode.SERVFAIL)
            else:
                answer.answer.append(dns.rrset.from_text(name, 1, "IN", "TXT", *(f'"{text}"' for text in found)))
            server.sendto(answer.to_wire(), packet[1])

    thread = threading.Thread(target=serve)
    thread.start()
    yield records
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stopper:
        stopper.sendto(b"stop", server.getsockname())
    thread.join()
    server.close()


def test_a_domain_is_verified_by_its_record_among_others(tenant, zone):
    domain = claim_domain(tenant.actor, "Corp.Example.")
    name, text = record_of(domain)
    zone[name] = ["v=spf1 -all", text]
    assert (domain.name, domain.verified_at) == ("corp.example", None)
    assert verify_domain(tenant.actor, domain).verified_at is not None
    assert set(AuditEvent.objects.filter(resource_type="domain").values_list("action", flat=True)) == {
        "create",
        "verify",
    }


def test_without_the_record_it_is_not(tenant, zone):
    domain = claim_domain(tenant.actor, "corp.example")
    name, text = record_of(domain)
    for records in (None, ["other"], [text + "x"]):
        zone[name] = records
        with pytest.raises(Invalid, match="no TXT record"):
            verify_domain(tenant.actor, domain)
    assert Domain.objects.get().verified_at is None


def test_name_servers_that_fail_are_told_apart(zone):
    zone["a.example"] = "broken"
    with pytest.raises(Invalid, match="no answer"):
        texts_at("a.example")


def test_the_record_of_one_organisation_proves_nothing_for_another(tenant, zone):
    domain = claim_domain(tenant.actor, "corp.example")
    other = claim_domain(make_tenant().actor, "corp.example")
    zone[record_of(domain)[0]] = [record_of(domain)[1]]
    with pytest.raises(Invalid):
        verify_domain(tenant.actor, other)


def test_a_domain_has_one_owner(tenant):
    other = make_tenant()
    confirm_domain(tenant.actor, claim_domain(tenant.actor, "corp.example"))
    with pytest.raises(Conflict):
        confirm_domain(other.actor, claim_domain(other.actor, "corp.example"))
    remove_domain(tenant.actor, Domain.objects.get(organisation=tenant.organisation))
    assert confirm_domain(other.actor, Domain.objects.get()).verified_at is not None


@pytest.mark.parametrize(
    "name",
    [
        "",
        "corp",
        "-a.example",
        "a b.example",
        "a.example/",
        "é.example",
        "*.a.example",
        "1.2.3.4",
        "a" * 64 + ".example",
        "a\x00.example",
    ],
)
def test_what_is_no_domain_is_refused(tenant, name):
    with pytest.raises(Invalid):
        claim_domain(tenant.actor, name)


def test_claiming_twice_is_one_claim(tenant):
    assert claim_domain(tenant.actor, "corp.example") == claim_domain(tenant.actor, "corp.example")


def test_only_owners_touch_domains(tenant):
    domain = claim_domain(tenant.actor, "corp.example")
    admin = principal_of_user(make_member(tenant, "admin"))
    for attempt in (
        lambda: claim_domain(admin, "b.example"),
        lambda: verify_domain(admin, domain),
        lambda: remove_domain(admin, domain),
    ):
        with pytest.raises(Denied):
            attempt()


def test_an_operator_verifies_without_dns(tenant):
    out = StringIO()
    call_command("verify_domain", tenant.organisation.slug, "corp.example", stdout=out)
    assert "corp.example belongs to" in out.getvalue()
    assert Domain.objects.get().verified_at is not None
    for arguments in (
        ("nobody", "corp.example"),
        (make_tenant().organisation.slug, "corp.example"),
        (tenant.organisation.slug, "x"),
    ):
        with pytest.raises(CommandError):
            call_command("verify_domain", *arguments)
