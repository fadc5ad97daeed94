"""What Secrets should hold: a root, what is trusted beside it, and leaves that are renewed long before they end.

A new root is trusted before anything is signed by it: it joins the bundle first, and leaves move to it OVERLAP later, so
that whoever reads the bundle now and then never meets a chain it does not know.
"""

import datetime
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization

from wfb_operator.certificates.issue import Pair, make_leaf, make_root

ROOT_SECRET = "wfb-ca"  # noqa: S105 — a name
RENEW_AFTER = 2 / 3
"""Of its life, after which a certificate is replaced."""

OVERLAP = datetime.timedelta(days=90)
"""Between a new root's joining the bundle and its first leaf. Pods get the bundle when they are made: those that run
longer than this across a change of the root, every six years, have to be started anew."""

type Data = Mapping[str, bytes]
"""A Secret's data, decoded."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """One Secret of a leaf, and the DNS names that it is for."""

    secret: str
    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Plan:
    """What to write, by Secret's name, and the roots that everyone has to trust from now on (PEM)."""

    writes: Mapping[str, Data] = field(default_factory=dict)
    bundle: bytes = b""
    reasons: tuple[str, ...] = ()
    """Why something is written, in words."""


def plan(now: datetime.datetime, held: Mapping[str, Data | None], wanted: Sequence[Wanted]) -> Plan:
    """What is to be done at a time (UTC, aware) about Secrets of which these are held; None for one that is missing.

    Nothing that can be used is thrown away: what cannot be read is made anew.
    """
    writes: dict[str, Data] = {}
    reasons: list[str] = []
    roots, key = _roots(now, held.get(ROOT_SECRET) or {})
    if not roots or _old(roots[0], now):
        made = make_root(now)
        reasons.append("a root is made" if not roots else "the root is renewed: leaves follow when all trust it")
        former_key = key if roots else b""
        roots, key = [x509.load_pem_x509_certificate(made.certificate), *roots], made.key
        writes[ROOT_SECRET] = {"ca.crt": _pem(roots), "ca.key": key, "former.key": former_key}
    bundle = _pem(roots)
    signer = _signer(
        now,
        roots,
        key,
        (held.get(ROOT_SECRET) or {}).get("former.key", b"") or writes.get(ROOT_SECRET, {}).get("former.key", b""),
    )
    for leaf in wanted:
        data = held.get(leaf.secret) or {}
        if why := _unfit(now, data, leaf.names, roots):
            pair = make_leaf(now, signer, leaf.names)
            writes[leaf.secret] = {"tls.crt": pair.certificate, "tls.key": pair.key, "ca.crt": bundle}
            reasons.append(f"{leaf.secret}: {why}")
        elif data.get("ca.crt") != bundle:
            writes[leaf.secret] = {**data, "ca.crt": bundle}
            reasons.append(f"{leaf.secret}: the roots to trust are others")
    return Plan(writes, bundle, tuple(reasons))


def _roots(now: datetime.datetime, data: Data) -> tuple[list[x509.Certificate], bytes]:
    """The roots that are still valid, the newest first, and the newest's key; none where that cannot be read."""
    key = data.get("ca.key", b"")
    try:
        found = x509.load_pem_x509_certificates(data.get("ca.crt", b""))
        loaded = serialization.load_pem_private_key(key, None)
    except (ValueError, TypeError):
        return [], b""
    if found[0].public_key() != loaded.public_key():
        return [], b""
    return [root for root in found if root.not_valid_after_utc > now], key


def _signer(now: datetime.datetime, roots: Sequence[x509.Certificate], key: bytes, former_key: bytes) -> Pair:
    """The root to sign with: the newest, but for as long as others may not trust it yet the one before."""
    newest = Pair(_pem(roots[:1]), key)
    if len(roots) < 2 or not former_key or now - roots[0].not_valid_before_utc > OVERLAP:
        return newest
    return Pair(_pem(roots[1:2]), former_key)


def _unfit(now: datetime.datetime, data: Data, names: Sequence[str], roots: Sequence[x509.Certificate]) -> str:
    """Why a leaf has to be made anew; empty where it has not."""
    try:
        leaf = x509.load_pem_x509_certificate(data.get("tls.crt", b""))
        key = serialization.load_pem_private_key(data.get("tls.key", b""), None)
        said = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (ValueError, TypeError, x509.ExtensionNotFound):
        return "there is no certificate that can be read"
    if leaf.public_key() != key.public_key():
        return "certificate and key do not belong together"
    if not set(names) <= set(said.get_values_for_type(x509.DNSName)):
        return "it is for other names"
    if _old(leaf, now):
        return "it has passed two thirds of its life"
    return "" if any(_signed(leaf, root) for root in roots) else "it is signed by a root that nobody trusts"


def _signed(leaf: x509.Certificate, root: x509.Certificate) -> bool:
    try:
        leaf.verify_directly_issued_by(root)
    except (InvalidSignature, ValueError, TypeError):
        return False
    return True


def _old(certificate: x509.Certificate, now: datetime.datetime) -> bool:
    begun, ends = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    return now >= begun + (ends - begun) * RENEW_AFTER


def _pem(certificates: Sequence[x509.Certificate]) -> bytes:
    return b"".join(c.public_bytes(serialization.Encoding.PEM) for c in certificates)
