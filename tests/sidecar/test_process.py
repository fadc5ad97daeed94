"""The sidecar as a process: how it starts, ends, is killed and comes back."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import urllib.error
import urllib.request

import openai
import pytest

from harness import processes
from harness.until import until
from wfb_core.money import parse_usd
from wfb_sidecar.outbox import Outbox
from wfb_sidecar.wallet_file import WalletFile

BODY = {"model": "gpt-4o", "messages": [{"role": "user", "content": "MARK-PROMPT"}], "max_tokens": 400}


class SidecarProcess:
    """A sidecar process against a bench, by one configuration file."""

    def __init__(self, bench, folder, **config):
        folder.mkdir(parents=True, exist_ok=True)
        self.bench = bench
        self.folder = folder
        self.state = folder / "state"
        document = bench.configuration(self.state, **config)
        (folder / "config.json").write_text(json.dumps(document))
        self.start()

    def start(self):
        """Starts it, on the state that there is."""
        self.process = processes.restart_sidecar(self.folder)
        self.ready = self.process.ready
        until(lambda: self._is_ready(), "readiness")

    def _is_ready(self):
        try:
            with urllib.request.urlopen(self.ready["health"] + "/readyz", timeout=5) as answer:
                return answer.status == 200
        except urllib.error.HTTPError:
            return False

    def metric(self, name):
        """The sum of a metric's samples."""
        with urllib.request.urlopen(self.ready["health"] + "/metrics", timeout=5) as answer:
            lines = answer.read().decode().splitlines()
        return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith(f"wfb_sidecar_{name}"))

    @property
    def log(self):
        """What it wrote to stderr."""
        return (self.folder / "sidecar.log").read_text()

    def openai(self, monkeypatch):
        """A client of the SDK through its proxy."""
        monkeypatch.setenv("HTTPS_PROXY", self.ready["proxy"])
        monkeypatch.setenv("SSL_CERT_FILE", self.ready["bundle"])
        return openai.OpenAI(api_key="sk-MARK-KEY", max_retries=0)


@pytest.fixture
def make_process(tmp_path):
    """Starts sidecar processes, and ends them."""
    started = []

    def make(bench, name="p", **config):
        """One process."""
        process = SidecarProcess(bench, tmp_path / name, **config)
        started.append(process)
        return process

    yield make
    for process in started:
        process.process.kill()
        process.process.process.stdout.close()


def _record(state):
    file = WalletFile(str(state / "wallet"))
    record = file.load()
    file.close()
    return record


def test_sigterm_lets_a_stream_end_and_tells_the_last(make_bench, make_process, monkeypatch):
    """The stream in flight arrives whole, its cost is in the ledger, nothing new is taken, and the status is 0."""
    bench = make_bench()
    sidecar = make_process(bench)
    client = sidecar.openai(monkeypatch)
    said = {"x-sim-output-tokens": "80", "x-sim-pace-ms": "60"}
    stream = client.chat.completions.create(**BODY, stream=True, extra_headers=said)
    chunks = [next(stream)]
    os.kill(sidecar.process.pid, signal.SIGTERM)
    until(lambda: _refuses(sidecar.ready["proxy"]), "the door being shut")
    chunks += list(stream)
    assert chunks[-1].choices[0].finish_reason == "stop"
    assert sidecar.process.process.wait(10) == 0
    books = bench.books()
    assert (books.spent, books.reserved, books.calls()) == (bench.bill(), 0, 1)
    assert sidecar.log == ""


def _refuses(url):
    host, _, port = url.removeprefix("http://").rpartition(":")
    try:
        socket.create_connection((host, int(port)), timeout=1).close()
    except OSError:
        return True
    return False


def test_after_its_grace_a_stream_is_settled_as_it_is(make_bench, make_process, monkeypatch):
    """A stream longer than the grace is cut, and booked by a marked estimate that covers the bill."""
    bench = make_bench()
    bench.behave(bill_cut="made")
    sidecar = make_process(bench, grace_seconds=0.3)
    client = sidecar.openai(monkeypatch)
    said = {"x-sim-output-tokens": "300", "x-sim-pace-ms": "200"}
    stream = client.chat.completions.create(**BODY, stream=True, extra_headers=said)
    next(stream)
    assert sidecar.process.stop() == 0
    books = bench.books()
    until(lambda: bench.bill_lines(), "the bill")
    assert (books.reserved, books.calls(outcome="disconnected", estimated=True)) == (0, 1)
    assert books.spent == books.estimated >= bench.bill()


def test_a_killed_sidecar_comes_back_with_its_ca_its_holder_and_its_books(make_bench, make_process, monkeypatch):
    """After SIGKILL: same root, same holder; what was held counts as used; rows are neither lost nor doubled."""
    bench = make_bench(usd="50.00")
    sidecar = make_process(bench)
    client = sidecar.openai(monkeypatch)
    for _ in range(4):
        client.chat.completions.create(**BODY)
    until(lambda: bench.books().calls() == 4, "the rows")
    bench.ledger_away()
    for _ in range(3):  # told to nobody before the kill
        client.chat.completions.create(**BODY)
    hang = {"x-sim-fault": "hang"}
    waiting = threading.Thread(target=lambda: _swallow(client, hang))
    waiting.start()
    until(lambda: len(bench.seen()) == 8, "the call in flight")
    root = (sidecar.state / "ca.pem").read_bytes()
    sidecar.process.kill()
    waiting.join(10)
    before = _record(sidecar.state)
    ((ceiling, used, held),) = before.purses.values()
    assert held > 0
    bench.ledger_back()
    sidecar.start()
    assert (sidecar.state / "ca.pem").read_bytes() == root
    books = until(lambda: (b := bench.books()).reserved == 0 and b.calls() >= 8 and b, "the books", deadline=20)
    assert books.calls(outcome="ok") == 7
    assert books.calls(outcome="interrupted", estimated=True) == 1
    assert books.spent == used + held <= ceiling
    assert books.nanos() == books.spent
    assert books.nanos(outcome="ok") == used
    assert _record(sidecar.state).holder == before.holder
    again = sidecar.openai(monkeypatch)
    again.chat.completions.create(**BODY)
    until(lambda: bench.books().calls(outcome="ok") == 8, "a call after the restart")
    sidecar.process.kill()
    sidecar.start()
    until(lambda: bench.books().reserved == 0, "the second restart")
    assert bench.books().calls() == 9
    summary = bench.ask("GET", "/v1/summary")
    assert summary["holders"] == 1
    assert "MARK" not in sidecar.log


def _swallow(client, headers):
    try:
        client.chat.completions.create(**BODY, extra_headers=headers)
    except openai.APIError:
        pass


def test_a_damaged_wallet_is_not_begun_anew_in_silence(make_bench, make_process, monkeypatch):
    """One damaged slot: the other is used. Both: exit 2 with one line that names the file and the way out."""
    bench = make_bench()
    sidecar = make_process(bench)
    client = sidecar.openai(monkeypatch)
    for _ in range(3):
        client.chat.completions.create(**BODY)
    until(lambda: bench.books().calls() == 3, "the rows")
    assert sidecar.process.stop() == 0
    path = sidecar.state / "wallet"
    holder = _record(sidecar.state).holder
    content = bytearray(path.read_bytes())
    slot = len(content) // 2
    content[30:40] = b"\0" * 10
    path.write_bytes(content)
    sidecar.start()
    assert _record(sidecar.state).holder == holder
    assert sidecar.process.stop() == 0
    content = bytearray(path.read_bytes())
    for start in (0, slot):
        content[start + 30 : start + 40] = b"\0" * 10
    path.write_bytes(content)
    done = _run(sidecar.folder / "config.json")
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert str(path) in done.stderr
    assert "release the holder and delete the file" in done.stderr


def test_nothing_secret_is_logged_whatever_goes_wrong(make_bench, make_process, monkeypatch):
    """The process's stderr after good and bad calls, refusals and a ledger that is away holds no content."""
    bench = make_bench()
    sidecar = make_process(bench)
    client = sidecar.openai(monkeypatch)
    for fault in ("", "cut", "not-json", "broken-usage", "500", "truncate"):
        for stream in (False, True):
            try:
                list(
                    client.chat.completions.create(
                        **BODY, stream=stream, extra_headers={"x-sim-fault": fault, "x-custom": "MARK-HEADER"}
                    )
                )
            except openai.APIError:
                pass
    with pytest.raises(openai.APIStatusError):
        client.post("/chat/completions", body={"model": ["MARK"], "messages": []}, cast_to=object)
    with pytest.raises(openai.APIStatusError):
        client.post("/threads/t_1/runs", body={"input": "MARK"}, cast_to=object)
    bench.ledger_away()
    client.chat.completions.create(**BODY)
    until(lambda: "report" in sidecar.log, "a warning about the ledger")
    assert sidecar.metric("internal_errors_total") == 0
    assert "MARK" not in sidecar.log
    for file in sidecar.state.rglob("*"):
        assert b"MARK" not in file.read_bytes()
    bench.ledger_back()


def _run(config, *, text=True):
    return subprocess.run(
        [sys.executable, "-m", "wfb_sidecar.main", "--config", str(config)],
        capture_output=True,
        text=text,
        timeout=20,
        check=False,
    )


def test_a_configuration_that_cannot_be_used_ends_with_one_line(tmp_path, make_bench):
    """Exit 2 and one line that names what is wrong: here a field's name and an address in use."""
    bench = make_bench()
    document = bench.configuration(tmp_path / "state")
    config = tmp_path / "config.json"
    config.write_text(json.dumps({**document, "prxy": "127.0.0.1:1"}))
    done = _run(config)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "'prxy'" in done.stderr
    assert "'proxy'" in done.stderr
    config.write_text(json.dumps({**document, "proxy": bench.urls.plain.removeprefix("http://")}))
    done = _run(config)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "in use" in done.stderr


def test_books_equal_the_bill_after_a_hundred_concurrent_calls(make_bench, make_process, monkeypatch):
    """Several threads, both kinds of answer: not a nano is lost between the sidecar's process and the ledger."""
    bench = make_bench(usd="100.00")
    sidecar = make_process(bench)
    client = sidecar.openai(monkeypatch)

    def calls():
        for i in range(20):
            answer = client.chat.completions.create(**BODY, stream=bool(i % 2))
            if i % 2:
                list(answer)

    threads = [threading.Thread(target=calls) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    books = until(lambda: (b := bench.books()).calls() == 100 and b.reserved == 0 and b, "all rows")
    assert len(bench.bill_lines()) == 100
    assert books.spent == bench.bill() == books.nanos()
    assert parse_usd("100.00") > books.spent > 0
    assert sidecar.process.stop() == 0
    outbox = Outbox(str(sidecar.state / "journal"))
    assert not outbox.waiting
    outbox.close()
