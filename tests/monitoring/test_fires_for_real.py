"""A real Prometheus with the chart's rules over a real ledger and sidecar: a loop spends, and the alert fires in time."""

from datetime import UTC, datetime

import pytest

from harness import prometheus
from harness.prometheus_rules import rules_text
from harness.until import until

BURNS = "WfbBudgetBurnsTooFast"


@pytest.fixture
def watched(make_bench, prometheus_program, tmp_path, client):
    """A bench with a day's money, a sidecar, and Prometheus over both; the alert waits for two looks, not for minutes."""
    # A zone in which it is about six in the morning: shortly before midnight no money would be said to run out.
    zone = f"Etc/GMT{(datetime.now(UTC).hour - 6 + 12) % 24 - 12:+d}"
    bench = make_bench(limits=[{"window": "Day", "usd": "20.00"}], timeZone=zone)
    sidecar = bench.sidecar()
    jobs = [prometheus.job("ledger", bench.ledger_url), prometheus.job("sidecar", sidecar.ready["health"])]
    folder = tmp_path / "prometheus"
    folder.mkdir()
    rules = rules_text(burnRateFor="1s")
    with prometheus.running(prometheus_program, folder, jobs, rules=rules, seconds=0.5) as running:
        until(lambda: running.up() and not any(running.up().values()), "both scraped", 30)
        until(lambda: running.value("count(wfb:budget_spend_usd:rate_even)"), "the rules evaluated", 30)
        yield bench, sidecar, running, client(sidecar)


def call(http, tokens):
    """One call whose answer has so many tokens; a model at ten dollars a million."""
    body = {"model": "gpt-4o", "messages": [{"role": "user", "content": "again"}], "max_tokens": tokens}
    answer = http.post(
        "https://api.openai.com/v1/chat/completions", json=body, headers={"authorization": "Bearer sk-none"}
    )
    assert answer.status_code == 200, answer.text
    return answer


def test_a_loop_fires_the_alert_while_most_of_the_money_is_left(watched):
    """The loop's first dollars fire it; the day's money is mostly there, and the pace says that it will not last."""
    bench, _, running, http = watched
    bench.behave(output_tokens=8000)
    firing = []

    def fires():
        """One more call, and whether the alert fires."""
        call(http, 8000)
        firing[:] = [labels for labels in running.firing() if labels["alertname"] == BURNS]
        return firing

    until(fires, "the alert", 120)
    assert [(labels["budget"], labels["window"], labels["severity"]) for labels in firing] == [
        ("test/tested", "Day", "critical")
    ]
    used = running.value("max(wfb_budget_used_ratio)")
    assert 0 < used < 0.5
    # The figures that it fired on are the ledger's own.
    spent = bench.settled().spent / 1e9
    until(lambda: running.value('wfb_budget_spent_usd{window="Day"}') == pytest.approx(spent), "the books scraped", 30)
    assert running.value("max(wfb_budget_exhaustion_timestamp_seconds)") < float("inf")


def test_spend_at_the_days_own_pace_fires_nothing(watched):
    """As many looks at calls that the day's money pays for all day: no alert of ours fires."""
    bench, _, running, http = watched
    bench.behave(output_tokens=1)
    # A call of a few tokens costs less than a second of the day's money (20 dollars ÷ 86,400 s = 231 micro-dollars).
    for _ in range(10):
        before = running.value("max(timestamp(wfb_budget_spent_usd))")
        call(http, 1)
        until(lambda b=before: running.value("max(timestamp(wfb_budget_spent_usd))") > b + 0.9, "two scrapes", 30)
    assert running.value("max(wfb_budget_spent_usd)") > 0
    assert [labels for labels in running.firing() if labels["alertname"] == BURNS] == []
