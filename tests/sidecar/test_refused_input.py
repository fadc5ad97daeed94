"""Bad input, unknown paths and prices, a ledger that is away, and failures of our own: decided, told and counted."""

import gzip
import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from harness.processes import budget
from harness.stack import SNAPSHOT, RunningSidecar
from harness.until import until
from wfb_core.dialects import DIALECTS
from wfb_core.grants import timing
from wfb_sidecar import admission, body_gate, relay, terms

CHAT = "https://api.openai.com/v1/chat/completions"
MESSAGES = "https://api.anthropic.com/v1/messages"
BODY = {"model": "gpt-4o", "messages": [{"role": "user", "content": "hello"}], "max_tokens": 50}
MESSAGE = {"model": "claude-haiku-4-5", "messages": [{"role": "user", "content": "hello"}], "max_tokens": 50}
JSON = {"content-type": "application/json"}


@pytest.fixture(scope="module")
def sidecar(module_bench):
    """One sidecar with plenty of money."""
    return module_bench.sidecar()


@pytest.fixture
def http(sidecar, client):
    """A client through it."""
    return client(sidecar)


def _reason(answer):
    """The reason that a refusal names."""
    return answer.json()["error"]["budget"]["reason"]


# -- bodies


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        (b"", {}),
        (b"hello", {}),
        (b"[1, 2]", {}),
        (b'{"model": "gpt-4o", "messages": [', {}),
        (b'{"model": "gpt-4o-mini", "model": "gpt-4o", "messages": []}', {}),
        (b'{"messages": []}', {}),
        (b'{"model": 7, "messages": []}', {}),
        (b'{"model": "gpt-4o", "messages": [], "max_tokens": -5}', {}),
        (b'{"model": "gpt-4o", "messages": [], "stream": "yes"}', {}),
        (b'{"model": "gpt-4o", "messages": "x", "n": NaN}', {}),
        (b"\xff\xfe{}", {}),
        (b"[" * 100_000, {}),
        (json.dumps(BODY).encode(), {"content-encoding": "br"}),
        (json.dumps(BODY).encode(), {"content-encoding": "gzip"}),
        (gzip.compress(json.dumps(BODY).encode())[:-9], {"content-encoding": "gzip"}),
    ],
    ids=[
        "empty",
        "no-json",
        "no-object",
        "truncated",
        "duplicate-key",
        "no-model",
        "model-no-text",
        "negative-cap",
        "stream-no-flag",
        "nan",
        "no-utf8",
        "too-deep",
        "br",
        "gzip-in-name-only",
        "gzip-truncated",
    ],
)
@pytest.mark.parametrize("url", [CHAT, MESSAGES])
def test_a_body_that_is_not_understood_is_refused(module_bench, http, url, body, headers):
    """402 in the provider's shape with the reason; nothing reaches the provider, nothing stays held."""
    seen, refused = len(module_bench.seen()), module_bench.settled().refused()
    answer = http.post(url, content=body, headers={**JSON, **headers})
    assert answer.status_code == 402
    assert _reason(answer) == "BodyNotUnderstood"
    assert "unpricedModels" in answer.json()["error"]["message"]
    assert (answer.json()["type"] == "error") if url == MESSAGES else ("type" in answer.json()["error"])
    assert len(module_bench.seen()) == seen
    assert until(lambda: module_bench.settled().refused() > refused, "the refusal in the books")


def test_a_compressed_body_is_read(module_bench, http):
    """Compression by gzip is understood, metered, and forwarded so that the provider understands it too."""
    with module_bench.balanced() as grown:
        answer = http.post(
            CHAT,
            content=gzip.compress(json.dumps({**BODY, "stream": True}).encode()),
            headers={**JSON, "content-encoding": "gzip", "x-sim-label": "gz"},
        )
    assert answer.status_code == 200
    assert grown().calls() == 1
    (seen,) = [call for call in module_bench.seen() if call["label"] == "gz"]
    assert seen["body"]["messages"] == BODY["messages"]


def test_a_body_above_the_largest_is_refused_at_its_length(module_bench, http):
    """413, and its bytes are thrown away as they come: the sidecar's memory does not take them."""
    seen = len(module_bench.seen())
    answer = http.post(CHAT, content=_pieces(65), headers={**JSON, "content-length": str(65 << 20)})
    assert answer.status_code == 413
    assert _reason(answer) == "BodyTooLarge"
    assert len(module_bench.seen()) == seen


def test_a_body_without_a_length_is_refused_once_it_is_too_large(module_bench, sidecar, http):
    """A chunked body cannot go past the largest by not saying how large it is."""
    seen = len(module_bench.seen())
    answer = http.post(CHAT, content=_pieces(66), headers=JSON)
    assert answer.status_code == 413
    assert _reason(answer) == "BodyTooLarge"
    assert len(module_bench.seen()) == seen
    assert sidecar.call(lambda: sidecar.parts.house.gate.in_flight) == 0


def _pieces(megabytes):
    """So many megabytes of spaces, one by one."""
    for _ in range(megabytes):
        yield b" " * (1 << 20)


def test_uploads_of_files_stream_through(module_bench, sidecar, http, monkeypatch):
    """`/v1/files` costs nothing and is not read: no gate, and no piece of it stays in the relay."""
    monkeypatch.setattr(relay, "LARGEST", 1)
    monkeypatch.setattr(body_gate, "CAPACITY", 1)
    uploaded = module_bench.loop.call(lambda: module_bench.provider.uploaded_bytes)
    counted = module_bench.settled().calls()
    answer = http.post("https://api.openai.com/v1/files", content=_pieces(20))
    assert answer.status_code == 200
    assert answer.json()["bytes"] == 20 << 20
    assert module_bench.loop.call(lambda: module_bench.provider.uploaded_bytes) - uploaded == 20 << 20
    assert module_bench.settled().calls() == counted
    assert sidecar.call(lambda: sidecar.parts.house.gate.in_flight) == 0


def test_lists_of_models_pass_uncounted(module_bench, http):
    """A FREE path is neither metered nor unmetered."""
    counted = module_bench.settled().calls()
    assert http.get("https://api.openai.com/v1/models").json()["object"] == "list"
    assert module_bench.settled().calls() == counted


# -- what cannot be priced


@pytest.mark.parametrize("path", ["/v1/threads/t_1/runs", "/v1/fine_tuning/jobs", "/v1/models/%2e%2e/new", "/v2/new"])
def test_an_unknown_path_is_refused_under_refuse(module_bench, sidecar, http, path):
    """402 Unmetered: a path whose cost nobody knows is not let through in silence."""
    before = sidecar.metric("calls_refused_total", provider="openai", reason="Unmetered")
    answer = http.build_request("POST", "https://api.openai.com/", json=BODY)
    answer.url = answer.url.copy_with(raw_path=path.encode())
    answer = http.send(answer)
    assert answer.status_code == 402
    assert _reason(answer) == "Unmetered"
    assert sidecar.metric("calls_refused_total", provider="openai", reason="Unmetered") == before + 1


def test_under_allow_what_cannot_be_priced_passes_and_is_counted(make_bench, client):
    """Unknown path, unreadable body and unpriced model go through, each counted without money."""
    bench = make_bench(unpricedModels={"action": "Allow"})
    sidecar = bench.sidecar()
    http = client(sidecar)
    assert http.post("https://api.openai.com/v1/threads/t_1/runs", json=BODY).status_code == 404  # the simulator's own
    assert http.post(CHAT, content=b"not json", headers=JSON).status_code == 400
    assert http.post(CHAT, json={**BODY, "model": "not-for-sale"}).status_code == 404
    books = bench.settled(3)
    assert books.calls(outcome="unmetered") == 2
    assert books.calls(outcome="unpriced") == 1
    assert books.spent == 0
    assert sidecar.metric("calls_unmetered_total", provider="openai", reason="Unmetered") == 1
    assert sidecar.metric("calls_unmetered_total", provider="openai", reason="BodyNotUnderstood") == 1


@pytest.mark.parametrize("stream", [False, True])
def test_a_model_without_a_price(make_bench, client, stream):
    """Refuse: 402; PriceAs: booked at the stated rates; Allow: through, and counted as unpriced."""
    body = {**BODY, "stream": stream}
    bench = make_bench()
    _without_price(bench, "gpt-4o")
    sidecar = bench.sidecar()
    http = client(sidecar)
    answer = http.post(CHAT, json=body)
    assert (answer.status_code, _reason(answer)) == (402, "ModelUnpriced")
    bench.put_budget(unpricedModels={"action": "PriceAs", "usdPerMillionInput": "1000", "usdPerMillionOutput": "2000"})
    assert http.post(CHAT, json=body).status_code == 200
    (line,) = bench.bill_lines()
    books = bench.settled(1)
    assert books.spent == line.usage.input * 1_000_000 + line.usage.output * 2_000_000
    bench.put_budget(unpricedModels={"action": "Allow"})
    assert http.post(CHAT, json=body).status_code == 200
    after = bench.settled(2)
    assert after.calls(outcome="unpriced") == 1
    assert after.spent == books.spent


def _without_price(bench, model):
    """Publishes prices from which one model is missing."""
    head, *models = SNAPSHOT.data.splitlines(keepends=True)
    document, kept = json.loads(head), []
    for name, provider in document["providers"].items():
        own, models = models[: provider["models"]], models[provider["models"] :]
        if name == "openai":
            own = [line for line in own if not json.loads(line)["id"].startswith(model)]
            assert len(own) < provider["models"]
            provider["models"] = len(own)
        kept += own
    lines = [json.dumps(document, separators=(",", ":")).encode() + b"\n", *kept]
    return bench.ask("PUT", "/v1/prices", data=b"".join(lines))["prices"]


def test_a_denied_model_is_refused_by_name(make_bench, client):
    """The model lists are told in the refusal."""
    bench = make_bench(models={"denied": ["gpt-4o"]})
    answer = client(bench.sidecar()).post(CHAT, json=BODY)
    assert (answer.status_code, _reason(answer)) == (402, "ModelNotAllowed")
    assert "gpt-4o" in answer.json()["error"]["message"]


def test_under_report_a_refusal_is_only_written_down(make_bench, client):
    """Everything goes through and is booked; a decision says what Enforce would have done."""
    bench = make_bench(usd="0.0001", enforcement="Report", models={"denied": ["gpt-4o"]})
    sidecar = bench.sidecar()
    http = client(sidecar)
    for _ in range(3):
        assert http.post(CHAT, json=BODY).status_code == 200
    books = bench.settled(3)
    assert books.spent == bench.bill() > 100_000
    assert books.refused() == 0
    kinds = {(d["kind"], d["reason"]) for d in bench.decisions()}
    assert ("finding", "ModelNotAllowed") in kinds


def test_without_a_budget_calls_pass_and_are_booked(make_bench, client):
    """No budget matches the pod: nothing is refused, and the usage is known all the same."""
    bench = make_bench()
    bench.ask("PUT", "/v1/budgets", json={"budgets": []})
    sidecar = bench.sidecar()
    assert client(sidecar).post(CHAT, json=BODY).status_code == 200
    until(lambda: bench.books().calls() == 1, "the row")
    assert bench.books().nanos() == bench.bill()


# -- the ledger away


def test_far_from_the_limit_calls_go_on_without_a_ledger(make_bench, client):
    """Granted money is spent while nobody answers; it is told when the ledger is back, once."""
    bench = make_bench(usd="100.00")
    sidecar = bench.sidecar()
    http = client(sidecar)
    for _ in range(5):
        assert http.post(CHAT, json=BODY).status_code == 200
    bench.settled(5)
    bench.ledger_away()
    for _ in range(3):
        assert http.post(CHAT, json=BODY).status_code == 200
    bench.ledger_back()
    books = bench.settled(8, deadline=20)
    assert books.calls() == 8
    assert books.spent == bench.bill()


def _until_silent(sidecar, monkeypatch):
    """Waits until the wallet takes the ledger for gone."""
    monkeypatch.setattr(timing, "SILENT", 0.2)
    until(
        lambda: sidecar.call(lambda: sidecar.parts.till.wallet.silent(sidecar.parts.clock.now())),
        "silence",
        deadline=20,
    )


@pytest.mark.parametrize("policy", ["Fail", "Ignore"])
def test_when_the_money_at_hand_is_gone_the_policy_decides(make_bench, client, monkeypatch, policy):
    """Fail: 429 with a Retry-After of seconds; Ignore: through, and reported later as overdraft."""
    monkeypatch.setattr(timing, "FAR", 0.5)  # a report every half second, so that silence is soon noticed
    bench = make_bench(usd="0.50", failurePolicy=policy, waitSeconds=1, outputBound="Strict")
    sidecar = bench.sidecar()
    http = client(sidecar)
    assert http.post(CHAT, json=BODY).status_code == 200
    bench.settled(1)
    bench.ledger_away()
    _until_silent(sidecar, monkeypatch)
    statuses, answer = [], None
    large = {**BODY, "max_tokens": 2000}
    for _ in range(30):
        answer = http.post(CHAT, json=large, headers={"x-sim-output-tokens": "2000"})
        statuses.append(answer.status_code)
        if answer.status_code != 200:
            break
    ceiling = sidecar.call(lambda: next(iter(sidecar.parts.till.wallet.purses.values())).ceiling)
    used = sidecar.call(lambda: next(iter(sidecar.parts.till.wallet.purses.values())).used)
    assert answer.status_code == 429
    assert _reason(answer) == "LedgerUnreachable"
    assert 1 <= int(answer.headers["retry-after"]) <= 60
    if policy == "Fail":
        assert used <= ceiling
    else:
        assert used > ceiling
    bench.ledger_back()
    books = bench.settled(len(statuses), deadline=30)
    assert books.spent == bench.bill() == used


def test_suspending_a_budget_stops_calls_within_a_second(make_bench, client):
    """The kill switch reaches the sidecar with the ledger's word; lifting it lets calls go again."""
    bench = make_bench()
    sidecar = bench.sidecar()
    http = client(sidecar)
    assert http.post(CHAT, json=BODY).status_code == 200
    document = budget("tested", "10.00", suspend=True)
    document["spec"]["selector"] = {"matchLabels": {"aifinops.dev/workflow": "tested"}}
    bench.ask("PUT", "/v1/budgets", json={"budgets": [document]})
    told = time.monotonic()
    answer = until(lambda: (a := http.post(CHAT, json=BODY)).status_code == 402 and a, "the switch", deadline=1.0)
    assert time.monotonic() - told < 1.0
    assert _reason(answer) == "Suspended"
    bench.put_budget()
    assert http.post(CHAT, json=BODY).status_code == 200


def test_before_the_first_scope_calls_are_told_to_come_again(make_bench, client, monkeypatch):
    """A sidecar that does not hear its budgets in time refuses with 429 and a Retry-After, and is not ready."""
    monkeypatch.setattr(terms, "FIRST_WORD_SECONDS", 0.05)
    sidecar = _deaf(make_bench())
    answer = client(sidecar).post(CHAT, json=BODY)
    assert (answer.status_code, _reason(answer)) == (429, "NotReady")
    assert ".. " not in answer.text
    health = client(sidecar, proxy=False).get(sidecar.ready["health"] + "/readyz")
    assert (health.status_code, health.json()["ready"]) == (503, False)
    sidecar.bench.ledger_back()
    until(lambda: sidecar.parts.calls.terms.scope is not None, "the scope", deadline=20)
    assert client(sidecar).post(CHAT, json=BODY).status_code == 200


def test_a_call_made_before_the_first_scope_waits_for_it(make_bench, client):
    """A pod's first call, earlier than the ledger's first word, is held rather than refused: no client has to try again."""
    sidecar = _deaf(make_bench())
    with ThreadPoolExecutor(1) as pool:
        call = pool.submit(client(sidecar).post, CHAT, json=BODY)
        until(lambda: sidecar.call(lambda: sidecar.parts.calls.terms._heard._waiters), "the call's arrival")
        sidecar.bench.ledger_back()
        assert call.result(timeout=20).status_code == 200


def _deaf(bench):
    """A sidecar that no ledger has spoken to."""
    bench.ledger_away()
    sidecar = RunningSidecar(bench, bench.configuration(bench.folder / "sidecar-x" / "state"))
    sidecar.start(wait=False)
    return sidecar


# -- our own failures


class BugError(Exception):
    """A bug of ours."""


def _bug(*_args, **_more):
    raise BugError("MARK: a bug")


def _spoil_admitted(monkeypatch, sidecar):
    """The call is admitted and holds money, and then the relay fails over its body."""
    admit = sidecar.parts.calls.admission.admit

    class Spoilt(admission.Admitted):
        """Fails when its body is taken."""

        body = property(_bug)

    async def spoil(*args):
        admitted = await admit(*args)
        spoilt = object.__new__(Spoilt)
        object.__setattr__(spoilt, "call", admitted.call)
        return spoilt

    monkeypatch.setattr(sidecar.parts.calls.admission, "admit", spoil)


@pytest.mark.parametrize("where", ["admit", "read_request", "row", "serialise", "admitted"])
def test_a_bug_of_ours_refuses_the_call(make_bench, client, monkeypatch, where):
    """500 InternalError in the dialect, counted; nothing is forwarded and nothing stays held."""
    bench = make_bench()
    sidecar = bench.sidecar()
    if where == "admit":
        monkeypatch.setattr(sidecar.parts.calls.admission, "_decide", _bug)
    elif where == "read_request":
        monkeypatch.setattr(type(DIALECTS["openai-chat"]), "read_request", _bug)
    elif where == "row":
        monkeypatch.setattr(relay, "find", _bug)
    elif where == "serialise":
        monkeypatch.setattr(admission, "serialise", _bug)
    else:
        _spoil_admitted(monkeypatch, sidecar)
    answer = client(sidecar).post(CHAT, json={**BODY, "stream": True})
    assert answer.status_code == 500
    assert sidecar.metric("internal_errors_total") >= 1
    assert bench.seen() == []
    if where != "row":
        assert _reason(answer) == "InternalError"
    monkeypatch.undo()
    assert bench.settled().spent == 0
    assert sidecar.call(lambda: sidecar.parts.till.wallet.holds) == {}


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("where", ["feed", "end", "reader", "settlement"])
def test_a_bug_while_reading_an_answer_settles_at_the_hold(make_bench, client, monkeypatch, where, stream):
    """The answer passes whole to the client, the call is booked at its hold and marked estimated, and counted."""
    bench = make_bench()
    sidecar = bench.sidecar()
    dialect = DIALECTS["openai-chat"]
    made = type(dialect).reader

    class Broken:
        """A reader that fails."""

        def __init__(self, inner):
            self.inner = inner

        def feed(self, chunk):
            """Fails in one of the tests."""
            return _bug() if where == "feed" else self.inner.feed(chunk)

        def end(self):
            """Fails in another."""
            return _bug() if where == "end" else self.inner.end()

    if where == "reader":
        monkeypatch.setattr(type(dialect), "reader", _bug)
    elif where == "settlement":
        monkeypatch.setattr(sidecar.parts.calls.settling, "_settlement", _bug)
    else:
        monkeypatch.setattr(type(dialect), "reader", lambda *a: Broken(made(*a)))
    answer = client(sidecar).post(CHAT, json={**BODY, "stream": stream})
    assert answer.status_code == 200
    assert answer.content.strip().endswith(b"[DONE]" if stream else b"}")
    books = bench.settled(1)
    assert bench.bill() < books.spent == books.estimated
    assert sidecar.metric("internal_errors_total") >= 1
    (decision,) = bench.decisions()
    assert decision["cost_usd"] == decision["hold_usd"]


def test_a_request_that_never_ends_its_body_leaves_the_gate(module_bench, sidecar, http):
    """A client that leaves in the middle of a large body gives its room back."""
    halted = threading.Event()

    def body():
        yield b'{"model": "gpt-4o", "messages": ['
        until(lambda: sidecar.call(lambda: sidecar.parts.house.gate.in_flight) > 0, "the room being taken")
        halted.set()
        raise BugError("the client gives up")

    with pytest.raises(BugError):
        http.post(CHAT, content=body(), headers=JSON)
    assert halted.is_set()
    until(lambda: sidecar.call(lambda: sidecar.parts.house.gate.in_flight) == 0, "the room being given back")
