import msgspec
import pytest

from shared import wire


def test_the_control_plane_refuses_fields_that_it_does_not_know_at_enrolment():
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(b'{"token":"t","identity_pub":"","sealing_pub":"","extra":1}', type=wire.EnrolRequest)


def test_a_report_of_a_newer_gateway_is_still_read():
    report = msgspec.json.decode(
        b'{"instance":"i","boot_id":"b","state":"ACTIVE","added_later":1}', type=wire.StatusReport
    )
    assert report.state == "ACTIVE"


def test_header_constants_are_lower_case():
    headers = [
        value
        for name, value in vars(wire).items()
        if name.isupper() and isinstance(value, str) and value.startswith("x-")
    ]
    assert headers
    assert all(value == value.lower() for value in headers)
