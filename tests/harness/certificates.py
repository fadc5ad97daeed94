"""Throw-away certificates: an authority, servers good and bad, and clients; all as PEM files."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

PROVIDER_HOSTS = (
    "aiplatform.googleapis.com",
    "api.anthropic.com",
    "api.cerebras.ai",
    "api.cohere.com",
    "api.deepseek.com",
    "api.fireworks.ai",
    "api.groq.com",
    "api.mistral.ai",
    "api.openai.com",
    "eu.api.openai.com",
    "api.perplexity.ai",
    "api.together.xyz",
    "api.x.ai",
    "bedrock-runtime.us-east-1.amazonaws.com",
    "generativelanguage.googleapis.com",
    "openrouter.ai",
    "router.huggingface.co",
    "tested.openai.azure.com",
    "us-central1-aiplatform.googleapis.com",
)
"""The providers' hosts that the simulator stands in for."""

PROVIDER_NAMES = (*PROVIDER_HOSTS, "localhost", "127.0.0.1")
"""The names that a good server certificate is for."""

_DAY = timedelta(days=1)


class Pair(NamedTuple):
    """A certificate and its key, PEM files."""

    certificate: Path
    key: Path


@dataclass(frozen=True)
class Authority:
    """A root that issues server and client certificates into one folder."""

    folder: Path
    root: Path
    """Its certificate (PEM): what a client must trust."""
    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    @classmethod
    def make(cls, folder: Path, name: str = "Test Root") -> "Authority":
        """A new root, written into the folder as ``<name>.pem``, spaces as dashes, in lower case."""
        folder.mkdir(parents=True, exist_ok=True)
        key = ec.generate_private_key(ec.SECP256R1())
        now = datetime.now(UTC)
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        certificate = (
            _builder(subject, key, now - _DAY, now + 30 * _DAY)
            .issuer_name(subject)
            .add_extension(x509.BasicConstraints(ca=True, path_length=1), critical=True)
            .add_extension(_key_usage(authority=True), critical=True)
            .sign(key, hashes.SHA256())
        )
        root = folder / f"{name.lower().replace(' ', '-')}.pem"
        root.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        return cls(folder, root, certificate, key)

    def server(
        self,
        file: str,
        names: tuple[str, ...] = PROVIDER_NAMES,
        *,
        valid_from: datetime | None = None,
        valid_to: datetime | None = None,
    ) -> Pair:
        """A server certificate for names and addresses, from yesterday to a month ahead unless told otherwise."""
        return self._issue(file, names, ExtendedKeyUsageOID.SERVER_AUTH, valid_from, valid_to)

    def client(self, file: str, name: str) -> Pair:
        """A client certificate whose common name is the client's."""
        return self._issue(file, (name,), ExtendedKeyUsageOID.CLIENT_AUTH, None, None)

    def _issue(
        self,
        file: str,
        names: tuple[str, ...],
        purpose: x509.ObjectIdentifier,
        valid_from: datetime | None,
        valid_to: datetime | None,
    ) -> Pair:
        key = ec.generate_private_key(ec.SECP256R1())
        now = datetime.now(UTC)
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0])])
        certificate = (
            _builder(subject, key, valid_from or now - _DAY, valid_to or now + 30 * _DAY)
            .issuer_name(self.certificate.subject)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_key_usage(authority=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
            .add_extension(x509.SubjectAlternativeName([_alternative(name) for name in names]), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key()),
                critical=False,
            )
            .sign(self.key, hashes.SHA256())
        )
        pair = Pair(self.folder / f"{file}.pem", self.folder / f"{file}.key")
        pair.certificate.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        pair.key.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        return pair


class Certificates(NamedTuple):
    """One of each: what a client trusts, servers good and bad, and a client."""

    root: Path
    """The root to trust; it signed everything but unknown_issuer."""
    good: Pair
    wrong_name: Pair
    """Valid, for another host."""
    expired: Pair
    unknown_issuer: Pair
    """For the right names, by a root that nobody trusts."""
    client: Pair
    client_unknown_issuer: Pair


def make_certificates(folder: Path) -> Certificates:
    """The usual set, in a folder."""
    authority = Authority.make(folder)
    stranger = Authority.make(folder, "Unknown Root")
    now = datetime.now(UTC)
    return Certificates(
        root=authority.root,
        good=authority.server("good"),
        wrong_name=authority.server("wrong-name", ("api.example.com",)),
        expired=authority.server("expired", valid_from=now - 10 * _DAY, valid_to=now - _DAY),
        unknown_issuer=stranger.server("unknown-issuer"),
        client=authority.client("client", "client.test"),
        client_unknown_issuer=stranger.client("client-unknown-issuer", "client.test"),
    )


def _builder(
    subject: x509.Name, key: ec.EllipticCurvePrivateKey, start: datetime, end: datetime
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(end)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )


def _key_usage(*, authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        key_cert_sign=authority,
        crl_sign=authority,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _alternative(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(name))
    except ValueError:
        return x509.DNSName(name)
