"""The ledger as a process: its ready line, its refusals to start, and what a kill or a full disk leaves behind."""

import contextlib
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import urllib.error
import urllib.request

import pytest
from harness.ledger_under_test import USD, batch, dispatch, document, usage

from wfb_core.grants import GRANTED
from wfb_core.wire import decode_response, encode_dispatch
from wfb_operator.ledger.identities import token_sha256

LEDGER = [sys.executable, "-m", "wfb_operator.ledger.main"]
TOTAL = "default/all|Total|"


class LedgerProcess:
    """One process, asked over HTTP."""

    def __init__(self, state, token_file, *arguments, within=()):
        self.process = subprocess.Popen(
            [*within, *LEDGER, "--state", str(state), "--admin-token-file", str(token_file), *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        line = self.process.stdout.readline()
        assert line, self.process.communicate()
        self.ready = json.loads(line)

    def ask(self, method, path, token="admin", data=b""):
        request = urllib.request.Request(self.ready["url"] + path, data or None, method=method)
        request.add_header("authorization", f"Bearer {token}")
        try:
            with urllib.request.urlopen(request, timeout=20) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as error:
            return error.code, error.read()

    def put(self, path, body):
        status, answer = self.ask("PUT", path, data=json.dumps(body).encode())
        assert status == 200, answer

    def prepare(self):
        """A budget of 100 dollars, and one sidecar for it."""
        self.put("/v1/budgets", {"budgets": [document("all", window="Total", usd="100.00")]})
        labels = {"aifinops.dev/workflow": "triage"}
        identity = {"token_sha256": token_sha256("a"), "role": "sidecar", "holder_prefix": "pod-a/", "labels": labels}
        self.put("/v1/identities", {"identities": [identity]})

    def report(self, sent):
        status, body = self.ask("POST", "/v1/report", "a", encode_dispatch(sent))
        assert status == 200, body
        return decode_response(body)

    def end(self, number=signal.SIGTERM):
        """Signal it and wait; returns exit status, the rest of stdout, stderr."""
        os.kill(self.ready["pid"], number)
        out, err = self.process.communicate(timeout=20)
        return self.process.returncode, out, err


@pytest.fixture
def token_file(tmp_path):
    path = tmp_path / "token"
    path.write_text("admin\n")
    return path


@pytest.fixture
def started(tmp_path, token_file):
    """Starts ledgers, and ends those that a test left."""
    processes = []

    def start(state=tmp_path / "state", *arguments, **options):
        processes.append(LedgerProcess(state, token_file, *arguments, **options))
        return processes[-1]

    yield start
    for ledger in processes:
        if ledger.process.poll() is None:
            ledger.process.kill()
            ledger.process.communicate()


def start_in_vain(*arguments):
    """Exit status and stderr of a ledger that does not start; its stdout must be empty."""
    done = subprocess.run([*LEDGER, *map(str, arguments)], capture_output=True, text=True, timeout=30, check=False)
    assert done.stdout == ""
    return done.returncode, done.stderr


def test_it_says_when_it_is_ready_and_ends_with_sigterm(started):
    """One line of JSON with url and pid on stdout, then nothing; SIGTERM ends it with 0 and one file of data."""
    ledger = started()
    assert ledger.ready["pid"] == ledger.process.pid
    assert ledger.ask("GET", "/healthz", "")[0] == 200
    ledger.prepare()
    assert ledger.end()[:2] == (0, "")


def test_a_grant_is_on_disk_before_its_reply_leaves(started, tmp_path):
    """A process killed the moment its reply arrived has the grant, the usage and the sequence number in its database."""
    ledger = started()
    ledger.prepare()
    for seq in range(1, 6):
        used = (seq - 1) * USD
        response = ledger.report(
            dispatch(seq, {TOTAL: (used, 0, used)}, [(seq, USD, (TOTAL,))], batches=[batch(seq, usage())])
        )
        assert response.reply.answers == {seq: GRANTED}
        assert ledger.end(signal.SIGKILL)[0] == -signal.SIGKILL

        connection = sqlite3.connect(tmp_path / "state" / "ledger.db")
        assert connection.execute("SELECT granted, used, held FROM grants").fetchall() == [(seq * USD, used, USD)]
        assert connection.execute("SELECT seq, applied FROM holders").fetchall() == [(seq, seq)]
        assert connection.execute("SELECT calls, nanos FROM usage_minute").fetchall() == [(seq, seq * USD)]
        connection.close()
        ledger = started()
    assert b'"spent_usd": "4.00", "reserved_usd": "1.00"' in ledger.ask("GET", "/v1/summary")[1]


def test_two_ledgers_do_not_share_a_directory(started, tmp_path, token_file):
    """The second exits 2 with a line that names the first one's pid, and the first goes on."""
    ledger = started()
    status, message = start_in_vain("--state", tmp_path / "state", "--admin-token-file", token_file)
    assert status == 2
    assert f"is in use by the ledger with pid {ledger.ready['pid']}" in message
    assert ledger.ask("GET", "/healthz", "")[0] == 200


def test_a_killed_ledger_leaves_no_lock(started):
    """After SIGKILL the next process starts in the same directory."""
    started().end(signal.SIGKILL)
    started()


ARGUMENTS = {
    "no state": ([], "the following arguments are required: --state"),
    "an address that is none": (["--listen", "8080"], "--listen: '8080' is not an address: write host:port"),
    "a port that is none": (["--listen", "127.0.0.1:99999"], "is not an address"),
    "an address of another machine": (["--listen", "192.0.2.1:8440"], "choose another address"),
    "an unknown option": (["--frob"], "unrecognized arguments: --frob"),
    "a time that is none": (["--keep-days", "0"], "--keep-days: 0 is not from 1 to 36500"),
    "hours forgotten before minutes": (
        ["--keep-minutes-days", "9", "--keep-hours-days", "3"],
        "--keep-minutes-days: 9 is longer than --keep-hours-days 3, which is to keep what it forgets",
    ),
}


@pytest.mark.parametrize(("arguments", "words"), ARGUMENTS.values(), ids=ARGUMENTS)
def test_wrong_arguments_are_named_in_one_line(tmp_path, token_file, arguments, words):
    """Exit 2, and the last line on stderr says what is wrong and what to write."""
    good = [] if not arguments else ["--state", tmp_path / "state", "--admin-token-file", token_file]
    status, message = start_in_vain(*good, *arguments)
    assert status == 2
    assert words in message.splitlines()[-1]


def test_a_token_file_must_hold_a_token(tmp_path):
    """A missing or empty token file stops the start before anything is made."""
    (tmp_path / "empty").write_text("\n")
    for name, words in (("none", "cannot be read"), ("empty", "holds no token")):
        status, message = start_in_vain("--state", tmp_path / "state", "--admin-token-file", tmp_path / name)
        assert (status, words in message, message.count("\n")) == (2, True, 1)
    assert not (tmp_path / "state").exists()


def test_a_directory_that_cannot_be_written_is_named(tmp_path, token_file):
    """A file in the directory's place gives one line with the path and the way out."""
    (tmp_path / "state").write_text("")
    status, message = start_in_vain("--state", tmp_path / "state", "--admin-token-file", token_file)
    assert (status, message.count("\n")) == (2, 1)
    assert f"{tmp_path / 'state'} cannot be written" in message


def test_a_damaged_database_is_named_in_one_line(started, tmp_path, token_file):
    """What the store refuses ends the process with 2 and the store's own sentence."""
    started().end()
    (tmp_path / "state" / "ledger.db").unlink()
    status, message = start_in_vain("--state", tmp_path / "state", "--admin-token-file", token_file)
    assert (status, message.count("\n")) == (2, 1)
    assert "ledger.db is missing, but a ledger has kept money here: put a backup in its place" in message


def may_mount():
    """Whether this user may mount a filesystem of its own: root outside most containers."""
    command = ["unshare", "-m", "sh", "-c", "mount -t tmpfs none /mnt"]
    return bool(shutil.which("unshare")) and subprocess.run(command, capture_output=True, check=False).returncode == 0


@pytest.mark.skipif(not may_mount(), reason="mounting a small disk needs root")
def test_a_full_disk_answers_nobody_and_loses_nothing(started, tmp_path):
    """On a real filesystem without space reports get 503 and change nothing; with space again all are taken, once."""
    small = tmp_path / "small"
    small.mkdir()
    mount = f'mount -t tmpfs -o size=1m none {small} && exec "$@"'
    ledger = started(small, within=("unshare", "-m", "sh", "-c", mount, "sh"))
    ledger.prepare()
    assert ledger.report(dispatch(1, {TOTAL: (0, 0, 0)}, [(1, 4 * USD, (TOTAL,))])).reply.answers == {1: GRANTED}
    filler = f"/proc/{ledger.ready['pid']}/root{small}/filler"
    with open(filler, "wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(b"x" * 4096)
    rows = [usage(minute=n, agent="y" * 200) for n in range(1000)]
    full = encode_dispatch(dispatch(2, {TOTAL: (3 * USD, 0, 4 * USD)}, batches=[batch(2, *rows)]))
    for _ in range(2):
        status, body = ledger.ask("POST", "/v1/report", "a", full)
        assert (status, b"full" in body or b"disk I/O" in body) == (503, True), body
        assert b'"spent_usd": "0.00", "reserved_usd": "4.00"' in ledger.ask("GET", "/v1/summary")[1]

    os.unlink(filler)

    small_report = dispatch(3, {TOTAL: (3 * USD, 0, 4 * USD)}, batches=[batch(2, usage(nanos=3 * USD))])
    assert ledger.report(small_report).applied == 2
    assert ledger.report(small_report).applied == 2
    summary = json.loads(ledger.ask("GET", "/v1/summary")[1])
    assert summary["budgets"][0]["spent_usd"] == "3.00"
    assert [row["usd"] for row in json.loads(ledger.ask("GET", "/v1/usage?by=&since=0")[1])["usage"]] == ["3.00"]
    assert ledger.ask("GET", "/healthz", "")[0] == 200
    assert ledger.end()[0] == 0
