"""The baseline of bench-proxy: mitmproxy as a library, streaming, verifying upstream, and nothing else.

The same event loop, TLS settings and garbage collector as the sidecar; CONNECT is read by mitmproxy itself.
Run: python tests/bench/relay.py --tls|--plain --upstream HOST:PORT --cert PEM --key PEM --roots PEM
"""

import argparse
import asyncio
import gc
import json
import logging
import os
import sys

import uvloop
from mitmproxy import options as mitm_options
from mitmproxy.connection import Server
from mitmproxy.proxy import layer, layers, mode_specs, server
from mitmproxy.proxy.context import Context
from mitmproxy.proxy.layers.http import HTTPMode, HttpLayer
from OpenSSL import SSL

OPTIONS = (
    ("store_streamed_bodies", bool, False),
    ("connection_strategy", str, "lazy"),
    ("keep_host_header", bool, True),
    ("validate_inbound_headers", bool, True),
    ("stream_large_bodies", str, ""),
    ("body_size_limit", str, ""),
    ("normalize_outbound_headers", bool, True),
    ("websocket", bool, True),
    ("rawtcp", bool, False),
    ("http_connect_send_host_header", bool, True),
    ("http2_ping_keepalive", int, 0),
    ("proxy_debug", bool, False),
)


class Bottom(layer.Layer):
    """mitmproxy's TLS layer wants a parent."""

    child: layer.Layer

    def _handle_event(self, event):
        yield from self.child.handle_event(event)


class BareRelay(server.LiveConnectionHandler):
    """One client connection; every answer streams."""

    def __init__(self, reader, writer, options, target, tls, contexts):
        super().__init__(reader, writer, options, mode_specs.ProxyMode.parse("regular"))
        self.contexts = contexts
        context = Context(self.client, options)
        context.server = Server(address=target)
        bottom = Bottom(context)
        if tls:
            context.server.tls = True
            bottom.child = top = layers.ClientTLSLayer(context)
            top.child_layer = HttpLayer(context, HTTPMode.transparent)
        else:
            bottom.child = HttpLayer(context, HTTPMode.regular)  # as the sidecar: the request says where to
        self.layer = bottom

    def log(self, *args, **kwargs):
        """Silent, as the sidecar's."""

    async def handle_hook(self, hook):
        """Streams answers, verifies the provider."""
        data = hook.args()[0] if hook.args() else None
        if hook.name == "responseheaders":
            data.response.stream = True
        elif hook.name == "tls_start_client":
            data.ssl_conn = SSL.Connection(self.contexts[0])
            data.ssl_conn.set_accept_state()
        elif hook.name == "tls_start_server":
            name = (data.conn.sni or data.conn.address[0]).encode()
            conn = data.ssl_conn = SSL.Connection(self.contexts[1])
            param = SSL._lib.SSL_get0_param(conn._ssl)
            conn.set_tlsext_host_name(name)
            SSL._lib.X509_VERIFY_PARAM_set1_host(param, name, len(name))
            conn.set_alpn_protos([b"http/1.1"])
            conn.set_connect_state()


async def main(args):
    """Serves until killed."""
    options = mitm_options.Options()
    for name, kind, value in OPTIONS:
        if name not in options:
            options.add_option(name, kind, value, "")
    host, _, port = args.upstream.rpartition(":")
    contexts = None
    if args.tls:
        accept = SSL.Context(SSL.TLS_SERVER_METHOD)
        accept.set_min_proto_version(SSL.TLS1_2_VERSION)
        accept.use_certificate_chain_file(args.cert)
        accept.use_privatekey_file(args.key)
        connect = SSL.Context(SSL.TLS_CLIENT_METHOD)
        connect.set_min_proto_version(SSL.TLS1_2_VERSION)
        connect.load_verify_locations(args.roots)
        connect.set_verify(SSL.VERIFY_PEER, None)
        contexts = (accept, connect)

    async def serve(reader, writer):
        await BareRelay(reader, writer, options, (host, int(port)), args.tls, contexts).handle_client()

    listener = await asyncio.start_server(serve, "127.0.0.1", 0)
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 50, 50)
    at = listener.sockets[0].getsockname()[1]
    print(json.dumps({"pid": os.getpid(), "url": f"{'https' if args.tls else 'http'}://127.0.0.1:{at}"}), flush=True)
    await listener.serve_forever()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--tls", action="store_true")
    parser.add_argument("--upstream", required=True)
    parser.add_argument("--cert")
    parser.add_argument("--key")
    parser.add_argument("--roots")
    sys.setswitchinterval(0.05)
    logging.disable(logging.CRITICAL)
    asyncio.eager_task_factory = None
    uvloop.run(main(parser.parse_args()))
