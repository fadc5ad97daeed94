"""The throw-away certificate authority of one sidecar: it can speak for the providers' hosts and for nobody else.

A root signs one intermediate that is constrained to the given names; the root's key is never written and is gone when
`create` returns. The chain is served, because Java obeys name constraints on an intermediate but ignores them on a
trusted root itself (RFC 5280 §4.2.1.10; tried with OpenJDK 17, OpenSSL, Node, Go and Python).
"""

import datetime
import ipaddress
import json
import os
import secrets
from dataclasses import dataclass

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

LIFETIME = datetime.timedelta(days=365)
"""Longer than any pod lives: a chain that ends mid-flight would stop every process that trusts it."""

_FILE = "authority.json"


@dataclass(frozen=True, slots=True)
class Authority:
    """The intermediate that signs, and the certificates that are shown."""

    names: tuple[str, ...]
    """Host names, suffixes (`openai.azure.com` allows its subdomains) and IP addresses it may speak for."""
    root: x509.Certificate
    intermediate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    @property
    def root_pem(self) -> bytes:
        """The certificate that clients are asked to trust."""
        return self.root.public_bytes(serialization.Encoding.PEM)

    def leaf(self, host: str, now: datetime.datetime) -> tuple[bytes, bytes]:
        """(certificate chain PEM, private key PEM) for one host; valid a day less than the intermediate."""
        key = ec.generate_private_key(ec.SECP256R1())
        name: x509.GeneralName
        try:
            # OpenSSL takes a common name of digits and dots for a host name, and holds it against the constraints.
            name, shown = x509.IPAddress(ipaddress.ip_address(host)), f"address {host}"
        except ValueError:
            name, shown = x509.DNSName(host), host
        certificate = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, shown[:64])]))
            .issuer_name(self.intermediate.subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(days=1))
            .not_valid_after(self.intermediate.not_valid_after_utc - datetime.timedelta(days=1))
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(x509.SubjectAlternativeName([name]), critical=False)
            .add_extension(_key_usage(sign=True), critical=True)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .add_extension(_issuer_identifier(self.intermediate), critical=False)
            .sign(self.key, hashes.SHA256())
        )
        chain = certificate.public_bytes(serialization.Encoding.PEM) + self.intermediate.public_bytes(
            serialization.Encoding.PEM
        )
        return chain, _pem(key)


def open_authority(folder: str, names: tuple[str, ...], now: datetime.datetime) -> Authority:
    """The authority kept in a folder, or a new one where there is none or it may not speak for these names.

    Processes that trusted the old root would break with a new one, so it is kept across restarts of the sidecar.
    The folder is the sidecar's alone; the file's mode is 0600.
    """
    path = os.path.join(folder, _FILE)
    try:
        with open(path, encoding="ascii") as f:
            kept = _load(json.load(f))
        if set(names) <= set(kept.names) and kept.intermediate.not_valid_after_utc - now > datetime.timedelta(days=30):
            return kept
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        pass  # nothing kept, or damaged: nobody can have trusted what we cannot read back
    made = create(names, now)
    text = json.dumps(
        {
            "names": made.names,
            "root": made.root_pem.decode(),
            "intermediate": made.intermediate.public_bytes(serialization.Encoding.PEM).decode(),
            "key": _pem(made.key).decode(),
        }
    )
    write_private(path, text.encode())
    return made


def create(names: tuple[str, ...], now: datetime.datetime) -> Authority:
    """A new root and its constrained intermediate; the root's key does not outlive this call."""
    tag = secrets.token_hex(4)
    root_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    root_name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"workflow budget sidecar root {tag}")])
    until = now + LIFETIME
    root = (
        _authority_builder(root_name, root_name, root_key, now, until, path_length=1)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(root_key.public_key()), critical=False)
        .sign(root_key, hashes.SHA256())
    )
    intermediate = (
        _authority_builder(
            x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"workflow budget sidecar {tag}")]),
            root_name,
            key,
            now,
            until,
            path_length=0,
        )
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(_issuer_identifier(root), critical=False)
        .add_extension(_constraints(names), critical=True)
        .sign(root_key, hashes.SHA256())
    )
    return Authority(tuple(names), root, intermediate, key)


def write_private(path: str, content: bytes, mode: int = 0o600) -> None:
    """Replaces a file in one step, so that a reader never sees half of it."""
    scratch = f"{path}.{os.getpid()}"
    fd = os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    try:
        while content:
            content = content[os.write(fd, content) :]
    finally:
        os.close(fd)
    os.replace(scratch, path)


def _load(kept: dict[str, object]) -> Authority:
    key = serialization.load_pem_private_key(str(kept["key"]).encode(), None)
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise ValueError("the kept key is not an elliptic-curve key")
    names = kept["names"]
    if not isinstance(names, list):
        raise ValueError("the kept names are not a list")
    return Authority(
        tuple(str(n) for n in names),
        x509.load_pem_x509_certificate(str(kept["root"]).encode()),
        x509.load_pem_x509_certificate(str(kept["intermediate"]).encode()),
        key,
    )


def _pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _key_usage(*, sign: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=sign,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=not sign,
        crl_sign=not sign,
        encipher_only=False,
        decipher_only=False,
    )


def _authority_builder(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePrivateKey,
    now: datetime.datetime,
    until: datetime.datetime,
    *,
    path_length: int,
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(until)
        .add_extension(x509.BasicConstraints(ca=True, path_length=path_length), critical=True)
        .add_extension(_key_usage(sign=False), critical=True)
    )


def _issuer_identifier(issuer: x509.Certificate) -> x509.AuthorityKeyIdentifier:
    ski = issuer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    return x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(ski)


def _constraints(names: tuple[str, ...]) -> x509.NameConstraints:
    """Only these names. Where no address is permitted every address is excluded: DNS constraints leave them open."""
    permitted: list[x509.GeneralName] = []
    addresses = False
    for name in names:
        try:
            permitted.append(x509.IPAddress(ipaddress.ip_network(name)))
            addresses = True
        except ValueError:
            permitted.append(x509.DNSName(name))
    excluded: list[x509.GeneralName] = [
        x509.IPAddress(ipaddress.ip_network("0.0.0.0/0")),
        x509.IPAddress(ipaddress.ip_network("::/0")),
    ]
    return x509.NameConstraints(permitted, None if addresses else excluded)
