"""Reports over HTTP into SQLite: what is counted, once, whatever happens on the way."""

import asyncio

import pytest

from harness.ledger_under_test import DAY, T0, TOMORROW, USD, LedgerUnderTest, batch, dispatch, document, usage
from wfb_core.grants import GRANTED, PENDING, Wallet
from wfb_core.wire import DecisionRecord, Dispatch


async def money(ledger: LedgerUnderTest, window=DAY):
    """What the summary says of a window: (spent, reserved)."""
    lines = {line["window"]: line for line in (await ledger.get("/v1/summary"))["budgets"]}
    return lines[window]["spent_usd"], lines[window]["reserved_usd"]


async def total_usage(ledger: LedgerUnderTest):
    rows = (await ledger.get("/v1/usage?by="))["usage"]
    return (rows[0]["calls"], rows[0]["usd"]) if rows else (0, "0.00")


async def test_a_call_is_granted_settled_and_counted(ledger):
    """A wallet's call gets its hold, and after it settles window, usage and runs agree."""
    wallet = Wallet("pod-a/1", lambda _: None)
    assert wallet.ask(T0, 1, 2 * USD, USD, lambda _: (DAY,), 30) == PENDING
    assert await ledger.exchange(wallet) == {1: GRANTED}
    assert await money(ledger) == ("0.00", "2.00")

    wallet.settle(T0, 1, USD + 5)
    await ledger.exchange(wallet, [batch(1, usage(nanos=USD + 5))])

    assert await money(ledger) == ("1.000000005", "0.00")
    assert await total_usage(ledger) == (1, "1.000000005")


async def test_usage_sums_equal_the_windows_spend(ledger):
    """Over many calls of two holders in two windows, usage adds up to what each window says was spent."""
    await ledger.put_budgets(document(), document("all", window="Total", usd="100.00"))
    await ledger.put_identity("token-b", "pod-b/")
    total = "default/all|Total|"
    costs = {"pod-a/1": [3 * USD // 7, 11, 0], "pod-b/1": [USD // 3, 10**6]}
    for number, (holder, amounts) in enumerate(costs.items()):
        wallet = Wallet(holder, lambda _: None)
        token = f"token-{'ab'[number]}"
        for call, cost in enumerate(amounts):
            wallet.ask(T0, call, USD, USD, lambda _: (DAY, total), 30)
            assert await ledger.exchange(wallet, token=token) in ({call: GRANTED}, {})
            wallet.settle(T0, call, cost)
            await ledger.exchange(wallet, [batch(wallet.seq + 1, usage(nanos=cost))], token)
    spent = sum(map(sum, costs.values()))
    assert (await money(ledger))[0] == (await money(ledger, total))[0] == (await total_usage(ledger))[1]
    assert (await total_usage(ledger))[1] == f"{spent / USD:.9f}"


SCRIPTS = {
    "each once": [1, 2, 3],
    "the last twice": [1, 2, 3, 3],
    "one lost": [1, 3],
    "two swapped": [1, 3, 2],
    "an old one again": [1, 2, 1, 3, 1],
    "all twice": [1, 1, 2, 2, 3, 3],
}


@pytest.mark.parametrize("arrive", SCRIPTS.values(), ids=SCRIPTS)
@pytest.mark.parametrize("restart", [False, True], ids=["same process", "restarted before each"])
async def test_loss_doubling_and_order_change_nothing(ledger, arrive, restart):
    """Whatever the network does to three reports, the window and the usage end at the sender's totals."""
    first = await ledger.report(dispatch(1, {DAY: (0, 0, 0)}, [(1, 6 * USD, (DAY,))]))
    assert first.reply.answers == {1: GRANTED}
    rows = {2: usage(nanos=USD), 3: usage(nanos=2 * USD), 4: usage(nanos=3 * USD)}
    used, sent = 0, {}
    for seq in (2, 3, 4):
        used += rows[seq].nanos
        unconfirmed = [batch(n, rows[n]) for n in range(2, seq + 1)]
        sent[seq - 1] = dispatch(seq, {DAY: (used, 0, 6 * USD)}, batches=unconfirmed)
    for name in arrive:
        if restart:
            await ledger.again()
        response = await ledger.report(sent[name])
        assert response.applied >= name + 1
    assert await money(ledger) == ("6.00", "0.00")
    assert await total_usage(ledger) == (3, "6.00")


async def test_a_repeated_report_gets_its_reply_again(ledger):
    """The same sequence number is answered alike without granting twice, and with nothing after a restart."""
    once = dispatch(1, {DAY: (0, 0, 0)}, [(1, 6 * USD, (DAY,))])
    replies = [(await ledger.report(once)).reply for _ in range(3)]
    assert replies[0] == replies[1] == replies[2]
    assert await money(ledger) == ("0.00", "6.00")

    await ledger.again()

    assert (await ledger.report(once)).reply is None
    assert await money(ledger) == ("0.00", "6.00")


async def test_grants_survive_a_restart(ledger):
    """What was handed out before a restart is not handed out again after it."""
    await ledger.report(dispatch(1, {DAY: (0, 0, 0)}, [(1, 6 * USD, (DAY,))]))
    await ledger.again()
    await ledger.put_identity("token-b", "pod-b/")
    answer = await ledger.report(dispatch(1, {DAY: (0, 0, 0)}, [(1, 6 * USD, (DAY,))], holder="pod-b/1"), "token-b")
    assert answer.reply.answers == {1: PENDING}


async def test_concurrent_reports_share_a_transaction_and_never_the_money(ledger):
    """Forty holders asking at once for a quarter of the limit each: four are granted, in fewer commits than reports."""
    for n in range(40):
        await ledger.put_identity(f"token-{n}", f"pod-{n}/")
    before = ledger.store.commits
    responses = await asyncio.gather(
        *(
            ledger.report(
                dispatch(1, {DAY: (0, 0, 0)}, [(1, 10 * USD // 4, (DAY,))], holder=f"pod-{n}/1"), f"token-{n}"
            )
            for n in range(40)
        )
    )
    assert sum(r.reply.answers[1] == GRANTED for r in responses) == 4
    assert await money(ledger) == ("0.00", "10.00")
    assert ledger.store.commits - before < 40


async def test_an_implausible_report_is_refused_whole_and_counted(ledger):
    """A claim of money never granted changes no window; its calls stay pending and the metrics say so."""
    response = await ledger.report(dispatch(1, {DAY: (9 * USD, 0, 0)}, [(1, USD, (DAY,))]))
    assert response.reply.answers == {1: PENDING}
    assert await money(ledger) == ("0.00", "0.00")
    assert b"wfb_ledger_flagged_total 1.0" in await ledger.get("/metrics", token="")


async def test_a_decision_that_cannot_be_read_costs_its_report_nothing(ledger):
    """Spend and the other decisions of the batch are booked once, the batch is confirmed, and one record is counted."""
    decisions = [DecisionRecord(f"d-{n}", T0, kind, "BudgetExhausted") for n, kind in enumerate(("rumour", "refusal"))]
    sent = dispatch(1, {DAY: (0, 0, 0)}, batches=[batch(1, usage(nanos=USD), decisions=tuple(decisions))])
    for _ in range(2):
        assert (await ledger.report(sent)).applied == 1
    assert await total_usage(ledger) == (1, "1.00")
    assert [d["id"] for d in (await ledger.get("/v1/decisions"))["decisions"]] == ["d-1"]
    assert b"wfb_ledger_decisions_dropped_total 1.0" in await ledger.get("/metrics", token="")


WINDOWS = {
    "of another workflow's budget": ("default/other|Day|2027-01-15T00:00:00+00:00", "labels do not match"),
    "of no budget": ("default/nobody|Day|2027-01-15T00:00:00+00:00", "no such budget"),
    "of a kind without a limit": ("default/triage|Week|2027-01-11T00:00:00+00:00", "no such limit"),
    "at a time that is no boundary": ("default/triage|Day|2027-01-15T01:00:00+00:00", "malformed"),
    "in another zone": ("default/triage|Day|2027-01-15T00:00:00+01:00", "malformed"),
    "far ahead": (TOMORROW, "too early or too late"),
    "long ago": ("default/triage|Day|2026-11-01T00:00:00+00:00", "too early or too late"),
    "not an id": ("nonsense", "malformed"),
    "of another run": ("default/runs|Run|run-2", "another run"),
}


@pytest.mark.parametrize(("window", "reason"), WINDOWS.values(), ids=WINDOWS)
@pytest.mark.parametrize("opened_by_others", [False, True])
async def test_a_pod_cannot_have_money_of_a_window_that_is_not_its_own(ledger, window, reason, opened_by_others):
    """A window that the pod may not name gives no share and no grant, whether or not others have opened it."""
    await ledger.put_budgets(
        document(),
        document("other", labels={"aifinops.dev/workflow": "other"}),
        document("runs", window="Run"),
    )
    await ledger.put_identity(run="run-1")
    if opened_by_others:
        await ledger.put_identity("token-b", "pod-b/", labels={"aifinops.dev/workflow": "other"}, run="run-2")
        await ledger.report(dispatch(1, {window: (0, 0, 0)}, [(1, USD, (window,))], holder="pod-b/1"), "token-b")
    response = await ledger.report(
        dispatch(1, {DAY: (0, 0, 0), window: (0, 0, 0)}, [(1, USD, (DAY, window)), (2, USD, (DAY,))])
    )
    assert window not in response.reply.shares
    assert response.reply.answers.get(1, PENDING) == PENDING
    assert response.reply.answers[2] == GRANTED
    metrics = (await ledger.get("/metrics", token="")).decode()
    assert f'wfb_ledger_windows_refused_total{{reason="{reason}"}}' in metrics


async def test_the_next_window_opens_ahead_of_midnight(ledger):
    """A minute before midnight tomorrow's window is there for slack, and its calls wait for its start."""
    ledger.clock.forward(16 * 3600 - 30)
    response = await ledger.report(dispatch(1, {TOMORROW: (0, 0, 0)}, [(1, USD, (TOMORROW,))]))
    assert response.reply.answers == {1: PENDING}
    assert TOMORROW in response.reply.shares

    ledger.clock.forward(31)

    response = await ledger.report(dispatch(2, {TOMORROW: (0, 0, 0)}, [(1, USD, (TOMORROW,))]))
    assert response.reply.answers == {1: GRANTED}


async def test_a_clock_set_back_opens_no_closed_window(ledger):
    """After midnight a wall clock that jumps back an hour leaves yesterday closed, and is counted."""
    await ledger.report(dispatch(1, {DAY: (0, 0, 0)}))
    ledger.clock.forward(16 * 3600 + 5)
    assert (await ledger.report(dispatch(2, {DAY: (0, 0, 0)}))).reply.shares[DAY].closed
    ledger.clock.wall -= 3600
    response = await ledger.report(dispatch(3, {DAY: (0, 0, 0)}, [(1, USD, (DAY,))]))
    assert response.reply.shares[DAY].closed
    assert response.reply.answers == {1: PENDING}
    assert response.now >= T0 + 16 * 3600 + 5
    assert b"wfb_ledger_clock_steps_back_total 1.0" in await ledger.get("/metrics", token="")


async def test_a_clock_set_back_while_the_ledger_was_away(ledger):
    """A restart does not take time back either: what was written down is the floor."""
    ledger.clock.forward(16 * 3600 + 5)
    await ledger.report(dispatch(1, {TOMORROW: (0, 0, 0)}))
    ledger.clock.wall -= 600
    await ledger.again()
    assert (await ledger.report(dispatch(2, {TOMORROW: (0, 0, 0)}))).now >= T0 + 16 * 3600 + 5


async def test_a_late_holder_finds_its_window_again(ledger):
    """Spend told hours after the window ended and left memory is counted on top of what the store has."""
    await ledger.report(dispatch(1, {DAY: (0, 0, 0)}, [(1, 4 * USD, (DAY,))]))
    await ledger.put_identity("token-b", "pod-b/")
    await ledger.report(dispatch(1, {DAY: (0, 0, 0)}, [(1, 3 * USD, (DAY,))], holder="pod-b/1"), "token-b")
    await ledger.report(dispatch(2, {DAY: (3 * USD, 0, 3 * USD)}, holder="pod-b/1"), "token-b")
    ledger.clock.forward(30 * 3600)
    ledger.service.memory.let_go(ledger.clock.wall)
    assert DAY not in ledger.service.memory.grants.windows
    assert "pod-b/1" not in ledger.service.memory.grants.holders

    response = await ledger.report(dispatch(2, {DAY: (4 * USD, 0, 4 * USD)}))

    assert response.reply.shares[DAY].closed
    assert response.reply.shares[DAY].left == 3 * USD


async def test_a_holder_put_aside_is_known_when_it_returns(ledger):
    """Sequence numbers, totals and batches of a holder that left memory hold when it speaks again."""
    await ledger.put_budgets(document("all", window="Total"))
    total = "default/all|Total|"
    await ledger.report(dispatch(1, {total: (0, 0, 0)}, [(1, USD, (total,))]))
    await ledger.report(dispatch(5, {total: (USD, 0, USD)}, batches=[batch(5, usage())]))
    ledger.clock.forward(2 * 3600)
    ledger.service.memory.let_go(ledger.clock.wall)
    assert not ledger.service.memory.grants.holders

    old = await ledger.report(dispatch(4, {total: (0, 0, USD)}, batches=[batch(4, usage())]))
    assert (old.reply, old.applied) == (None, 5)
    response = await ledger.report(dispatch(6, {total: (USD, 0, USD)}, [(2, 9 * USD, (total,))]))
    assert response.reply.answers == {2: GRANTED}
    assert (await money(ledger, total), await total_usage(ledger)) == (("1.00", "9.00"), (1, "1.00"))


async def test_a_holder_comes_into_memory_with_all_its_rows(ledger):
    """A holder that another one's late report brought in is believed about its other windows too."""
    await ledger.put_budgets(document(), document("all", window="Total"))
    await ledger.put_identity("token-b", "pod-b/")
    total = "default/all|Total|"
    for holder, token in (("pod-a/1", "token-a"), ("pod-b/1", "token-b")):
        asks = [(1, USD, (DAY, total))]
        await ledger.report(dispatch(1, {DAY: (0, 0, 0), total: (0, 0, 0)}, asks, holder=holder), token)
        claims = {DAY: (USD, 0, USD), total: (USD, 0, USD)}
        await ledger.report(dispatch(2, claims, holder=holder), token)
    ledger.clock.forward(30 * 3600)
    ledger.service.memory.let_go(ledger.clock.wall)
    await ledger.report(dispatch(3, {DAY: (USD, 0, USD)}, holder="pod-b/1"), "token-b")
    response = await ledger.report(dispatch(3, {total: (USD, 0, USD)}))
    assert response.reply.shares[total].left == 8 * USD


async def test_each_stage_change_is_told_once(ledger):
    """Climbing the ladder, a restart half-way and an edit leave one record for every change of stage."""
    ladder = [{"atPercent": 50, "action": "Warn"}, {"atPercent": 80, "action": "Slow"}]
    await ledger.put_budgets(document(ladder=ladder))
    await ledger.report(dispatch(1, {DAY: (0, 0, 0)}, [(1, 10 * USD, (DAY,))]))
    for seq, used in enumerate((4, 5, 6, 8, 9, 10, 10), 2):
        await ledger.report(dispatch(seq, {DAY: (used * USD, 0, 10 * USD)}))
        if used == 6:
            await ledger.again()
    await ledger.put_budgets(document(ladder=ladder, usd="100.00"))
    changes = (await ledger.get("/v1/stages"))["stages"]
    assert [(c["from_stage"], c["to_stage"], c["spent_usd"]) for c in reversed(changes)] == [
        ("Open", "Warn", "5.00"),
        ("Warn", "Slow", "8.00"),
        ("Slow", "Exhausted", "10.00"),
        ("Exhausted", "Open", "10.00"),
    ]


async def test_estimates_are_shown_apart(ledger):
    """Only spend marked estimated counts as such, in the window of its minute."""
    yesterday = int(T0 // 60) - 24 * 60
    rows = usage(nanos=3), usage(nanos=5, estimated=True), usage(nanos=7, estimated=True, minute=yesterday)
    await ledger.report(dispatch(1, {DAY: (0, 0, 0)}, batches=[batch(1, *rows)]))
    line = (await ledger.get("/v1/summary"))["budgets"][0]
    assert line["estimated_usd"] == "0.000000005"


async def test_only_counted_budgets_never_stop_a_call(ledger):
    """Under Report a window grants beyond its stated limit, and is shown against it."""
    await ledger.put_budgets(document(usd="1.00", enforcement="Report"))
    answer = await ledger.report(dispatch(1, {DAY: (0, 0, 0)}, [(1, 5 * USD, (DAY,))]))
    assert answer.reply.answers == {1: GRANTED}
    await ledger.report(dispatch(2, {DAY: (5 * USD, 0, 5 * USD)}))
    line = (await ledger.get("/v1/summary"))["budgets"][0]
    assert (line["limit_usd"], line["spent_usd"], line["overspent_usd"]) == ("1.00", "5.00", "4.00")
    assert (line["percent_used"], line["stage"]) == (500, "Exhausted")


async def test_a_removed_budget_still_hears_what_was_spent(ledger):
    """Removing a budget gives no new money of its windows, keeps their spend, and counts it when the budget returns."""
    await ledger.report(dispatch(1, {DAY: (0, 0, 0)}, [(1, 4 * USD, (DAY,))]))
    await ledger.put_budgets()
    response = await ledger.report(dispatch(2, {DAY: (3 * USD, 0, 4 * USD)}, [(2, USD, (DAY,))]))
    assert 2 not in response.reply.answers
    await ledger.put_budgets(document())
    assert (await money(ledger))[0] == "3.00"


async def test_an_edited_limit_counts_at_the_next_report(ledger):
    """Cutting a limit below what is spent exhausts the window for the next call, also after a restart."""
    await ledger.report(dispatch(1, {DAY: (0, 0, 0)}, [(1, 4 * USD, (DAY,))]))
    await ledger.put_budgets(document(usd="4.00"))
    answer = await ledger.report(dispatch(2, {DAY: (4 * USD, 0, 4 * USD)}, [(2, 1, (DAY,))]))
    assert answer.reply.answers == {2: "exhausted"}
    await ledger.again()
    assert (await ledger.report(dispatch(3, {DAY: (4 * USD, 0, 4 * USD)}))).reply.shares[DAY].limit == 4 * USD


async def test_decisions_are_kept_with_their_holder(ledger):
    """A decision record can be found again by its id, its kind and its reason."""
    records = (
        DecisionRecord("d-1", T0, "refusal", "BudgetExhausted", "no", 402, "openai", "gpt-5", hold=USD),
        DecisionRecord("d-2", T0, "finding", "Unmetered"),
    )
    for _ in range(2):
        await ledger.report(Dispatch(dispatch(1).report, (batch(1, decisions=records),)))
    found = (await ledger.get("/v1/decisions?id=d-1"))["decisions"]
    assert [(d["holder"], d["workflow"], d["hold_usd"], d["status"]) for d in found] == [
        ("pod-a/1", "triage", "1.00", 402)
    ]
    assert [d["id"] for d in (await ledger.get("/v1/decisions?kind=finding"))["decisions"]] == ["d-2"]
    assert [d["id"] for d in (await ledger.get("/v1/decisions?reason=BudgetExhausted"))["decisions"]] == ["d-1"]


async def test_runs_are_added_up(ledger):
    """A run's spend and times are kept beside its usage rows."""
    await ledger.put_identity(run="run-1")
    later = int(T0 // 60) + 5
    await ledger.report(dispatch(1, batches=[batch(1, usage(nanos=3)), batch(2, usage(nanos=4, minute=later))]))
    run = (await ledger.get("/v1/runs"))["runs"][0]
    assert (run["workflow"], run["run"], run["usd"]) == ("triage", "run-1", "0.000000007")
    assert run["last_seen"] == later * 60


async def test_release_gives_back_what_a_dead_holder_held_in_slack(ledger):
    """Released slack is granted to others; an unknown holder is said to be unknown."""
    await ledger.report(dispatch(1, {DAY: (0, 0, 0)}, [(1, 8 * USD, (DAY,))]))
    await ledger.report(dispatch(2, {DAY: (0, USD, 8 * USD)}))
    answer = await ledger.ask("POST", "/v1/release", json={"holder": "pod-a/1"})
    assert answer.body == {"released": {DAY: "7.00"}}
    assert (await ledger.ask("POST", "/v1/release", json={"holder": "pod-z"})).status == 404
    await ledger.put_identity("token-b", "pod-b/")
    other = await ledger.report(dispatch(1, {DAY: (0, 0, 0)}, [(1, 9 * USD, (DAY,))], holder="pod-b/1"), "token-b")
    assert other.reply.answers == {1: GRANTED}


async def test_a_lost_holder_is_named_with_its_money(ledger):
    """A holder silent for over a minute is listed with what it keeps, until it speaks again."""
    await ledger.report(dispatch(1, {DAY: (0, 0, 0)}, [(1, 8 * USD, (DAY,))]))
    ledger.clock.forward(61)
    await ledger.service._change(lambda memory, now, _: memory.grants.sweep(now))
    await ledger.again()
    (lost,) = (await ledger.get("/v1/summary"))["lost_holders"]
    assert lost == {"holder": "pod-a/1", "seen": T0, "lost_usd": "8.00"}
    await ledger.report(dispatch(2, {DAY: (0, 8 * USD, 8 * USD)}))
    assert (await ledger.get("/v1/summary"))["lost_holders"] == []


async def test_labels_are_frozen_at_the_first_report(ledger):
    """A pod relabelled after its first report, with a new token even, stays in the budgets it had."""
    await ledger.report(dispatch(1, {DAY: (0, 0, 0)}))
    moved = {"aifinops.dev/workflow": "other"}
    await ledger.put_identity(labels=moved)
    await ledger.again()
    await ledger.put_identity("token-a2", labels=moved)
    for token in ("token-a", "token-a2"):
        scope = await ledger.get("/v1/scope", token)
        assert scope["holder_labels"]["aifinops.dev/workflow"] == "triage"
        assert [b["metadata"]["name"] for b in scope["budgets"]] == ["triage"]


async def test_memory_lets_go_between_transactions(ledger):
    """An hour after its end a window leaves memory by itself, with everything about it in the store."""
    await ledger.report(dispatch(1, {DAY: (0, 0, 0)}, [(1, USD, (DAY,))]))
    ledger.clock.forward(17 * 3600 + 1)
    sent = dispatch(2, {DAY: (USD, 0, USD), TOMORROW: (0, 0, 0)})
    assert DAY in (await ledger.report(sent)).reply.shares
    await ledger.report(dispatch(3, {TOMORROW: (0, 0, 0)}))
    assert list(ledger.service.memory.grants.windows) == [TOMORROW]
    assert (await ledger.report(dispatch(4, {DAY: (USD, 0, USD)}))).reply.shares[DAY].left == 9 * USD
