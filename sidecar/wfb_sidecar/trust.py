"""The files that make a process trust the sidecar, and the roots by which the sidecar trusts providers."""

import os
import re
import ssl
import warnings

import certifi
from cryptography import x509
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, pkcs12

from wfb_sidecar.authority import write_private

SYSTEM_BUNDLES = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
)
"""Where Debian, Fedora, SUSE and Alpine keep their roots."""


def system_roots() -> bytes:
    """The system's bundle in PEM, else certifi's."""
    default = ssl.get_default_verify_paths().cafile
    for path in (default, *SYSTEM_BUNDLES, certifi.where()):
        if path and os.path.isfile(path):
            with open(path, "rb") as f:
                content = f.read()
            if b"BEGIN CERTIFICATE" in content:
                return content
    raise FileNotFoundError("no bundle of root certificates was found: install ca-certificates")


def write_trust(folder: str, root_pem: bytes, extra: bytes) -> tuple[str, str]:
    """Writes (lone root, combined bundle) and returns their paths.

    The lone root is for variables that add (NODE_EXTRA_CA_CERTS), the bundle for variables that replace
    (SSL_CERT_FILE): everything but the providers is passed through, so the public roots must stay in it.
    """
    lone, bundle = os.path.join(folder, "ca.pem"), os.path.join(folder, "ca-bundle.pem")
    write_private(lone, root_pem, 0o644)
    write_private(bundle, b"\n".join(x.rstrip() for x in (system_roots(), extra, root_pem) if x) + b"\n", 0o644)
    return lone, bundle


_CERTIFICATE = re.compile(rb"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)

JAVA_PASSWORD = b"changeit"
"""Java's own default for stores of certificates; it keeps nothing secret."""


def write_java_truststore(folder: str, bundle: str) -> str:
    """Writes the roots of a bundle as a PKCS #12 store with the attribute by which Java trusts them; returns its path."""
    with open(bundle, "rb") as f:
        roots = [root for pem in _CERTIFICATE.findall(f.read()) if (root := _read(pem)) is not None]
    entries = [pkcs12.PKCS12Certificate(root, f"root-{n}".encode()) for n, root in enumerate(roots)]
    path = os.path.join(folder, "truststore.p12")
    encryption = BestAvailableEncryption(JAVA_PASSWORD)
    write_private(path, pkcs12.serialize_java_truststore(entries, encryption), 0o644)
    return path


def _read(pem: bytes) -> x509.Certificate | None:
    """A root; None for one that breaks RFC 5280, as an old one in the systems' bundles does by its serial number."""
    with warnings.catch_warnings(record=True) as broken:
        warnings.simplefilter("always")
        try:
            root = x509.load_pem_x509_certificate(pem)
        except ValueError:
            return None
    return None if broken else root
