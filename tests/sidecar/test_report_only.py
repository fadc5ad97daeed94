"""An installation that only reports: nothing is refused, whatever the budget says, and all of it is in the books."""

import pytest

from harness.processes import budget
from harness.stack import WORKFLOW
from harness.until import until
from wfb_operator.controller.documents import reporting

CHAT = "https://api.openai.com/v1/chat/completions"
BODY = {"model": "gpt-4o", "messages": [{"role": "user", "content": "hello"}], "max_tokens": 100}

STRICT = {
    "nothing left": {"limits": [{"window": "Day", "usd": "0.000001"}]},
    "suspended": {"suspend": True},
    "a model that is denied": {"models": {"denied": ["gpt-4o"]}},
}


def call(http):
    """The status of one call."""
    return http.post(CHAT, json=BODY, headers={"authorization": "Bearer sk-none"}).status_code


@pytest.mark.parametrize("spec", STRICT.values(), ids=STRICT)
def test_what_would_be_refused_goes_through_and_is_told(make_bench, client, spec):
    """The very budget refuses when it is enforced; reported, its calls go, and a finding says what would have been."""
    bench = make_bench()
    sidecar = bench.sidecar()
    http = client(sidecar)
    bench.put_budgets(budget(WORKFLOW, "10.00", waitSeconds=1, **spec))
    assert call(http) in {402, 403, 429}
    bench.put_budgets(reporting(budget(WORKFLOW, "10.00", waitSeconds=1, **spec)))
    until(lambda: call(http) == 200, "the first call to go")  # the sidecar asks for money anew within a second
    assert [call(http) for _ in range(2)] == [200, 200]
    books = bench.settled(3)
    assert books.nanos(outcome="ok") == bench.bill() > 0
    assert any(decision["kind"] == "finding" for decision in bench.decisions())


def test_an_outage_of_the_ledger_stops_nobody(make_bench, client):
    """With no ledger, and more spent than was at hand, calls go on; the ledger hears of them when it is back."""
    bench = make_bench()
    bench.put_budgets(reporting(budget(WORKFLOW, "0.01", waitSeconds=1)))
    sidecar = bench.sidecar()
    http = client(sidecar)
    assert call(http) == 200
    bench.settled(1)
    bench.ledger_away()
    assert [call(http) for _ in range(5)] == [200] * 5
    bench.ledger_back()
    assert bench.settled(6, 30).nanos(outcome="ok") == bench.bill()
