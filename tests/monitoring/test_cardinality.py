"""How many series an installation has: the figures of docs/metrics.md, counted."""

import asyncio

import pytest
from prometheus_client.parser import text_string_to_metric_families

from harness.ledger_under_test import LedgerUnderTest, batch, dispatch, document, usage
from wfb_operator.ledger.identities import token_sha256

WORKFLOWS, TEAMS = 1000, 50


def identity(n):
    """The sidecar of one workflow."""
    labels = {"workflow": f"w{n}", "team": f"t{n % TEAMS}", "feature": f"f{n}"}
    return {
        "token_sha256": token_sha256(f"token-{n}"),
        "role": "sidecar",
        "holder_prefix": f"pod-{n}/",
        "labels": {f"aifinops.dev/{name}": value for name, value in labels.items()},
        "run": "",
        "namespace": "default",
    }


def budget(n):
    """Its budget: a day's and a month's money."""
    limits = [{"window": "Day", "usd": "10.00"}, {"window": "Month", "usd": "100.00"}]
    return document(f"w{n}", labels={"aifinops.dev/workflow": f"w{n}"}, limits=limits)


@pytest.mark.slow
async def test_a_thousand_workflows_make_forty_thousand_series(tmp_path):
    """Each with one budget of two windows and two models; nobody is an ``other``."""
    ledger = await LedgerUnderTest(str(tmp_path)).start()
    await ledger.put_budgets(*map(budget, range(WORKFLOWS)))
    answer = await ledger.ask("PUT", "/v1/identities", json={"identities": [*map(identity, range(WORKFLOWS))]})
    assert answer.status == 200

    def rows(n):
        """Two models, their cache, and a refusal now and then."""
        ok = {"cache_read_tokens": 4, "reasoning_tokens": 2, "nanos": 10**6}
        yield usage(model="gpt-5", **ok)
        yield usage(model="gpt-5-mini", **ok)
        if n % 5 == 0:
            yield usage(model="gpt-5", outcome="refused", calls=0, refused=1, nanos=0, input_tokens=0, output_tokens=0)

    async def report(n):
        await ledger.report(dispatch(1, holder=f"pod-{n}/1", batches=[batch(1, *rows(n))]), f"token-{n}")

    for first in range(0, WORKFLOWS, 50):
        await asyncio.gather(*(report(n) for n in range(first, first + 50)))
    text = (await ledger.get("/metrics", token="")).decode()
    samples = [s for family in text_string_to_metric_families(text) for s in family.samples]
    assert sum(s.name.startswith("wfb_budget_") for s in samples) == 28_000
    assert len(samples) == pytest.approx(40_000, rel=0.1)
    assert not any("other" in s.labels.values() for s in samples)
    await ledger.stop()


def test_a_sidecar_has_few(parts):
    """Fewer than 200 in each pod."""
    assert sum(len(family.samples) for family in parts.families("sidecar").values()) < 200
