"""The ledger's routes: who may, what is refused with which words, and what wakes whom."""

import asyncio
import hashlib
import json

import aiohttp
import pytest

from harness.ledger_under_test import ADMIN, DAY, T0, USD, LedgerUnderTest, batch, dispatch, document, usage
from wfb_core.wire import DecisionRecord, encode_dispatch
from wfb_operator.ledger import http
from wfb_operator.ledger.identities import token_sha256

REPORT = encode_dispatch(dispatch(1, {DAY: (0, 0, 0)}))

DENIED = {
    "a report without a token": ("POST", "/v1/report", "", 401, "Bearer with a token of role sidecar"),
    "a report with an unknown token": ("POST", "/v1/report", "guess", 401, "the token is not known"),
    "a report by the controller": ("POST", "/v1/report", ADMIN, 403, "/v1/report is for sidecar"),
    "budgets by a sidecar": ("PUT", "/v1/budgets", "token-a", 403, "is for controller; this token is a sidecar's"),
    "budgets by a reader": ("PUT", "/v1/budgets", "reader", 403, "is for controller; this token is a reader's"),
    "prices by a reader": ("PUT", "/v1/prices", "reader", 403, "is for controller"),
    "identities by a sidecar": ("PUT", "/v1/identities", "token-a", 403, "is for controller"),
    "release by a sidecar": ("POST", "/v1/release", "token-a", 403, "is for controller"),
    "the summary by a sidecar": ("GET", "/v1/summary", "token-a", 403, "is for reader or controller"),
    "usage without a token": ("GET", "/v1/usage", "", 401, "role reader or controller"),
    "the scope by a reader": ("GET", "/v1/scope", "reader", 403, "is for sidecar"),
    "a path that is not there": ("GET", "/v2/report", "token-a", 404, "Not Found"),
    "a method that is not there": ("GET", "/v1/report", "token-a", 405, "Method Not Allowed"),
}


@pytest.mark.parametrize(("method", "path", "token", "status", "words"), DENIED.values(), ids=DENIED)
async def test_who_may_not_is_told_what_is_needed(ledger, method, path, token, status, words):
    """Each route refuses the wrong token with 401 or 403 and a sentence; nothing else is read first."""
    await ledger.put_identity("reader", "", role="reader")
    answer = await ledger.ask(method, path, token, data=b"{")
    assert (answer.status, words in answer.body["error"]) == (status, True), answer


async def test_a_pod_cannot_report_for_another(ledger):
    """A holder name that does not begin with the token's prefix is refused, and nothing is booked."""
    sent = dispatch(1, {DAY: (0, 0, 0)}, [(1, USD, (DAY,))], holder="pod-b/1")
    answer = await ledger.post(sent)
    assert answer.status == 403
    assert "'pod-b/1' is not this token's" in answer.body["error"]
    assert "'pod-a/'" in answer.body["error"]
    assert (await ledger.get("/v1/summary"))["holders"] == 0


BAD_REPORTS = {
    "no JSON": (b"{", 400, "not JSON"),
    "another shape": (b"[]", 400, "the body"),
    "a number that is none": (REPORT.replace(b'"seq":1', b'"seq":NaN'), 400, "NaN"),
    "a missing field": (REPORT.replace(b'"seq":1', b'"sec":1'), 400, "report.seq is missing"),
    "an amount below zero": (REPORT.replace(b'"used":0', b'"used":-1'), 400, f"report.claims.{DAY}.used"),
    "half a character": (REPORT.replace(b"pod-a/1", b"pod-a/\\ud800"), 400, "report.holder"),
    "nested without end": (b"[" * 100_000, 400, "too deeply"),
    "too large": (b" " * (http.BODY_MOST + 1), 413, "larger than"),
}


@pytest.mark.parametrize(("body", "status", "words"), BAD_REPORTS.values(), ids=BAD_REPORTS)
async def test_a_malformed_report_is_named_and_harms_nobody(ledger, body, status, words):
    """A report that cannot be read is answered with its mistake; one that comes at the same time is taken."""
    bad, good = await asyncio.gather(
        ledger.ask("POST", "/v1/report", "token-a", data=body), ledger.report(dispatch(1, {DAY: (0, 0, 0)}))
    )
    assert (bad.status, words in bad.body["error"]) == (status, True), bad
    assert good.reply.seq == 1


async def test_budgets_are_replaced_whole_or_not_at_all(ledger):
    """One mistake among three documents puts none of them in force, and every mistake is told with its place."""
    broken = document("second", usd=5)
    answer = await ledger.ask(
        "PUT", "/v1/budgets", json={"budgets": [document("first"), broken, document("third", window="Fortnight")]}
    )
    assert answer.status == 422
    places = [(e["path"][:2], e["path"][2:], e["value"]) for e in answer.body["errors"]]
    assert places == [
        (["budgets", 1], ["spec", "limits", 0, "usd"], 5),
        (["budgets", 2], ["spec", "limits", 0, "window"], "Fortnight"),
    ]
    assert all(e["message"] for e in answer.body["errors"])
    assert [b["budget"] for b in (await ledger.get("/v1/summary"))["budgets"]] == ["default/triage"]


BAD_BUDGETS = {
    "no list": ({"budgets": {}}, "is not a list"),
    "no object": ([], "is not a list"),
    "one name twice": ({"budgets": [document(), document()]}, "second budget default/triage"),
    "more money than is counted": ({"budgets": [document(usd="999999999999.00")]}, "more than the ledger counts"),
}


@pytest.mark.parametrize(("body", "words"), BAD_BUDGETS.values(), ids=BAD_BUDGETS)
async def test_mistakes_between_documents_are_told(ledger, body, words):
    """What only the ledger can see is refused in the same shape."""
    answer = await ledger.ask("PUT", "/v1/budgets", json=body)
    assert answer.status == 422
    assert words in answer.body["errors"][0]["message"]


IDENTITY = {"token_sha256": token_sha256("x"), "role": "sidecar", "holder_prefix": "pod-x/"}
BAD_IDENTITIES = {
    "no list": ({}, "identities: is not a list"),
    "a token instead of its hash": ({**IDENTITY, "token_sha256": "x"}, "identities[0].token_sha256"),
    "an unknown role": ({**IDENTITY, "role": "root"}, "choose one of sidecar, controller, reader"),
    "a sidecar for every holder": ({**IDENTITY, "holder_prefix": ""}, "identities[0].holder_prefix: is missing"),
    "an unknown field": ({**IDENTITY, "label": {}}, "identities[0].label: is not a known field"),
    "a label that is no text": ({**IDENTITY, "labels": {"a": 1}}, "identities[0].labels.a"),
    "the admin's own hash": ({**IDENTITY, "token_sha256": token_sha256(ADMIN)}, "admin token"),
}


@pytest.mark.parametrize(("identity", "words"), BAD_IDENTITIES.values(), ids=BAD_IDENTITIES)
async def test_a_wrong_identity_is_named(ledger, identity, words):
    """Nothing of a list with a mistake is taken in."""
    good = {**IDENTITY, "token_sha256": token_sha256("good")}
    body = {"identities": [identity, good]} if identity else {}
    answer = await ledger.ask("PUT", "/v1/identities", json=body)
    assert (answer.status, words in answer.body["error"]) == (422, True), answer
    assert (await ledger.ask("GET", "/v1/scope", "good")).status == 401


async def test_identities_survive_a_restart(ledger):
    """A token put once is known to the next process."""
    await ledger.again()
    assert (await ledger.get("/v1/scope", "token-a"))["run"] == ""


async def test_the_scope_is_what_matches_the_pod(ledger):
    """A pod hears of its own budgets, their windows now, its labels and the prices in force."""
    prices = (await ledger.ask("PUT", "/v1/prices", data=b"snapshot")).body["prices"]
    await ledger.put_budgets(
        document(),
        document("other", labels={"aifinops.dev/workflow": "other"}),
        document("runs", window="Run"),
        {**document("team", labels={"aifinops.dev/team": "billing"}), "metadata": {"name": "t", "namespace": "far"}},
    )
    await ledger.put_identity(run="run-1")
    await ledger.report(dispatch(1, {DAY: (0, 0, 0)}, [(1, 4 * USD, (DAY,))]))
    await ledger.report(dispatch(2, {DAY: (USD, 2 * USD, 4 * USD)}))
    scope = await ledger.get("/v1/scope", "token-a")
    assert [b["metadata"]["name"] for b in scope["budgets"]] == ["triage", "runs"]
    assert scope["windows"] == {
        DAY: {"left": 9 * USD, "room": 7 * USD},
        "default/runs|Run|run-1": {"left": 10 * USD, "room": 10 * USD},
    }
    assert scope["holder_labels"] == {"aifinops.dev/workflow": "triage", "aifinops.dev/team": "billing"}
    assert (scope["run"], scope["prices"], scope["now"]) == ("run-1", prices, T0)


async def waiting_for_scope(ledger: LedgerUnderTest, version):
    """A long poll that has reached the ledger."""
    poll = asyncio.create_task(ledger.ask("GET", f"/v1/scope?after={version}&wait=60", "token-a"))
    while not ledger.service._scope_moved._waiters:
        await asyncio.sleep(0)
    return poll


CHANGES = {
    "the kill switch": lambda ledger: ledger.put_budgets(document(suspend=True)),
    "an edited limit": lambda ledger: ledger.put_budgets(document(usd="9.00")),
    "new prices": lambda ledger: ledger.ask("PUT", "/v1/prices", data=b"new"),
    "other labels": lambda ledger: ledger.put_identity(labels={"aifinops.dev/workflow": "triage"}),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
async def test_a_long_poll_wakes_at_a_change(ledger, change):
    """Whoever waits for news of its scope hears at once, and the next report tells the version too."""
    version = (await ledger.get("/v1/scope", "token-a"))["version"]
    poll = await waiting_for_scope(ledger, version)
    await change(ledger)
    answer = await asyncio.wait_for(poll, 10)
    assert answer.status == 200
    assert answer.body["version"] > version
    assert (await ledger.report(dispatch(1))).scope == answer.body["version"]


async def test_what_changes_nothing_wakes_nobody(ledger):
    """The same budgets, prices and identities again, or those of others, leave the version alone."""
    await ledger.ask("PUT", "/v1/prices", data=b"same")
    version = (await ledger.get("/v1/scope", "token-a"))["version"]
    await ledger.ask("PUT", "/v1/prices", data=b"same")
    await ledger.put_budgets(document())
    await ledger.put_identity()
    await ledger.put_identity("token-b", "pod-b/")
    assert (await ledger.ask("GET", f"/v1/scope?after={version}&wait=0", "token-a")).status == 204


async def test_a_long_poll_ends_with_the_ledger(ledger):
    """Stopping does not wait for those who wait: they are answered 204."""
    version = (await ledger.get("/v1/scope", "token-a"))["version"]
    poll = await waiting_for_scope(ledger, version)
    await ledger.service.stop()
    assert (await asyncio.wait_for(poll, 10)).status == 204


async def test_the_scopes_version_survives_a_restart(ledger):
    """A sidecar that heard a version does not take another scope for it after a restart."""
    version = (await ledger.get("/v1/scope", "token-a"))["version"]
    await ledger.again()
    assert (await ledger.get("/v1/scope", "token-a"))["version"] == version


async def test_prices_are_kept_by_their_hash(ledger):
    """Every snapshot that was ever in force can be read by its hash, unchanged, by any role."""
    snapshots = b"first \x00\xff", b"second"
    for snapshot in snapshots:
        await ledger.ask("PUT", "/v1/prices", data=snapshot)
    await ledger.again()
    for snapshot in snapshots:
        assert await ledger.get(f"/v1/prices/{hashlib.sha256(snapshot).hexdigest()}", "token-a") == snapshot
    assert (await ledger.ask("GET", "/v1/prices/none", "token-a")).status == 404
    assert (await ledger.ask("PUT", "/v1/prices", data=b"")).status == 422


async def test_the_summary_has_every_limit(ledger):
    """Each limit of each budget is a line with its window, decimal strings and stage, spent or not."""
    await ledger.put_budgets(document(), document("all", window="Total", usd="5.00"))
    await ledger.report(dispatch(1, {DAY: (0, 0, 0)}, [(1, USD, (DAY,))]))
    day, total = (await ledger.get("/v1/summary"))["budgets"]
    assert day == {
        "budget": "default/triage",
        "window": DAY,
        "kind": "Day",
        "start": 1_799_971_200,
        "end": 1_800_057_600,
        "limit_usd": "10.00",
        "spent_usd": "0.00",
        "reserved_usd": "1.00",
        "lost_usd": "0.00",
        "overspent_usd": "0.00",
        "agreed_usd": "0.00",
        "estimated_usd": "0.00",
        "percent_used": 0,
        "stage": "Open",
        "pacing": "",
        "paced_usd_per_hour": None,
        "queued": 0,
        "ladder": [],
    }
    assert (total["window"], total["start"], total["end"]) == ("default/all|Total|", None, None)


def refusal(number, budget="default/triage", window=DAY, at=T0):
    """A call that was refused."""
    said = "the rest does not pay this call"
    return DecisionRecord(
        f"d-{number}", at, "refusal", "BudgetExhausted", said, 402, "openai", "gpt-5", budget, window, USD
    )


async def test_the_summary_names_each_budgets_last_refusal(ledger):
    """Of many refused calls the newest of a budget is told, a restart forgets none, and no moment is in the future."""
    assert (await ledger.get("/v1/summary"))["refused"] == []
    sent = [refusal(1), refusal(2, at=T0 + 9_000), DecisionRecord("d-3", T0, "estimate", "UsageEstimated")]
    await ledger.report(dispatch(1, batches=[batch(1, decisions=sent)]))
    await ledger.again()
    assert (await ledger.get("/v1/summary"))["refused"] == [
        {
            "budget": "default/triage",
            "window": DAY,
            "id": "d-2",
            "at": T0,
            "reason": "BudgetExhausted",
            "message": "the rest does not pay this call",
            "model": "gpt-5",
            "hold_usd": "1.00",
            "limit_usd": "0.00",
            "spent_usd": "0.00",
        }
    ]


async def test_a_pod_cannot_put_a_refusal_into_another_pods_budget(ledger):
    """A decision that names a budget outside the pod's is kept without that name."""
    await ledger.put_budgets(document(), document("other", labels={"aifinops.dev/workflow": "other"}))
    sent = [refusal(1, "default/other", "default/other|Day|2027-01-15T00:00:00+00:00")]
    await ledger.report(dispatch(1, batches=[batch(1, decisions=sent)]))
    assert (await ledger.get("/v1/summary"))["refused"] == []
    assert [d["budget"] for d in (await ledger.get("/v1/decisions"))["decisions"]] == [""]


async def test_usage_is_told_by_what_is_asked(ledger):
    """Dimensions group, times bound, and an unknown dimension is refused by name."""
    minute = int(T0 // 60)
    rows = (
        usage(minute, nanos=1, model="a"),
        usage(minute, nanos=2, model="b", outcome="cut", estimated=True),
        usage(minute + 1, nanos=4, model="a", agent="x"),
    )
    await ledger.report(dispatch(1, batches=[batch(1, *rows)]))
    by_model = (await ledger.get("/v1/usage?by=workflow,model"))["usage"]
    assert [(r["workflow"], r["model"], r["calls"], r["usd"]) for r in by_model] == [
        ("triage", "a", 2, "0.000000005"),
        ("triage", "b", 1, "0.000000002"),
    ]
    first = (await ledger.get(f"/v1/usage?by=minute,estimated&since={minute * 60}&until={minute * 60 + 60}"))["usage"]
    assert [(r["minute"], r["estimated"], r["usd"]) for r in first] == [
        (minute, True, "0.000000002"),
        (minute, False, "0.000000001"),
    ]
    answer = await ledger.ask("GET", "/v1/usage?by=nanos;drop")
    assert (answer.status, "by: 'nanos;drop' is none of minute" in answer.body["error"]) == (400, True)


async def test_metrics_show_budgets_without_a_token(ledger):
    """Limits, spend and holders are gauges; money becomes a float only here."""
    await ledger.report(dispatch(1, {DAY: (0, 0, 0)}, [(1, USD, (DAY,))]))
    lines = (await ledger.get("/metrics", token="")).decode().splitlines()
    assert 'wfb_budget_limit_usd{budget="default/triage",window="Day"} 10.0' in lines
    assert 'wfb_budget_reserved_usd{budget="default/triage",window="Day"} 1.0' in lines
    assert 'wfb_ledger_reports_total{result="taken"} 1.0' in lines
    assert "wfb_ledger_holders 1.0" in lines
    assert (await ledger.get("/healthz", token=""))["ok"]


async def test_unknown_fields_of_a_newer_sidecar_are_left_unread(ledger):
    """A report with fields that this version does not know is taken as if they were not there."""
    newer = json.loads(REPORT)
    newer["report"]["mood"], newer["extra"] = "good", [1]
    async with aiohttp.ClientSession() as session:
        headers = {"authorization": "Bearer token-a"}
        async with session.post(ledger.url + "/v1/report", json=newer, headers=headers) as answer:
            assert answer.status == 200
