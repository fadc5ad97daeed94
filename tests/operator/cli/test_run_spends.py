"""`wfb run` around a program that really calls a provider: the simulator bills, and we must say the same."""

import json
import sys
import urllib.request
from decimal import Decimal
from types import SimpleNamespace

import pytest

from harness.certificates import make_certificates
from harness.loop_thread import LoopThread
from harness.processes import start_simulator
from harness.receiver import SECRET, Receiver

AGENT = """
import json, os, sys, urllib.error, urllib.request
base, calls = os.environ.get("OPENAI_BASE_URL", sys.argv[1]), int(sys.argv[2])
body = {"model": "gpt-4o", "max_tokens": 100, "messages": [{"role": "user", "content": "hello"}]}
headers = {"content-type": "application/json", "authorization": "Bearer sk-test"}
for _ in range(calls):
    request = urllib.request.Request(base + "/chat/completions", json.dumps(body).encode(), headers)
    try:
        print(urllib.request.urlopen(request, timeout=30).status)
    except urllib.error.HTTPError as error:
        print(error.code)
"""


@pytest.fixture
def provider(tmp_path):
    """The simulator under the name of api.openai.com, 100 tokens an answer, and who must be trusted for it."""
    certificates = make_certificates(tmp_path / "certificates")
    good = certificates.good
    defaults = json.dumps({"output-tokens": 100})
    process = start_simulator(tmp_path, "--cert", str(good.certificate), "--key", str(good.key), "--defaults", defaults)
    yield SimpleNamespace(root=certificates.root, **process.ready)
    process.stop()


def _address(url):
    return url.partition("://")[2]


def _billed(provider):
    """What the provider has billed, in dollars."""
    with urllib.request.urlopen(f"{provider.plain}/sim/bill?wait=1", timeout=10) as answer:
        return sum(Decimal(json.loads(line)["usd"]) for line in answer.read().splitlines())


def _spend(wfb, provider, *options, base="https://api.openai.com/v1", calls=3, **env):
    """(answers, the JSON document, standard error) of one run."""
    ended = wfb.run(
        *("run", "--budget", "budget.yaml", "--label", "workflow=triage", "--json", "spent.json"),
        *(
            "--upstream-ca",
            str(provider.root),
            "--connect-to",
            f"api.openai.com:443={_address(provider.tls)}",
            *options,
        ),
        *("--", sys.executable, "-c", AGENT, base, str(calls)),
        **env,
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stdout.split(), json.loads((wfb.folder / "spent.json").read_text()), ended.stderr


@pytest.mark.parametrize("way", ["proxy", "base-url", "endpoint", "trust overridden"])
def test_what_is_shown_is_what_was_billed(wfb, provider, way):
    """By each way to the sidecar the calls arrive, and the document's dollars are the provider's."""
    wfb.budget()
    mine = wfb.folder / "mine.pem"
    mine.write_bytes(provider.root.read_bytes())
    options, more = {
        "proxy": ((), {}),
        "base-url": (("--mode", "base-url"), {}),
        "endpoint": (
            ("--endpoint", f"{_address(provider.plain)}=openai"),
            {"base": f"{provider.plain}/v1", "NO_PROXY": "localhost"},
        ),
        "trust overridden": (("--override-trust",), {"REQUESTS_CA_BUNDLE": str(mine)}),
    }[way]
    answers, document, said = _spend(wfb, provider, *options, **more)
    assert answers == ["200"] * 3, said
    assert Decimal(document["totals"]["usd"]) == _billed(provider) > 0
    assert document["totals"]["calls"] == 3
    assert document["usage"][0]["workflow"] == "triage"
    assert "gpt-4o" in said
    assert "no call to a provider was seen" not in said


def test_a_limit_spans_runs_and_refuses(wfb, provider):
    """What one run spent is missing to the next, which is refused with 402; stages and the report say so."""
    wfb.budget(usd="0.004", ladder=[{"atPercent": 50, "action": "Warn"}])
    answers, first, _ = _spend(wfb, provider, calls=2)
    assert answers == ["200", "200"]
    answers, second, said = _spend(wfb, provider, calls=4)
    assert answers[-1] == "402", said
    billed = _billed(provider)
    assert Decimal(first["totals"]["usd"]) + Decimal(second["totals"]["usd"]) == billed <= Decimal("0.004")
    assert second["totals"]["refused"] >= 1
    assert second["budgets"][0]["spent_usd"] == str(billed.normalize())
    assert "% of $0.004 (Day), Warn" in said
    report = json.loads(wfb.run("report", "--by", "run,model", "--json").stdout)
    assert {row["run"] for row in report["usage"]} == {first["run"], second["run"]}
    assert Decimal(report["totals"]["usd"]) == billed


@pytest.fixture
def receiver():
    """Somebody to tell, in a loop of its own."""
    loop = LoopThread()
    found = loop.run(Receiver().start())
    yield found
    loop.run(found.stop())
    loop.close()


def test_a_rung_is_told_to_whom_the_file_names(wfb, provider, receiver):
    """A signed event as the run spends, by a key from a folder of Secrets; the next run tells it nobody again."""
    (wfb.folder / "secrets" / "hook").mkdir(parents=True)
    (wfb.folder / "secrets" / "hook" / "signing-key").write_text(SECRET + "\n")
    told = {"url": receiver.url, "secretRef": {"name": "hook"}}
    wfb.budget(usd="0.004", ladder=[{"atPercent": 25, "action": "Warn", "notify": [told]}])
    for _ in range(2):
        _spend(wfb, provider, "--secrets", "secrets", calls=1)
    (one,) = receiver.received
    assert one.genuine()
    assert one.event["data"]["atPercent"] == 25


def test_who_cannot_be_told_is_said(wfb, provider, receiver):
    """Without the folder the sentence says what to give; the command's own code stays."""
    told = {"url": receiver.url, "secretRef": {"name": "hook"}}
    wfb.budget(usd="0.004", ladder=[{"atPercent": 25, "action": "Warn", "notify": [told]}])
    *_, said = _spend(wfb, provider, calls=1)
    assert "Secret hook is not known here: give --secrets DIR with a file hook/KEY" in said
    assert receiver.received == []


def test_a_refusal_explains_itself(wfb, provider):
    """The workflow's last decision, explained by its id: budget, price, bound, windows then and now, and ways out."""
    wfb.budget(usd="0.0015")
    answers, *_ = _spend(wfb, provider, calls=3)
    assert answers[-1] == "402"
    now = json.loads(wfb.run("explain", "triage", "--json").stdout)
    assert now["decided"]["window"] == "Day"
    decision = now["decisions"][0]
    assert decision["reason"] == "BudgetExhausted"
    found = json.loads(wfb.run("explain", decision["id"], "--json").stdout)
    (budget,) = found["budgets"]
    (window,) = budget["windows"]
    assert (budget["matches"], window["limit"], window["then"]["spent"]) == (True, "0.0015", window["spent"])
    assert found["decision"]["price"] == {
        "input": "2.50",
        "output": "10.00",
        "from": found["decision"]["price"]["from"],
    }
    assert Decimal(found["decision"]["bound"]["least"]) > Decimal(window["left"])
    assert found["waysOut"][0].startswith("raise spec.limits (Day) of budget billing/triage to at least $")
    shown = wfb.run("explain", decision["id"]).stdout
    assert "What would let it through:" in shown
    unknown = wfb.run("explain", "d-000000000000")
    assert (unknown.returncode, "d-000000000000 is not known here" in unknown.stderr) == (2, True)


def test_a_replay_of_what_was_spent(wfb, provider):
    """Under its own budget nothing changes; under half of it, part of the calls would not have gone and money is saved."""
    wfb.budget(usd="5.00")
    _, document, _ = _spend(wfb, provider, calls=4)
    spent = document["totals"]["usd"]
    same = json.loads(wfb.run("whatif", "-f", "budget.yaml", "--json").stdout)["budgets"][0]["totals"]
    assert (same["calls"], same["refused"], same["wouldSpendUSD"], same["savedUSD"]) == (4, 0, spent, "0.00")
    wfb.budget(file="half.yaml", usd=str(Decimal(spent) / 2))
    half = json.loads(wfb.run("whatif", "-f", "half.yaml", "--since", "1h", "--json").stdout)["budgets"][0]
    assert (half["totals"]["refused"], Decimal(half["totals"]["savedUSD"])) == (2, Decimal(spent) / 2)
    assert half["windows"][0]["exhaustedAt"] is not None
    assert "would run out" in wfb.run("whatif", "-f", "half.yaml").stdout
    wrong = wfb.run("whatif", "-f", "half.yaml", "--since", "2999-01-01")
    assert (wrong.returncode, "is not in the past" in wrong.stderr) == (2, True)


def test_report_only_lets_everything_through(wfb, provider):
    """With --report-only the same limit refuses nothing, and shows how far beyond it one is."""
    wfb.budget(usd="0.0015")
    answers, document, _ = _spend(wfb, provider, "--report-only", calls=4)
    assert answers == ["200"] * 4
    assert Decimal(document["budgets"][0]["overspent_usd"]) > 0


def test_suspending_stops_a_run(wfb, provider):
    """`suspend: true` in the file refuses the calls of a run that is going on."""
    wfb.budget(suspend=True)
    answers, document, _ = _spend(wfb, provider, calls=1)
    assert answers != ["200"]
    assert document["totals"]["usd"] == "0.00"
    assert _billed(provider) == 0
