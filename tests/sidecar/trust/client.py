"""Python: its own ssl module with the roots that it is given."""

import socket
import ssl
import sys

port, host, roots = sys.argv[1:4]
context = ssl.create_default_context(cafile=roots)
with (
    socket.create_connection(("127.0.0.1", int(port))) as raw,
    context.wrap_socket(raw, server_hostname=host) as connection,
):
    connection.sendall(b"GET / HTTP/1.1\r\n\r\n")
