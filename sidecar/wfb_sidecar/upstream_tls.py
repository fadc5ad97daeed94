"""TLS towards providers: chain and name are verified, always.

Without mitmproxy's addons nobody sets this up, and a bare pyOpenSSL context checks nothing.
"""

import ipaddress
from typing import Any

from OpenSSL import SSL, crypto

_NO_PARTIAL_WILDCARDS = 0x4
_NEVER_CHECK_SUBJECT = 0x20
"""X509_CHECK_FLAG_* of OpenSSL's x509v3.h: names count only in subjectAltName."""


class UpstreamTls:
    """One client context for all providers."""

    def __init__(self, roots: bytes) -> None:
        """`roots`: PEM certificates; raises ValueError where there is none."""
        context = SSL.Context(SSL.TLS_CLIENT_METHOD)
        context.set_min_proto_version(SSL.TLS1_2_VERSION)
        context.set_verify(SSL.VERIFY_PEER, None)
        store = context.get_cert_store()
        count = 0
        if store is not None:
            for block in roots.split(b"-----END CERTIFICATE-----"):
                start = block.find(b"-----BEGIN CERTIFICATE-----")
                if start < 0:
                    continue
                try:
                    store.add_cert(
                        crypto.load_certificate(crypto.FILETYPE_PEM, block[start:] + b"-----END CERTIFICATE-----\n")
                    )
                    count += 1
                except (crypto.Error, ValueError):
                    continue  # bundles in the wild hold the odd certificate that OpenSSL does not take
        if not count:
            raise ValueError("the bundle of upstream roots holds no certificate")
        self._context = context

    def connection(self, name: str, *, http2: bool = False) -> SSL.Connection:
        """A connection in connect state that will accept only a certificate for `name`; over HTTP/2 where asked for."""
        conn = SSL.Connection(self._context)
        lib: Any = SSL._lib  # type: ignore[attr-defined]  # noqa: SLF001 — pyOpenSSL has no public call for it
        param = lib.SSL_get0_param(conn._ssl)  # noqa: SLF001
        lib.X509_VERIFY_PARAM_set_hostflags(param, _NO_PARTIAL_WILDCARDS | _NEVER_CHECK_SUBJECT)
        try:
            packed = ipaddress.ip_address(name).packed
        except ValueError:
            host = name.encode("idna")
            conn.set_tlsext_host_name(host)
            ok = lib.X509_VERIFY_PARAM_set1_host(param, host, len(host))
        else:
            ok = lib.X509_VERIFY_PARAM_set1_ip(param, packed, len(packed))
        if ok != 1:
            raise ValueError(f"{name!r} cannot be verified as a host name")
        conn.set_alpn_protos([b"h2"] if http2 else [b"http/1.1"])
        conn.set_connect_state()
        return conn
