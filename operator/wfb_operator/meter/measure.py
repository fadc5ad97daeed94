"""From an exchange to a row: who was called, which dialect reads it, what it used and what that costs."""

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from urllib.parse import urlsplit

from wfb_core.call import CallFacts
from wfb_core.charge import Charge, charge
from wfb_core.dialects import DIALECTS, PENDING_RESULT, SOCKETS, Answer, Dialect, NotUnderstood
from wfb_core.dialects.answer import USAGE_MALFORMED
from wfb_core.hosts import FREE, HostRow, Hosts, Route
from wfb_core.price import ModelPrice, PriceBook, uplifted
from wfb_core.usage import Usage
from wfb_operator.meter import reasons
from wfb_operator.meter.exchange import Exchange
from wfb_operator.meter.row import Row

_STREAMS = ("text/event-stream", "application/vnd.amazon.eventstream", "application/x-ndjson")
_PORTS = {"http": 80, "https": 443, "ws": 80, "wss": 443}
SWITCHED = 101
"""The status of an upgrade to a WebSocket."""
_COUNTS = ("input_tokens", "cache_read_tokens", "cache_write_tokens", "output_tokens", "reasoning_tokens")


class Measure:
    """Measures the exchanges of one recording, in order: results that are read again are counted once."""

    def __init__(self, hosts: Hosts, prices: PriceBook, now: Callable[[], float] = time.time) -> None:
        self._hosts = hosts
        self._prices = prices
        self._now = now
        self._counted: set[tuple[str, str]] = set()
        self._served: dict[tuple[str, str], str] = {}

    def row(self, exchange: Exchange) -> Row:
        """The row of an exchange; never raises."""
        host, path = _target(exchange.url)
        blank = Row(exchange.id, None, None, None, None, False, False, *(None,) * 6, "", host, exchange.at)
        if exchange.damage == reasons.ENTRY_DAMAGED:
            return replace(blank, reason=reasons.ENTRY_DAMAGED)
        found = self._hosts.find(host)
        if found is None:
            return replace(blank, reason=reasons.FOREIGN_HOST)
        route = found.route(exchange.method, path)
        if route.kind == FREE and found.shared and not _is_known(found, path):
            return replace(blank, reason=reasons.FOREIGN_HOST)
        blank = replace(blank, provider=route.provider or found.provider, dialect=route.dialect)
        if route.dialect in SOCKETS:
            return self._socket(exchange, found, route, path, blank)
        if route.dialect in DIALECTS:
            return self._call(exchange, found, route, path, blank)
        blank = replace(blank, model=_asked(exchange.request_body)[0])
        if route.kind == FREE:
            return replace(blank, nanos=0, reason=reasons.FREE)
        return _without_answer(blank, exchange) or replace(blank, reason=reasons.UNMETERED_PATH)

    def _call(self, exchange: Exchange, found: HostRow, route: Route, path: str, blank: Row) -> Row:
        dialect = DIALECTS[route.dialect or ""]
        facts, model = _facts(dialect, exchange, path, blank.provider or "")
        row = replace(blank, model=model, stream=facts.stream)
        if done := _without_answer(row, exchange):
            return done
        if exchange.damage in {reasons.BODY_DAMAGED, reasons.ENCODING_NOT_READ}:
            return replace(row, billable=True, reason=exchange.damage)
        headers = {k: v for k, v in exchange.headers.items() if k not in {"content-encoding", "transfer-encoding"}}
        reader = dialect.reader(facts, strip_usage_chunk=False, headers=headers)
        reader.feed(exchange.body)
        reader.feed(b"")
        answer = reader.end()
        row = replace(row, served_model=answer.served_model)
        if facts.deployment and answer.served_model:
            self._served[row.host, facts.model] = answer.served_model
        charged = charge(facts, answer, self._prices_of(row, found, exchange))
        if charged is None or (answer.usage is None and answer.reported_nanos is None and not facts.units):
            return self._unread(row, facts, answer, exchange)
        return self._counts(row, facts, answer, charged)

    def _unread(self, row: Row, facts: CallFacts, answer: Answer, exchange: Exchange) -> Row:
        finding = answer.finding or ""
        if finding.startswith(PENDING_RESULT):
            return replace(row, reason=reasons.RESULT_PENDING)
        if answer.failed:
            return replace(row, nanos=0, reason=reasons.ERROR_IN_ANSWER)
        if facts.polls is not None:
            return replace(row, nanos=0, reason=reasons.FREE)
        if finding.startswith(USAGE_MALFORMED):
            return replace(row, billable=True, reason=reasons.USAGE_MALFORMED)
        reason = reasons.BODY_MISSING if exchange.damage == reasons.BODY_MISSING else reasons.USAGE_MISSING
        return replace(row, billable=True, reason=reason)

    def _counts(self, row: Row, facts: CallFacts, answer: Answer, charged: Charge) -> Row:
        row = _with_counts(row, answer.usage)
        key = (row.provider or "", facts.polls or answer.response_id or "")
        if facts.polls is not None and key in self._counted:
            return replace(row, nanos=0, reason=reasons.ALREADY_COUNTED)
        if key[1]:
            self._counted.add(key)
        return _charged(row, charged)

    def _socket(self, exchange: Exchange, found: HostRow, route: Route, path: str, blank: Row) -> Row:
        """All responses of a socket in one row."""
        row = replace(blank, stream=True)
        if exchange.messages is None:
            # The upgrade's own status, 101, is no error.
            done = None if exchange.status == SWITCHED else _without_answer(row, exchange)
            return done or replace(row, reason=reasons.BODY_MISSING)
        meter = SOCKETS[route.dialect or ""].open(path, exchange.request_headers, row.provider or "")
        facts = meter.facts()
        answers: list[Answer | None] = []
        for from_client, content in exchange.messages:
            if from_client:
                meter.sent(content)
                facts = meter.facts() or facts
            else:
                answers.extend(meter.received(content))
        facts = facts or meter.facts()
        told = [(a, a.usage) for a in (*answers, meter.end()) if a is not None and a.usage is not None]
        # What was spoken is transcribed by another model, which is not the one that serves the conversation.
        served = (
            max(told, key=lambda pair: pair[1].input_tokens + pair[1].output_tokens)[0].served_model if told else None
        )
        row = replace(row, model=facts.model or None if facts else None, served_model=served)
        facts = facts or CallFacts(route.dialect or "", row.provider or "", "", "", stream=True, cap=None)
        find = self._prices_of(row, found, exchange)
        charges = [c for a, _ in told if (c := charge(facts, a, find)) is not None]
        if not charges:
            return replace(row, reason=reasons.USAGE_MISSING)
        row = _with_counts(row, _sum([usage for _, usage in told]))
        worst = next((c for c in charges if c.finding), charges[0])
        costs = [c.nanos for c in charges if c.nanos is not None]
        row = _charged(row, worst)
        return replace(row, nanos=sum(costs)) if row.priced else row

    def _prices_of(self, row: Row, found: HostRow, exchange: Exchange) -> Callable[[str], ModelPrice | None]:
        """What models cost at the exchange's time and host; a deployment costs what it was last seen to serve."""
        at = self._now() if exchange.at is None else exchange.at

        def find(name: str) -> ModelPrice | None:
            name = self._served.get((row.host, name), name)
            price = self._prices.find(row.provider or "", name, at, row.host)
            return None if price is None else uplifted(price, found.rates_uplift_percent)

        return find


def _without_answer(row: Row, exchange: Exchange) -> Row | None:
    """The row of an exchange that came to nothing; None where there is an answer."""
    if not exchange.status:
        return replace(row, reason=reasons.NO_RESPONSE)
    if not 200 <= exchange.status < 300:
        return replace(row, nanos=0, reason=reasons.ERROR_STATUS)
    return None


def _charged(row: Row, charged: Charge) -> Row:
    reason = reasons.METERED
    if charged.reported:
        reason = reasons.REPORTED_COST
    elif charged.unknown_model is not None:
        reason = reasons.MODEL_UNPRICED
    elif charged.unknown_tier is not None:
        reason = reasons.TIER_UNPRICED
    elif charged.unknown_units:
        reason = reasons.UNIT_UNPRICED
    known = reason in {reasons.METERED, reasons.REPORTED_COST}
    return replace(row, billable=True, nanos=charged.nanos if known else None, reason=reason)


def _with_counts(row: Row, usage: Usage | None) -> Row:
    return row if usage is None else replace(row, **{name: getattr(usage, name) for name in _COUNTS})


def _sum(usages: list[Usage]) -> Usage:
    return Usage(**{name: sum(getattr(u, name) for u in usages) for name in _COUNTS})


def _facts(dialect: Dialect, exchange: Exchange, path: str, provider: str) -> tuple[CallFacts, str | None]:
    """(what the request asks for as far as it can be read, the model it names)."""
    headers = {k: v for k, v in exchange.request_headers.items() if k != "content-encoding"}
    facts = _read(dialect, exchange.method, path, headers, exchange.request_body, provider)
    if facts is not None:
        return facts, facts.model or None
    model, stream = _asked(exchange.request_body)
    named = dialect.model_in(path)
    # Where the body says nothing that can be read, the path may still say all that matters.
    facts = _read(dialect, exchange.method, path, headers, b"{}", provider) if named else None
    if facts is None:
        stream = stream or exchange.headers.get("content-type", "").startswith(_STREAMS)
        facts = CallFacts(dialect.name, provider, "", "", stream=False, cap=None)
    model = model or facts.model or named
    return replace(facts, model=model or "", stream=facts.stream or stream), model


def _read(
    dialect: Dialect, method: str, path: str, headers: Mapping[str, str], body: bytes, provider: str
) -> CallFacts | None:
    try:
        return dialect.read_request(method, path, headers, body, provider)[0]
    except NotUnderstood:
        return None


def _asked(body: bytes) -> tuple[str | None, bool]:
    """(the model, whether a stream is asked for) of a body that its dialect does not read."""
    try:
        document = json.loads(body) if body.lstrip()[:1] == b"{" else None
    except (ValueError, RecursionError):
        document = None
    if not isinstance(document, dict):
        return None, False
    model = document.get("model")
    return model if isinstance(model, str) and model else None, document.get("stream") is True


def _target(url: str) -> tuple[str, str]:
    """(host with its port where it is not the scheme's, path with query) of a URL; empty where it is none."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        return "", "/"
    shown = f"[{host}]" if ":" in host else host
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return (f"{shown}:{port}" if port and port != _PORTS.get(parts.scheme.lower()) else shown), path


def _is_known(found: HostRow, path: str) -> bool:
    """Whether one of the host's APIs stands at the path, on a host that serves other things too."""
    return any(mount.prefix and "{" not in mount.prefix and path.startswith(mount.prefix) for mount in found.mounts)
