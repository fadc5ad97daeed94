"""The plan for certificates: what is written when, and that nobody ever meets a chain that he does not know."""

import datetime
import itertools

import pytest
from cryptography import x509

from wfb_operator.certificates.issue import LEAF_DAYS, ROOT_DAYS
from wfb_operator.certificates.plan import OVERLAP, ROOT_SECRET, Wanted, plan

NOW = datetime.datetime(2027, 1, 15, 12, tzinfo=datetime.UTC)
DAY = datetime.timedelta(days=1)
LEDGER = Wanted("wfb-ledger-tls", ("wfb-ledger.wfb-system.svc",))
INJECTOR = Wanted("wfb-injector-tls", ("wfb-injector.wfb-system.svc",))
BOTH = (LEDGER, INJECTOR)


def held(*plans):
    """What Secrets hold after these plans were carried out."""
    found = {}
    for one in plans:
        found |= one.writes
    return found


def trusted(leaf, bundle):
    """Whether one of a bundle's roots signed a leaf."""
    certificate = x509.load_pem_x509_certificate(leaf)
    for root in x509.load_pem_x509_certificates(bundle):
        try:
            certificate.verify_directly_issued_by(root)
        except Exception:
            continue
        return True
    return False


def test_at_first_everything_is_made():
    """One root, a leaf for each Service, and every Secret says what to trust."""
    first = plan(NOW, {}, BOTH)
    assert set(first.writes) == {ROOT_SECRET, LEDGER.secret, INJECTOR.secret}
    for one in BOTH:
        data = first.writes[one.secret]
        assert trusted(data["tls.crt"], first.bundle)
        assert data["ca.crt"] == first.bundle
        names = x509.load_pem_x509_certificate(data["tls.crt"]).extensions.get_extension_for_class(
            x509.SubjectAlternativeName
        )
        assert names.value.get_values_for_type(x509.DNSName) == list(one.names)


def test_what_is_good_is_left_alone():
    """A second look writes nothing."""
    first = plan(NOW, {}, BOTH)
    again = plan(NOW + DAY, held(first), BOTH)
    assert (again.writes, again.bundle) == ({}, first.bundle)


def test_a_leaf_is_renewed_at_two_thirds_of_its_life():
    """Thirty days before it would end, by the same root."""
    first = plan(NOW, {}, BOTH)
    assert plan(NOW + (LEAF_DAYS * 2 // 3 - 1) * DAY, held(first), BOTH).writes == {}
    later = plan(NOW + (LEAF_DAYS * 2 // 3 + 1) * DAY, held(first), BOTH)
    assert set(later.writes) == {LEDGER.secret, INJECTOR.secret}
    assert later.bundle == first.bundle


DAMAGE = {
    "missing": lambda data: None,
    "empty": lambda data: {},
    "no PEM": lambda data: {**data, "tls.crt": b"hello"},
    "another key": lambda data: {**data, "tls.key": plan(NOW, {}, BOTH).writes[LEDGER.secret]["tls.key"]},
    "another root's": lambda data: plan(NOW, {}, BOTH).writes[LEDGER.secret],
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_a_leaf_that_cannot_be_used_is_made_anew(damage):
    """Whatever happened to the Secret, the next look mends it, and touches nothing else."""
    first = plan(NOW, {}, BOTH)
    broken = held(first)
    broken[LEDGER.secret] = damage(broken[LEDGER.secret])
    mended = plan(NOW + DAY, broken, BOTH)
    assert set(mended.writes) == {LEDGER.secret}
    assert trusted(mended.writes[LEDGER.secret]["tls.crt"], first.bundle)


def test_other_names_need_another_leaf():
    """A release that moved to another namespace gets certificates for its new names."""
    first = plan(NOW, {}, BOTH)
    moved = Wanted(LEDGER.secret, ("wfb-ledger.other.svc",))
    assert set(plan(NOW + DAY, held(first), (moved, INJECTOR)).writes) == {LEDGER.secret}


def test_over_twenty_years_nobody_meets_a_chain_that_he_does_not_know():
    """At every look each leaf is valid, signed by a root of the bundle, and known to whoever read the bundle OVERLAP ago."""
    secrets, bundles = {}, []
    for day in itertools.takewhile(lambda d: d < 20 * 365, itertools.count(0, 15)):
        now = NOW + day * DAY
        done = plan(now, secrets, BOTH)
        secrets |= done.writes
        bundles.append((now, done.bundle))
        before = [bundle for then, bundle in bundles if then <= now - OVERLAP + 16 * DAY]
        for one in BOTH:
            leaf = secrets[one.secret]["tls.crt"]
            certificate = x509.load_pem_x509_certificate(leaf)
            assert certificate.not_valid_after_utc > now + DAY
            assert trusted(leaf, done.bundle)
            assert not before or trusted(leaf, before[-1])
    assert len({bundle for _, bundle in bundles}) >= 20 * 365 // ROOT_DAYS
