"""``python -m simulator``: a provider as a process; prints where it listens as one JSON line, ends on SIGTERM."""

import argparse
import asyncio
import json
import os
import signal
from collections.abc import Sequence

from simulator.provider import BILL_CUTS, Provider
from simulator.serving import running


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser("simulator", description="A simulator of LLM providers that bills by itself.")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on")
    parser.add_argument("--port", type=int, default=0, help="port for plain HTTP; 0 takes a free one")
    parser.add_argument("--tls-port", type=int, default=0, help="port for TLS, with --cert; 0 takes a free one")
    parser.add_argument("--cert", help="certificate chain for TLS (PEM)")
    parser.add_argument("--key", help="its key (PEM)")
    parser.add_argument("--bill-cut", choices=BILL_CUTS, default="whole", help="what an abandoned stream costs")
    parser.add_argument("--api-key", help="refuse every other key with 401")
    parser.add_argument("--defaults", default="{}", help='behaviour as JSON, such as {"output-tokens": 64}')
    return parser.parse_args(argv)


async def _serve(arguments: argparse.Namespace) -> None:
    ended = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)
    provider = Provider(bill_cut=arguments.bill_cut, defaults=json.loads(arguments.defaults), api_key=arguments.api_key)
    where = {"host": arguments.host, "port": arguments.port, "tls_port": arguments.tls_port}
    async with running(provider, certificate=arguments.cert, key=arguments.key, **where) as urls:
        print(json.dumps({"plain": urls.plain, "tls": urls.tls, "pid": os.getpid()}), flush=True)
        await ended.wait()


def main(argv: Sequence[str] | None = None) -> None:
    """Runs the simulator until it is told to end; on uvloop where that is installed."""
    try:
        import uvloop
    except ImportError:
        asyncio.run(_serve(_arguments(argv)))
    else:
        uvloop.run(_serve(_arguments(argv)))


if __name__ == "__main__":
    main()
