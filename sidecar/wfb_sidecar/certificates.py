"""Server contexts for intercepted hosts: one certificate a host, made at first use."""

import datetime
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from OpenSSL import SSL, crypto

from wfb_sidecar.authority import Authority


class Certificates:
    """Contexts by host; the hosts are those of the table, so the cache stays small."""

    def __init__(self, authority: Authority) -> None:
        self._authority = authority
        self._contexts: dict[str, SSL.Context] = {}

    def connection(self, host: str) -> SSL.Connection:
        """A connection in accept state that shows the host's certificate."""
        context = self._contexts.get(host)
        if context is None:
            context = self._contexts[host] = self._make(host)
        conn = SSL.Connection(context)
        conn.set_accept_state()
        return conn

    def _make(self, host: str) -> SSL.Context:
        chain, key = self._authority.leaf(host, datetime.datetime.now(datetime.UTC))
        leaf, *rest = x509.load_pem_x509_certificates(chain)
        context = SSL.Context(SSL.TLS_SERVER_METHOD)
        context.set_min_proto_version(SSL.TLS1_2_VERSION)
        context.use_certificate(crypto.X509.from_cryptography(leaf))
        for issuer in rest:
            context.add_extra_chain_cert(crypto.X509.from_cryptography(issuer))
        context.use_privatekey(crypto.PKey.from_cryptography_key(serialization.load_pem_private_key(key, None)))  # type: ignore[arg-type]
        context.set_session_cache_mode(SSL.SESS_CACHE_SERVER)
        context.set_session_id(b"wfb")
        context.set_alpn_select_callback(_choose)
        return context


def _choose(_conn: SSL.Connection, offers: list[bytes]) -> Any:
    """HTTP/1.1 wherever the client can: it costs a third less here. Only gRPC clients offer nothing but HTTP/2."""
    for protocol in (b"http/1.1", b"h2"):
        if protocol in offers:
            return protocol
    return SSL.NO_OVERLAPPING_PROTOCOLS  # pyOpenSSL's sentinel: the answer carries no ALPN
