"""One-time codes count once, near their time; recovery codes once."""

import pyotp
import pytest

from control_plane.accounts import second_factor
from control_plane.accounts.models import RecoveryCode, SecondFactor
from control_plane.core.models import AuditEvent
from tests.control_plane.factories import make_member, make_tenant

pytestmark = pytest.mark.django_db
NOW = 1_800_000_000.0


@pytest.fixture
def user():
    return make_member(make_tenant(), "owner", "ada@example.com")


def code_at(user, seconds=0.0):
    seed = second_factor.seed_of(SecondFactor.objects.get(user=user))
    return pyotp.TOTP(seed).at(int(NOW + seconds))


def enrolled(user):
    second_factor.begin_enrolment(user)
    codes = second_factor.confirm_enrolment(user, code_at(user, -60), now_s=NOW - 60)
    return second_factor.factor_of(user), codes


def test_the_published_example_of_the_standard_is_met():
    # RFC 6238, appendix B: the seed "12345678901234567890" at 59 s, cut to six digits.
    assert pyotp.TOTP("GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ").at(59) == "287082"


def test_a_second_factor_counts_only_after_its_first_code(user):
    second_factor.begin_enrolment(user)
    assert second_factor.factor_of(user) is None
    assert second_factor.confirm_enrolment(user, "000000" if code_at(user) != "000000" else "000001", now_s=NOW) is None
    assert second_factor.factor_of(user) is None
    assert len(second_factor.confirm_enrolment(user, code_at(user), now_s=NOW)) == 10
    assert second_factor.factor_of(user) is not None


def test_looking_twice_shows_the_same_seed_until_it_counts(user):
    first = second_factor.seed_of(second_factor.begin_enrolment(user))
    assert second_factor.seed_of(second_factor.begin_enrolment(user)) == first
    second_factor.confirm_enrolment(user, code_at(user), now_s=NOW)
    assert second_factor.begin_enrolment(user) is None


def test_a_code_is_accepted_once(user):
    factor, _ = enrolled(user)
    assert second_factor.accept_code(factor, code_at(user), now_s=NOW)
    assert not second_factor.accept_code(factor, code_at(user), now_s=NOW)
    assert not second_factor.accept_code(factor, code_at(user), now_s=NOW + 29)


def test_no_code_from_before_an_accepted_one_counts(user):
    factor, _ = enrolled(user)
    assert second_factor.accept_code(factor, code_at(user), now_s=NOW)
    assert not second_factor.accept_code(factor, code_at(user, -30), now_s=NOW)
    assert second_factor.accept_code(factor, code_at(user, 30), now_s=NOW + 30)


def test_the_code_that_enrolled_does_not_sign_in_as_well(user):
    second_factor.begin_enrolment(user)
    code = code_at(user)
    second_factor.confirm_enrolment(user, code, now_s=NOW)
    assert not second_factor.accept_code(second_factor.factor_of(user), code, now_s=NOW)


@pytest.mark.parametrize(("drift", "accepted"), [(-60, False), (-30, True), (0, True), (30, True), (60, False)])
def test_a_clock_may_be_one_step_off(user, drift, accepted):
    second_factor.begin_enrolment(user)
    second_factor.confirm_enrolment(user, code_at(user, -3600), now_s=NOW - 3600)
    factor = second_factor.factor_of(user)
    assert second_factor.accept_code(factor, code_at(user, drift), now_s=NOW) is accepted


@pytest.mark.parametrize("code", ["", "12345", "x" * 6, "٣٣٣٣٣٣", "\x00", "\ud800"])
def test_anything_else_is_no_code(user, code):
    factor, _ = enrolled(user)
    assert not second_factor.accept_code(factor, code, now_s=NOW)


def test_a_code_may_be_typed_with_a_gap(user):
    factor, _ = enrolled(user)
    code = code_at(user)
    assert second_factor.accept_code(factor, f"{code[:3]} {code[3:]}", now_s=NOW)


def test_a_recovery_code_works_once_however_it_is_typed(user):
    _, codes = enrolled(user)
    assert second_factor.accept_recovery_code(user, codes[0].upper().replace("-", " "))
    assert not second_factor.accept_recovery_code(user, codes[0])
    assert second_factor.recovery_codes_left(user) == 9
    assert AuditEvent.objects.filter(action="use_recovery_code").count() == 1


def test_a_recovery_code_is_nobody_elses(user):
    _, codes = enrolled(user)
    other = make_member(make_tenant())
    enrolled(other)
    assert not second_factor.accept_recovery_code(other, codes[0])


def test_recovery_codes_and_seeds_are_not_in_the_database(user):
    _, codes = enrolled(user)
    rows = str(list(RecoveryCode.objects.values())) + str(list(SecondFactor.objects.values()))
    seed = second_factor.seed_of(SecondFactor.objects.get())
    assert not any(text in rows for text in (seed, codes[0], codes[0].replace("-", "")))


def test_new_recovery_codes_end_the_old_ones(user):
    _, old = enrolled(user)
    new = second_factor.renew_recovery_codes(user)
    assert not second_factor.accept_recovery_code(user, old[0])
    assert second_factor.accept_recovery_code(user, new[0])


def test_what_is_removed_is_gone_with_its_codes_and_told(user):
    enrolled(user)
    assert second_factor.remove_factor(user)
    assert (second_factor.factor_of(user), RecoveryCode.objects.count()) == (None, 0)
    assert not second_factor.remove_factor(user)
    trail = AuditEvent.objects.filter(resource_type="secondfactor").values_list("action", flat=True)
    assert sorted(trail) == ["create", "delete"]


def test_the_qr_code_is_an_image_without_style_or_script(user):
    factor = second_factor.begin_enrolment(user)
    svg = second_factor.qr_code(factor)
    assert svg.startswith("<svg")
    assert "style" not in svg
    assert "script" not in svg
