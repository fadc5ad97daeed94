"""Reports a second of one ledger process with 50 concurrent holders: real HTTP, real SQLite with full synchronisation.

Run: python tests/bench/ledger_reports.py [holders] [seconds]
"""

import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import aiohttp

sys.path.insert(0, str(Path(__file__).parent.parent))
from harness.ledger_under_test import DAY, USD, batch, dispatch, document, usage

from wfb_core.windows import window_at
from wfb_core.wire import encode_dispatch
from wfb_operator.ledger.identities import token_sha256


def request(path, body, token):
    """One keep-alive HTTP request; a hand-written client, so that the ledger is what is measured."""
    head = f"POST {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\ncontent-length: {len(body)}\r\n\r\n"
    return head.encode() + body


async def holder(port, n, windows, until, latencies):
    """Reports back to back: one claim in each window, one new call, one usage row."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    used, seq = 0, 0
    while time.monotonic() < until:
        seq += 1
        claims = dict.fromkeys(windows, (used, 0, used + USD if seq > 1 else 0))
        sent = dispatch(
            seq,
            claims,
            [(seq, USD // 1000, windows)],
            holder=f"pod-{n}/1",
            batches=[batch(seq, usage(int(time.time() // 60), nanos=1000))],
        )
        for c in claims:
            sent.report.claims[c] = type(sent.report.claims[c])(used, 0, 0, used, 0)
        began = time.perf_counter()
        writer.write(request("/v1/report", encode_dispatch(sent), f"token-{n}"))
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200"), head + await reader.read(500)
        length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
        body = await reader.readexactly(length)
        latencies.append(time.perf_counter() - began)
        assert b'"granted"' in body
    writer.close()


async def measure(holders, seconds):
    """Start a ledger process, let the holders report, print what came of it."""
    with tempfile.TemporaryDirectory(dir=os.environ.get("BENCH_DIR")) as directory:
        token_file = f"{directory}/token"
        Path(token_file).write_text("admin")
        command = [
            sys.executable,
            "-m",
            "wfb_operator.ledger.main",
            "--state",
            directory,
            "--admin-token-file",
            token_file,
        ]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)  # noqa: ASYNC220
        try:
            url = json.loads(process.stdout.readline())["url"]
            budgets = [document(), document("all", window="Total", usd="1000000.00"), document("m", window="Month")]
            budgets = [
                {**b, "spec": {**b["spec"], "limits": [{**b["spec"]["limits"][0], "usd": "1000000.00"}]}}
                for b in budgets
            ]
            labels = {"aifinops.dev/workflow": "triage"}
            identities = [
                {
                    "token_sha256": token_sha256(f"token-{n}"),
                    "role": "sidecar",
                    "holder_prefix": f"pod-{n}/",
                    "labels": labels,
                }
                for n in range(holders)
            ]
            async with aiohttp.ClientSession(headers={"authorization": "Bearer admin"}) as session:
                for path, body in (("budgets", {"budgets": budgets}), ("identities", {"identities": identities})):
                    async with session.put(f"{url}/v1/{path}", json=body) as answer:
                        assert answer.status == 200, await answer.text()
                now = time.time()
                windows = tuple(
                    window_at(f"default/{name}", kind, "UTC", now).id
                    for name, kind in (("triage", "Day"), ("all", "Total"), ("m", "Month"))
                )
                assert DAY.partition("|")[0] == windows[0].partition("|")[0]
                latencies = []
                began, cpu = time.monotonic(), os.times().children_user
                port = int(url.rpartition(":")[2])
                await asyncio.gather(*(holder(port, n, windows, began + seconds, latencies) for n in range(holders)))
                took = time.monotonic() - began
                del cpu
                with open(f"/proc/{process.pid}/stat") as stat:
                    fields = stat.read().rpartition(") ")[2].split()
                busy = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
                async with session.get(f"{url}/metrics") as answer:
                    text = await answer.text()
            value = dict(line.rsplit(" ", 1) for line in text.splitlines() if line.startswith("wfb_ledger_"))
            value = {name: float(number) for name, number in value.items()}
            commits = value["wfb_ledger_commit_seconds_count"]
            latencies.sort()
            print(
                f"{holders} holders: {len(latencies) / took:.0f} reports/s, p50 {latencies[len(latencies) // 2] * 1e3:.1f} ms,"
                f" p99 {latencies[len(latencies) * 99 // 100] * 1e3:.1f} ms;"
                f" {value['wfb_ledger_group_size_sum'] / commits:.1f} reports a transaction,"
                f" {value['wfb_ledger_commit_seconds_sum'] / commits * 1e3:.2f} ms each;"
                f" {busy / len(latencies) * 1e6:.0f} us of CPU a report"
            )
        finally:
            process.terminate()
            process.wait(10)


if __name__ == "__main__":
    asyncio.run(
        measure(int(sys.argv[1]) if len(sys.argv) > 1 else 50, float(sys.argv[2]) if len(sys.argv) > 2 else 10.0)
    )
