"""The books against the bill: thousands of mixed calls through a real sidecar and a real ledger."""

import asyncio
import json
import random
import ssl
import urllib.request
from decimal import Decimal
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from harness.certificates import make_certificates
from harness.processes import budget, start_ledger, start_sidecar, start_simulator
from wfb_operator.prices.compile import compile_snapshot

CALLS = 2100
AT_ONCE = 40
HANG_UPS = 0.15
FAULTS = {
    "": 80,
    "429": 2,
    "500": 2,
    "529": 1,
    "no-usage": 3,
    "broken-usage": 3,
    "cut": 3,
    "malformed-frame": 3,
    "gzip": 3,
}
UNSAID = ("no-usage", "broken-usage", "cut")
"""Faults after which the answer does not say what it used."""

SHAPES: dict[str, tuple[str, dict[str, Any]]] = {
    "chat": (
        "https://api.openai.com/v1/chat/completions",
        {"model": "gpt-4o", "messages": [{"role": "user", "content": "What is due?"}]},
    ),
    "chat of a mini": (
        "https://api.openai.com/v1/chat/completions",
        {
            "model": "gpt-4.1-mini",
            "max_tokens": 64,
            "n": 2,
            "messages": [{"role": "user", "content": "Wer zahlt das? 請求書"}],
        },
    ),
    "responses": ("https://api.openai.com/v1/responses", {"model": "gpt-5-mini", "input": "What is due?"}),
    "messages": (
        "https://api.anthropic.com/v1/messages",
        {"model": "claude-haiku-4-5", "max_tokens": 400, "messages": [{"role": "user", "content": "What is due?"}]},
    ),
}


async def ask(session: aiohttp.ClientSession, rng: random.Random, proxy: str, trust: ssl.SSLContext) -> None:
    """One call of a random shape, with a random fault, from a client that may hang up."""
    url, body = SHAPES[rng.choice(list(SHAPES))]
    stream = rng.random() < 0.5
    fault = rng.choices(list(FAULTS), list(FAULTS.values()))[0]
    headers = {
        "x-api-key": "k",
        "authorization": "Bearer k",
        "anthropic-version": "2023-06-01",
        "x-sim-output-tokens": str(rng.randint(1, 300)),
        "x-sim-input-tokens": str(rng.randint(20, 60)),
        "x-sim-cached-tokens": str(rng.choice((0, 0, 10, 20))),
        "x-sim-latency-ms": str(rng.choice((0, 5, 20))),
        "x-sim-chunk-tokens": "16",
        "x-sim-pace-ms": "1",
    }
    if fault:
        headers["x-sim-fault"] = fault
    payload = {**body, "stream": True} if stream else body
    timeout = aiohttp.ClientTimeout(total=30)
    try:
        async with session.post(url, json=payload, headers=headers, proxy=proxy, ssl=trust, timeout=timeout) as answer:
            if rng.random() < HANG_UPS:
                answer.close()
                return
            await answer.read()
    except aiohttp.ClientError:
        assert fault in {"cut", "gzip"} or fault in UNSAID


async def ask_all(proxy: str, bundle: str) -> None:
    """All calls, so many at a time."""
    rng, left = random.Random(7), list(range(CALLS))
    trust = ssl.create_default_context(cafile=bundle)

    async def work(session: aiohttp.ClientSession) -> None:
        while left:
            left.pop()
            await ask(session, rng, proxy, trust)

    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        await asyncio.gather(*(work(session) for _ in range(AT_ONCE)))


@pytest.fixture
def parts(tmp_path: Path) -> Any:
    """Simulator, ledger and sidecar."""
    certificates = make_certificates(tmp_path)
    simulator = start_simulator(
        tmp_path, "--cert", str(certificates.good.certificate), "--key", str(certificates.good.key)
    )
    ledger = start_ledger(tmp_path, [budget("books", "1000.00", onDisconnect="ReadOn")], compile_snapshot("t").data)
    token = ledger.admit("pod/", {"aifinops.dev/workflow": "books"})
    at = str(simulator.ready["tls"]).removeprefix("https://")
    sidecar = start_sidecar(
        tmp_path / "sidecar",
        ledger,
        "pod/",
        token,
        upstream_ca=str(certificates.root),
        connect_to={"api.openai.com:443": at, "api.anthropic.com:443": at},
    )
    yield simulator, ledger, sidecar
    for process in (sidecar, ledger.process, simulator):
        if process.process.poll() is None:
            process.kill()


def test_books_equal_the_bill_to_the_nano_dollar(parts: Any) -> None:
    """Unary and streamed, left and broken: exact wherever usage was said, estimated and listed only where it was not."""
    simulator, ledger, sidecar = parts

    asyncio.run(ask_all(str(sidecar.ready["proxy"]), str(sidecar.ready["bundle"])))
    assert sidecar.stop() == 0

    with urllib.request.urlopen(f"{simulator.ready['plain']}/sim/bill?wait=1", timeout=60) as answer:
        bill = [json.loads(line) for line in answer.read().splitlines()]
    unsaid = [line for line in bill if line["usage_withheld"] or line["fault"] in UNSAID]
    said = sum((Decimal(line["usd"]) for line in bill if line not in unsaid), Decimal(0))
    rows = ledger.call("GET", "/v1/usage?by=outcome,estimated")["usage"]
    exact = sum((Decimal(row["usd"]) for row in rows if not row["estimated"]), Decimal(0))
    estimated = sum(row["calls"] for row in rows if row["estimated"])
    listed = ledger.call("GET", "/v1/decisions?kind=estimate&limit=1000")["decisions"]
    extra = sum((Decimal(line["usd"]) for line in unsaid), Decimal(0))
    guessed = sum((Decimal(row["usd"]) for row in rows if row["estimated"]), Decimal(0))

    assert len(bill) > 1900
    assert len(unsaid) > 50
    assert exact == said
    assert 0 < estimated <= len(unsaid)
    assert len(listed) == estimated
    assert all(decision["message"] for decision in listed)
    assert guessed >= extra  # an estimate never lets a limit be passed
    assert sum(row["calls"] for row in rows) >= CALLS - 5
