"""Notices on their way: a real ledger, a real receiver, and every way in which the receiver fails."""

import asyncio
import datetime
from dataclasses import dataclass, field

import pytest

from harness.ledger_under_test import DAY, T0, USD, LedgerUnderTest, batch, dispatch, document
from harness.receiver import SECRET, Receiver
from wfb_core.document import parse_budget
from wfb_core.wire import DecisionRecord
from wfb_operator.notify import courier as couriers
from wfb_operator.notify.courier import Courier, SecretUnreadError
from wfb_operator.notify.egress import Egress


def telling(*targets, usd="10.00", **spec):
    """A budget that warns at half and again at 70, slows down at 80, and tells these targets each time."""
    steps = [(50, "Warn"), (70, "Warn"), (80, "Slow")]
    return document(usd=usd, ladder=[{"atPercent": p, "action": a, "notify": list(targets)} for p, a in steps], **spec)


@dataclass
class Post:
    """A courier over a real ledger; a test moves its clock."""

    ledger: object
    budget: dict
    secrets: dict[str, dict[str, bytes]] = field(default_factory=lambda: {"hook": {"signing-key": SECRET.encode()}})
    troubles: list = field(default_factory=list)
    counts: list[str] = field(default_factory=list)
    egress: Egress = field(default_factory=lambda: Egress(own_machine=True))
    now: float = T0

    def __post_init__(self):
        self.again()

    def again(self):
        """A new process: what it knew is gone."""
        self.courier = Courier(self._secret, self._mark, self._tell, self.egress, lambda: self.now, self.counts.append)

    async def round(self):
        """What is left to be sent after one round."""
        notices = (await self.ledger.get("/v1/notices"))["notices"]
        budget = parse_budget(self.budget)
        await self.courier.round(notices, {budget.key: budget})
        return [n["at_percent"] for n in (await self.ledger.get("/v1/notices"))["notices"]]

    async def _secret(self, _, name):
        if name not in self.secrets:
            raise SecretUnreadError(f"there is no Secret {name}")
        return self.secrets[name]

    async def _mark(self, window, at_percent, delivered, done):
        body = {"window": window, "at_percent": at_percent, "delivered": delivered, "done": done}
        assert (await self.ledger.ask("POST", "/v1/notices", json=body)).status == 200

    async def _tell(self, trouble):
        self.troubles.append(trouble)


@pytest.fixture
async def ledger(tmp_path):
    """A ledger with one sidecar."""
    under_test = await LedgerUnderTest(str(tmp_path)).start()
    await under_test.put_identity()
    yield under_test
    await under_test.stop()


@pytest.fixture
async def receiver():
    """One that takes everything, until told otherwise."""
    found = await Receiver().start()
    yield found
    await found.stop()


async def spend(ledger, *dollars):
    """Settles up to these sums, one report each."""
    if not hasattr(ledger, "seq"):
        ledger.seq = 1
        await ledger.report(dispatch(1, {DAY: (0, 0, 0)}, [(1, 10 * USD, (DAY,))]))
    for spent in dollars:
        ledger.seq += 1
        await ledger.report(dispatch(ledger.seq, {DAY: (int(spent * USD), 0, 10 * USD)}))


async def test_one_signed_event_for_each_rung_of_a_window(ledger, receiver):
    """A climb over three rungs to the limit, in many calls and with the ledger restarted, tells four times and no more."""
    post = Post(ledger, telling({"url": receiver.url, "secretRef": {"name": "hook"}}))
    await ledger.put_budgets(post.budget)
    for spent in (1, 5, 5.5, 6, 7, 7.5):
        await spend(ledger, spent)
        await post.round()
    await ledger.again()
    post.again()
    for spent in (8, 8.5, 10):
        await spend(ledger, spent)
        assert await post.round() == []
    assert [r.event["data"]["atPercent"] for r in receiver.received] == [50, 70, 80, 100]
    assert [r.event["data"]["stage"] for r in receiver.received] == ["Warn", "Warn", "Slow", "Exhausted"]
    assert len(set(receiver.ids)) == 4
    assert all(r.genuine() for r in receiver.received)
    assert not any(r.genuine("whsec_" + "A" * 32) for r in receiver.received)
    assert post.counts == ["delivered"] * 4


async def test_rungs_that_one_report_passes_are_told_each(ledger, receiver):
    """A jump over two rungs tells of both, and a limit that is raised and reached again tells nobody twice."""
    post = Post(ledger, telling({"url": receiver.url}))
    await ledger.put_budgets(post.budget)
    await spend(ledger, 7)
    await post.round()
    post.budget = telling({"url": receiver.url}, usd="100.00")
    await ledger.put_budgets(post.budget)
    await spend(ledger, 7.5)
    post.budget = telling({"url": receiver.url})
    await ledger.put_budgets(post.budget)
    await spend(ledger, 7.6)
    assert await post.round() == []
    assert sorted(r.event["data"]["atPercent"] for r in receiver.received) == [50, 70]


async def test_what_the_event_says(ledger, receiver):
    """A CloudEvent 1.0 in structured mode: whose budget, which window, how much, in one sentence; no signature unasked."""
    post = Post(ledger, telling({"url": receiver.url}))
    await ledger.put_budgets(post.budget)
    await spend(ledger, 5.25)
    await post.round()
    (one,) = receiver.received
    assert one.headers["Content-Type"] == "application/cloudevents+json; charset=utf-8"
    assert "webhook-signature" not in one.headers
    event = one.event
    assert {k: event[k] for k in ("specversion", "type", "datacontenttype", "source", "id")} == {
        "specversion": "1.0",
        "type": "dev.aifinops.budget.stage.reached",
        "datacontenttype": "application/json",
        "source": "/apis/aifinops.dev/v1alpha1/namespaces/default/workflowbudgets/triage",
        "id": one.headers["webhook-id"],
    }
    assert datetime.datetime.fromisoformat(event["time"]).timestamp() == T0
    assert event["data"] == {
        "budget": "default/triage",
        "namespace": "default",
        "name": "triage",
        "window": {"kind": "Day", "start": "2027-01-15T00:00:00.000Z", "end": "2027-01-16T00:00:00.000Z"},
        "stage": "Warn",
        "atPercent": 50,
        "spentUSD": "5.25",
        "limitUSD": "10.00",
        "enforcement": "Enforce",
        "onExhausted": "Refuse",
        "message": "Budget default/triage: 5.25 of 10.00 USD of its limit for Day are spent, stage Warn (50 %) begins.",
    }


async def test_what_the_event_says_of_a_run_that_a_caller_named(ledger, receiver):
    """Its name and its pod stand apart, and in the sentence together; the limit it is held to is the one for Run."""
    warn = {"atPercent": 50, "action": "Warn", "notify": [{"url": receiver.url}]}
    limits = [{"window": "Day", "usd": "1000.00"}, {"window": "Run", "usd": "10.00", "ladder": [warn]}]
    post = Post(ledger, document(limits=limits))
    await ledger.put_budgets(post.budget)
    spent = {"cost": 5 * USD, "limit": 10 * USD, "spent": 5 * USD}
    said = DecisionRecord("d-1", T0, "finding", "RunStageReached", budget="default/triage", run="invoice/4711", **spent)
    await ledger.report(dispatch(1, batches=[batch(1, decisions=[said])]))
    assert await post.round() == []
    (one,) = receiver.received
    assert one.event["subject"] == "Run"
    assert one.event["data"]["window"] == {"kind": "Run", "run": "invoice/4711", "pod": "pod-a"}
    assert one.event["data"]["message"] == (
        "Budget default/triage: 5.00 of 10.00 USD of its limit for run invoice/4711 of pod pod-a are spent,"
        " stage Warn (50 %) begins."
    )


async def test_a_receiver_that_fails_gets_the_same_message_later(ledger, receiver):
    """500, then a wait that doubles, then the very same bytes under the same id; its owner hears of it once."""
    receiver.answers = [500, 503, 204]
    post = Post(ledger, telling({"url": receiver.url, "secretRef": {"name": "hook"}}))
    await ledger.put_budgets(post.budget)
    await spend(ledger, 5)
    waits = []
    for _ in range(60):
        if not await post.round():
            break
        waits.append(len(receiver.received))
        post.now += 1.0
    assert [waits.count(n) for n in (1, 2)] == [5, 10]
    assert len(receiver.received) == 3
    assert len(set(receiver.ids)) == len({r.body for r in receiver.received}) == 1
    assert len({r.headers["webhook-timestamp"] for r in receiver.received}) == 3
    assert all(r.genuine() for r in receiver.received)
    (trouble,) = post.troubles
    assert trouble.reason == "NotifyFailed"
    assert trouble.message == (
        f"The notice of 50 % of Day does not arrive: http://127.0.0.1:{receiver.port} answered 500; tried again for a day."
    )


async def test_one_that_is_down_delays_nobody_else(ledger, receiver):
    """Of two receivers one is down: the other is told once, also after a restart, and the first when it is back."""
    down = await Receiver().start()
    await down.stop()
    post = Post(ledger, telling({"url": down.url}, {"url": receiver.url}))
    await ledger.put_budgets(post.budget)
    await spend(ledger, 5)
    assert await post.round() == [50]
    assert "cannot be reached" in post.troubles[0].message
    post.again()
    await ledger.again()
    assert await post.round() == [50]
    assert len(receiver.received) == 1
    await down.start(down.port)
    post.now += 5.0
    assert await post.round() == []
    await down.stop()
    assert (len(down.received), len(receiver.received)) == (1, 1)
    assert {t.identity for t in post.troubles} == {post.troubles[0].identity}


async def test_one_that_is_slow_is_left_after_a_while(ledger, receiver, monkeypatch):
    """A receiver that never answers costs one attempt's time, and is tried again."""
    receiver.slow = asyncio.Event()
    quick = couriers.post
    monkeypatch.setattr(couriers, "post", lambda *given: quick(*given, seconds=0.2))
    post = Post(ledger, telling({"url": receiver.url}))
    await ledger.put_budgets(post.budget)
    await spend(ledger, 5)
    assert await post.round() == [50]
    assert "did not answer within 0.2 s" in post.troubles[0].message
    receiver.slow.set()
    post.now += 5.0
    assert await post.round() == []


ENDS = {
    "gone for good": ([410], 0.0, "wants no more notices; no longer tried"),
    "a day of failing": ([500], 86_401.0, "answered 500; no longer tried"),
}


@pytest.mark.parametrize(("answers", "later", "words"), ENDS.values(), ids=ENDS)
async def test_what_is_given_up(ledger, receiver, answers, later, words):
    """It is said, and not tried again."""
    receiver.answers = answers
    post = Post(ledger, telling({"url": receiver.url}))
    await ledger.put_budgets(post.budget)
    await spend(ledger, 5)
    post.now += later
    assert await post.round() == []
    assert [t.reason for t in post.troubles] == ["NotifyGivenUp"]
    assert words in post.troubles[0].message
    assert post.counts == ["given_up"]


async def test_a_receiver_may_ask_for_time(ledger, receiver):
    """Retry-After is heard."""
    receiver.answers, receiver.headers = [429, 204], {"retry-after": "120"}
    post = Post(ledger, telling({"url": receiver.url}))
    await ledger.put_budgets(post.budget)
    await spend(ledger, 5)
    await post.round()
    post.now += 119.0
    assert await post.round() == [50]
    post.now += 1.0
    assert await post.round() == []


async def test_a_redirect_is_not_followed(ledger, receiver):
    """It could lead to where notices may not go."""
    elsewhere = await Receiver().start()
    receiver.answers, receiver.headers = [307], {"location": elsewhere.url}
    post = Post(ledger, telling({"url": receiver.url}))
    await ledger.put_budgets(post.budget)
    await spend(ledger, 5)
    await post.round()
    await elsewhere.stop()
    assert elsewhere.received == []
    assert "redirects are not followed" in post.troubles[0].message


async def test_a_cluster_calls_nobody_inside_unasked(ledger, receiver):
    """With the controller's own rule nothing leaves for an address of this machine, by number or by name."""
    named = receiver.url.replace("127.0.0.1", "localhost").replace("http:", "https:")
    post = Post(ledger, telling({"url": receiver.url}, {"url": named}), egress=Egress())
    await ledger.put_budgets(post.budget)
    await spend(ledger, 5)
    assert await post.round() == [50]
    assert receiver.received == []
    assert sorted("not https" in t.message for t in post.troubles) == [False, True]
    assert any("not of the public internet" in t.message for t in post.troubles)


SECRETS = {
    "none": ({}, {"name": "hook"}, "there is no Secret hook"),
    "no signing key": ({"hook": {"url": b"x"}}, {"name": "hook"}, "has no key signing-key"),
    "a bad signing key": ({"hook": {"signing-key": b"x"}}, {"name": "hook"}, "has 1 bytes"),
}


@pytest.mark.parametrize(("secrets", "ref", "words"), SECRETS.values(), ids=SECRETS)
async def test_a_secret_that_cannot_sign(ledger, receiver, secrets, ref, words):
    """Nothing goes unsigned that should be signed; once the Secret is right the notice arrives."""
    post = Post(ledger, telling({"url": receiver.url, "secretRef": ref}), secrets)
    await ledger.put_budgets(post.budget)
    await spend(ledger, 5)
    assert await post.round() == [50]
    assert receiver.received == []
    assert words in post.troubles[0].message
    post.secrets = {"hook": {"signing-key": SECRET.encode()}}
    post.now += 5.0
    assert await post.round() == []
    assert receiver.received[0].genuine()


async def test_an_address_that_is_a_secret(ledger, receiver):
    """It is read from the Secret, is never said, and signs where a key lies beside it."""
    post = Post(ledger, telling({"secretRef": {"name": "hook"}}))
    post.secrets["hook"]["url"] = receiver.url.encode() + b"\n"
    receiver.answers = [500, 204]
    await ledger.put_budgets(post.budget)
    await spend(ledger, 5)
    await post.round()
    post.now += 5.0
    assert await post.round() == []
    assert receiver.received[0].genuine()
    assert "/hook" not in post.troubles[0].message


async def test_who_may_ask_for_notices(ledger):
    """The controller alone; and a mark that is malformed is told what to send."""
    assert (await ledger.ask("GET", "/v1/notices", "token-a")).status == 403
    answer = await ledger.ask("POST", "/v1/notices", json={"window": DAY})
    assert (answer.status, answer.body["error"][:6]) == (422, "send {")
