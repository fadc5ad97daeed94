"""`wfb run` with a real ledger and a real sidecar around tiny commands."""

import contextlib
import fcntl
import json
import os
import pty
import select
import signal
import sqlite3
import sys
import time

import psutil
import pytest

RUN = ("run", "--budget", "budget.yaml", "--label", "workflow=triage")
PYTHON = sys.executable


def _python(code):
    return ("--", PYTHON, "-c", code)


def _processes(folder):
    """The ledgers and sidecars that keep something below a folder, or were told to."""
    found = {}
    for process in psutil.process_iter(["cmdline", "pid", "environ"]):
        line = process.info["cmdline"] or ()
        module = next((part for part in line if part in {"wfb_operator.ledger.main", "wfb_sidecar.main"}), None)
        if module and str(folder) in (process.info["environ"] or {}).get("XDG_STATE_HOME", ""):
            found.setdefault(module.split(".")[-2], []).append(process)
    return found


def _until(condition, seconds=20.0):
    """Waits for something that other processes make true."""
    end = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.02)
    return value


@pytest.fixture(autouse=True)
def nothing_left(wfb):
    """After each test no ledger and no sidecar of it runs any more."""
    yield
    left = [process for processes in _processes(wfb.folder).values() for process in processes]
    for process in left:
        process.kill()
    assert not left


def test_streams_and_exit_code_pass_through(wfb):
    """Input, output and the exit code are the command's; everything of ours is on standard error."""
    wfb.budget()
    ended = wfb.run(*RUN, *_python("import sys; print(sys.stdin.read().upper()); sys.exit(7)"), stdin="hello")
    assert (ended.returncode, ended.stdout) == (7, "HELLO\n")
    assert "billing/triage" in ended.stderr
    assert "no call to a provider was seen" in ended.stderr


def test_what_the_command_sees(wfb):
    """Its proxy and its certificates exist while it runs, arguments reach it unchanged, and later dashes are its own."""
    wfb.budget()
    code = "import os, sys, json; e = os.environ; print(json.dumps([sys.argv[1:], e['HTTPS_PROXY'], e['WFB_RUN'], os.path.exists(e['SSL_CERT_FILE']), os.path.exists(e['NODE_EXTRA_CA_CERTS'])]))"
    ended = wfb.run(*RUN, "--run", "nightly", "--quiet", *_python(code), "--budget", "--", "a b")
    assert ended.stderr == ""
    arguments, proxy, run, *exist = json.loads(ended.stdout)
    assert arguments == ["--budget", "--", "a b"]
    assert proxy.startswith("http://127.0.0.1:")
    assert (run, exist) == ("nightly", [True, True])


def test_nothing_of_a_run_is_left(wfb):
    """Token, certificates and wallet go with the run; the token was for its owner only; the spend stays."""
    wfb.budget()
    code = f"import os, glob; print([oct(os.stat(p).st_mode & 0o777) for p in glob.glob({str(wfb.state)!r} + '/runs/*/token')])"
    assert wfb.run(*RUN, *_python(code)).stdout == "['0o600']\n"
    assert os.listdir(wfb.state / "runs") == os.listdir(wfb.state / "members") == []
    assert (wfb.state / "ledger").is_dir()
    assert not (wfb.state / "endpoint.json").exists()
    assert wfb.state.stat().st_mode & 0o777 == 0o700


def test_labels_of_the_budget_without_any_given(wfb):
    """Without --label the budgets' own labels are taken, and that is said."""
    wfb.budget()
    ended = wfb.run("run", "--budget", "budget.yaml", "--json", "out.json", "--", "true")
    assert ended.returncode == 0
    assert "no --label was given, so the budgets' own are used: --label workflow=triage" in ended.stderr
    document = json.loads((wfb.folder / "out.json").read_text())
    assert document["labels"]["aifinops.dev/workflow"] == "triage"


def test_a_step_that_no_call_can_follow_is_said_at_the_start(wfb):
    """A ladder that downgrades to a dearer model runs, and is told on standard error with the figures."""
    steps = [{"from": "gpt-4o-mini", "to": "gpt-4o"}, {"from": "gpt-4o", "to": "gpt-4o-mini"}]
    wfb.budget(ladder=[{"atPercent": 80, "action": "Downgrade", "models": steps[:1]}])
    ended = wfb.run(*RUN, "--", "true")
    assert ended.returncode == 0
    assert "wfb: budget billing/triage: at 80 %, gpt-4o-mini -> gpt-4o: gpt-4o costs $2.50 in" in ended.stderr
    assert "Name a cheaper model of the same provider" in ended.stderr
    wfb.budget(ladder=[{"atPercent": 80, "action": "Downgrade", "models": steps[1:]}])
    assert "Name a cheaper model" not in wfb.run(*RUN, "--", "true").stderr


def test_a_killed_command(wfb):
    """A command that a signal ends gives 128 and the signal's number, as from a shell."""
    wfb.budget()
    assert wfb.run(*RUN, *_python("import os; os.kill(os.getpid(), 9)")).returncode == 137


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGUSR1])
def test_signals_are_passed_on(wfb, number):
    """What is sent to us alone reaches the command, which decides what becomes of it."""
    wfb.budget()
    code = f"import signal, sys, time; signal.signal({int(number)}, lambda *_: sys.exit(33)); print('up', flush=True); time.sleep(60)"
    process = wfb.start(*RUN, *_python(code))
    assert process.stdout.readline() == "up\n"
    process.send_signal(number)
    process.communicate(timeout=30)
    assert process.returncode == 33


def test_ctrl_c_reaches_the_command_once(wfb):
    """In a terminal the command gets one SIGINT, from the terminal, and may take its time; its exit code is ours."""
    wfb.budget()
    code = (
        "import signal, time\n"
        "n = 0\n"
        "def count(*_):\n"
        "    global n\n"
        "    n += 1\n"
        "signal.signal(signal.SIGINT, count)\n"
        "print('up', flush=True)\n"
        "while not n: time.sleep(0.01)\n"
        "time.sleep(0.5)\n"
        "print('interrupts:', n, flush=True)\n"
        "raise SystemExit(5)\n"
    )
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(wfb.folder)
        command = wfb.command(*RUN, "--quiet", *_python(code))
        os.execve(command[0], command, wfb.environment())
    _read_until(terminal, b"up")
    os.write(terminal, b"\x03")
    said = _read_until(terminal, b"interrupts: ", more=1)
    assert b"interrupts: 1" in said
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 5
    os.close(terminal)


def _read_until(fd, words, more=0):
    said, end = b"", time.monotonic() + 30
    while words not in said or len(said) < said.index(words) + len(words) + more:
        assert select.select([fd], [], [], max(0.0, end - time.monotonic()))[0], said
        said += os.read(fd, 4096)
    return said


@pytest.mark.parametrize(
    ("moment", "number"),
    [
        ("turn.lock", signal.SIGTERM),
        ("members/*", signal.SIGINT),
        ("runs/*/sidecar.log", signal.SIGTERM),
        ("admin-token", signal.SIGINT),
        ("endpoint.json", signal.SIGTERM),
        ("runs/*/sidecar", signal.SIGINT),
    ],
)
def test_interrupted_before_the_command(wfb, moment, number):
    """Whenever it comes, a signal while ledger and sidecar start ends us with 128 and its number, and them as well."""
    wfb.budget()
    process = wfb.start(*RUN, *_python("import time; time.sleep(60)"))
    _until(lambda: list(wfb.state.glob(moment)))
    process.send_signal(number)
    out, err = process.communicate(timeout=30)
    assert process.returncode == 128 + number, err
    assert "Traceback" not in err
    assert out == ""


class Waiting:
    """A run whose command says `up` and stays until its standard input ends."""

    def __init__(self, wfb, *arguments):
        self.process = wfb.start(*arguments, *_python("import sys; print('up', flush=True); sys.stdin.read()"))
        line = self.process.stdout.readline()
        assert line == "up\n", line + self.process.stderr.read()

    def end(self):
        """(exit code, standard output, standard error)."""
        out, err = self.process.communicate(timeout=60)
        return self.process.returncode, out, err


def test_two_runs_share_one_ledger(wfb):
    """The second joins the first's ledger and starts only its own sidecar; the last one stops it."""
    wfb.budget()
    first = Waiting(wfb, *RUN)
    second = Waiting(wfb, *RUN)
    running = _processes(wfb.folder)
    assert len(running["ledger"]) == 1
    assert len(running["wfb_sidecar"]) == 2
    assert first.end()[0] == 0
    assert [p.pid for p in _processes(wfb.folder)["ledger"]] == [p.pid for p in running["ledger"]]
    report = wfb.run("report", "--json")
    assert json.loads(report.stdout)["budgets"][0]["budget"] == "billing/triage"
    assert second.end()[0] == 0
    assert _processes(wfb.folder) == {}


def test_budgets_of_one_name_that_differ(wfb):
    """A second run with another content for a budget in use is told which run has it, and what to do."""
    wfb.budget()
    wfb.budget("other.yaml", usd="9.00")
    first = Waiting(wfb, *RUN, "--run", "one")
    ended = wfb.run("run", "--budget", "other.yaml", "--label", "workflow=triage", "--", "true")
    assert ended.returncode == 2
    for words in ("budget billing/triage of ", "other.yaml differs", "run one", f"pid {first.process.pid}", "--state"):
        assert words in ended.stderr
    again = wfb.run(*RUN, "--run", "one", "--", "true")
    assert again.returncode == 2
    assert "a run 'one' is already going on" in again.stderr
    assert first.end()[0] == 0
    assert wfb.run("run", "--budget", "other.yaml", "--label", "workflow=triage", "--", "true").returncode == 0


def test_budget_files_are_watched(wfb):
    """A valid edit counts at once and is said, a broken one is said and changes nothing."""
    wfb.budget()
    errors = (wfb.folder / "errors").open("w+")
    process = wfb.start(*RUN, *_python("import sys; print('up', flush=True); sys.stdin.read()"), stderr=errors)
    assert process.stdout.readline() == "up\n"

    def said():
        return (wfb.folder / "errors").read_text()

    def limit():
        budgets = json.loads(wfb.run("report", "--json").stdout)["budgets"]
        return budgets[0]["limit_usd"]

    assert limit() == "5.00"
    wfb.budget(usd="8.00")
    _until(lambda: "budget billing/triage: Day limit $5.00 → $8.00" in said())
    assert limit() == "8.00"
    wfb.budget(usd="-1")
    _until(lambda: "budget.yaml was edited and is not valid: the budgets stay as they were" in said())
    assert "spec.limits[0].usd" in said()
    assert limit() == "8.00"
    wfb.budget(usd="8.00", suspend=True)
    _until(lambda: "billing/triage: suspended, every call is refused" in said())
    process.communicate(timeout=60)
    errors.close()
    assert process.returncode == 0


@pytest.mark.parametrize("module", ["ledger", "wfb_sidecar"])
def test_what_dies_is_started_anew(wfb, module):
    """A killed ledger or sidecar comes back under the same address while the command runs, and that is said."""
    wfb.budget()
    errors = (wfb.folder / "errors").open("w+")
    code = "import os, sys, urllib.parse; print(urllib.parse.urlsplit(os.environ['HTTPS_PROXY']).port, flush=True); sys.stdin.read()"
    process = wfb.start(*RUN, *_python(code), stderr=errors)
    port = int(process.stdout.readline())
    old = _processes(wfb.folder)[module][0]
    url = json.loads((wfb.state / "endpoint.json").read_text())["url"]
    old.kill()
    words = "the ledger answers again" if module == "ledger" else "the sidecar stopped (status -9) and is started anew"
    _until(lambda: words in (wfb.folder / "errors").read_text())
    new = _until(lambda: [p for p in _processes(wfb.folder).get(module, ()) if p.pid != old.pid])[0]
    if module == "ledger":
        assert json.loads((wfb.state / "endpoint.json").read_text()) == {
            "url": url,
            "pid": new.pid,
            "admin_token_file": str(wfb.state / "admin-token"),
        }
    else:
        _until(lambda: port in {c.laddr.port for c in new.net_connections()})
    process.communicate(timeout=60)
    errors.close()
    assert process.returncode == 0


def test_after_wfb_itself_was_killed(wfb):
    """Its sidecar ends with it; the next run takes its ledger over, removes what it left, and stops the ledger."""
    wfb.budget()
    killed = Waiting(wfb, *RUN, "--run", "lost")
    killed.process.kill()
    killed.end()
    _until(lambda: "wfb_sidecar" not in _processes(wfb.folder))
    ledger = _processes(wfb.folder)["ledger"][0]
    assert ledger.is_running()
    ended = wfb.run(*RUN, "--run", "lost", "--", "true")
    assert ended.returncode == 0, ended.stderr
    assert os.listdir(wfb.state / "runs") == []


def test_someone_else_has_the_ledger(wfb):
    """A ledger that is not ours on the same folder is named with its process, and we exit 2."""
    wfb.budget()
    (wfb.state / "ledger").mkdir(parents=True)
    with (wfb.state / "ledger" / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        lock.write(f"{os.getpid()}\n")
        lock.flush()
        ended = wfb.run(*RUN, "--", "true")
    assert ended.returncode == 2
    assert f"is in use by the ledger with pid {os.getpid()}" in ended.stderr


def test_report_only_reaches_the_ledger(wfb):
    """--report-only makes the budgets only count."""
    wfb.budget()
    assert wfb.run(*RUN, "--report-only", "--", "true").returncode == 0
    with contextlib.closing(sqlite3.connect(wfb.state / "ledger" / "ledger.db")) as db:
        [(document,)] = db.execute("select document from budgets").fetchall()
    assert json.loads(document)["spec"]["enforcement"] == "Report"


def test_json_to_standard_output(wfb):
    """The document follows the command's output, with exact decimal strings."""
    wfb.budget()
    ended = wfb.run(*RUN, "--run", "r1", "--label", "team=billing", "--quiet", "--json", "-", "--", "false")
    document = json.loads(ended.stdout)
    assert ended.returncode == document["exit_code"] == 1
    assert document["run"] == "r1"
    assert document["totals"]["usd"] == "0.00"
    assert document["budgets"][0]["limit_usd"] == "5.00"
    assert document["labels"] == {
        "aifinops.dev/workflow": "triage",
        "aifinops.dev/team": "billing",
        "aifinops.dev/run": "r1",
    }


def test_a_ledger_that_died_at_the_end(wfb):
    """Killed just before the command ends, it is started once more for the last report and the sums."""
    wfb.budget()
    code = f"import json, os; os.kill(json.load(open({str(wfb.state / 'endpoint.json')!r}))['pid'], 9)"
    ended = wfb.run(*RUN, "--json", "spent.json", *_python(code))
    assert ended.returncode == 0
    assert "the ledger at http://127.0.0.1:" in ended.stderr
    assert json.loads((wfb.folder / "spent.json").read_text())["totals"]["calls"] == 0
