"""`wfb whatif` over books that no longer have every minute, and with budgets that minutes cannot tell."""

import json
import time
from decimal import Decimal

import pytest

from harness.ledger_under_test import USD
from harness.store_books import StoreBooks, usage_row
from wfb_operator.cli.whatif import recorded
from wfb_operator.ledger.store.tiers import Retention

DAY = 24 * 60


def written(folder, now):
    """Thirty days of a dollar a day, of which the minutes of the last fourteen, and of an hour begun, are kept."""
    folder.mkdir(parents=True, mode=0o700)
    books, today = StoreBooks(folder), int(now // 60)
    usage = dict(usage_row(today - n * DAY - 70, nanos=USD, workflow="triage", namespace="billing") for n in range(30))
    books.write(usage, now, roll=True, keep=Retention())
    return books


def test_a_replay_of_more_than_is_kept_says_so(wfb):
    """It warns, names the time from which it is whole, and replays what there is; within that time it is silent."""
    now = time.time()
    written(wfb.state / "ledger", now)
    file = wfb.budget()
    long = wfb.run("whatif", "-f", file, "--since", "20d", "--json")
    found = json.loads(long.stdout)
    assert "are no longer kept: the replay begins there" in long.stderr, long.stderr
    assert found["budgets"][0]["totals"]["recordedUSD"] == "14.00"
    assert abs(found["exact"]["since"] - (now - 14 * DAY * 60)) < 3700
    assert "minutes of before" in wfb.run("whatif", "-f", file, "--since", "20d").stderr
    short = wfb.run("whatif", "-f", file, "--since", "7d", "--json")
    assert (short.stderr, json.loads(short.stdout)["budgets"][0]["totals"]["recordedUSD"]) == ("", "7.00")


def test_what_is_kept_is_read_once(tmp_path):
    """Slice by slice every minute that is kept comes once, wherever the replay is asked to begin."""
    now = 1_800_000_000
    books = written(tmp_path / "ledger", now)
    for days, rows in {1: 1, 10: 10, 14: 14, 15: 14, 400: 14}.items():
        found = recorded(books, now - days * DAY * 60, now + 60)
        assert len(found.rows) == rows, days
        assert found.since >= now - 14 * DAY * 60 - 3600


def test_a_selector_of_namespaces_that_minutes_do_not_know(wfb):
    """Minutes have a namespace's name and none of its labels: that is said, and how to write it."""
    file = wfb.budget(namespaceSelector={"matchLabels": {"stage": "prod"}})
    document = json.loads(file.read_text()) | {"kind": "ClusterWorkflowBudget", "metadata": {"name": "prod"}}
    file.write_text(json.dumps(document))
    ended = wfb.run("whatif", "-f", file)
    assert (ended.returncode, "selects namespaces by stage" in ended.stderr) == (2, True), ended.stderr
    assert "kubernetes.io/metadata.name" in ended.stderr


@pytest.mark.parametrize("since", ["yesterday", "2999-01-01"])
def test_a_beginning_that_is_none(wfb, since):
    """A time that is not understood, or has not come, is named before anything is read."""
    ended = wfb.run("whatif", "-f", wfb.budget(), "--since", since)
    assert (ended.returncode, f"--since {since}" in ended.stderr.replace("'", "")) == (2, True), ended.stderr


def test_a_downgrade_is_priced_by_the_contract(wfb):
    """Whether the other model is cheaper, and by how much, is the contract's to say; a slip in its file is named."""
    now = time.time()
    (wfb.state / "ledger").mkdir(parents=True, mode=0o700)
    books = StoreBooks(wfb.state / "ledger")
    told = {"nanos": 10 * USD, "input": 1_000_000, "workflow": "triage", "namespace": "billing"}
    books.write(dict(usage_row(int(now // 60) - ago, **told) for ago in (90, 60)), now)
    ladder = [{"atPercent": 10, "action": "Downgrade", "models": [{"from": "gpt-5", "to": "gpt-5-mini"}]}]
    file = wfb.budget(usd="50.00", ladder=ladder)
    contract = wfb.folder / "contract.yaml"
    spent = {}
    for multiplier in ("1", "0.5", "100"):
        contract.write_text(f'prices:\n  - provider: openai\n    model: gpt-5-mini\n    multiplier: "{multiplier}"\n')
        told = wfb.run("whatif", "-f", file, "--json", "--prices", contract)
        assert not told.returncode, told.stderr
        spent[multiplier] = json.loads(told.stdout)["budgets"][0]["totals"]["wouldSpendUSD"]
    listed = json.loads(wfb.run("whatif", "-f", file, "--json").stdout)["budgets"][0]["totals"]["wouldSpendUSD"]
    assert (spent["1"], spent["100"]) == (listed, "20.00")
    assert (Decimal(spent["0.5"]) - 10) * 2 == Decimal(listed) - 10 < 10
    contract.write_text("prices:\n  - provider: openai\n")
    ended = wfb.run("whatif", "-f", file, "--prices", contract)
    assert (ended.returncode, "--prices" in ended.stderr, "contract.yaml" in ended.stderr) == (2, True, True), ended
