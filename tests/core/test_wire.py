"""What travels between sidecar and ledger: it arrives as it left, and what is malformed is named."""

import json
import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wfb_core import wire
from wfb_core.grants import ANSWERS, Claim, Need, Reply, Report, Share
from wfb_core.wire import (
    Batch,
    DecisionRecord,
    Dispatch,
    Response,
    UsageRow,
    decode_dispatch,
    decode_response,
    encode_dispatch,
    encode_response,
)

text = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
name = text.filter(bool)
count, money = st.integers(0, wire.COUNT_MOST), st.integers(0, wire.MONEY_MOST)
claimed = st.integers(0, wire.CLAIM_MOST)
signed = st.integers(-(2**63), 2**63)
seconds = st.floats(0, 1e12)

claims = st.builds(Claim, *[claimed] * 5)
patience = seconds | st.just(math.inf)
needs = st.builds(Need, money, money, money, st.lists(text, max_size=3).map(tuple), seconds, patience)
reports = st.builds(
    Report, name, count, st.integers(1, 2**40), st.dictionaries(text, claims, max_size=3), st.lists(needs).map(tuple)
)
rows = st.builds(
    UsageRow,
    st.integers(0, wire.MINUTE_MOST),
    text,
    text,
    text,
    st.sampled_from(wire.OUTCOMES),
    st.booleans(),
    *[count] * 9,
    agent=text,
    prices=text,
)
decisions = st.builds(
    DecisionRecord,
    name,
    seconds,
    st.sampled_from(wire.KINDS),
    text,
    text,
    st.integers(0, 999),
    *[text] * 4,
    *[money] * 4,
)
batches = st.builds(
    Batch, st.integers(1, 2**40), st.lists(rows, max_size=3).map(tuple), st.lists(decisions, max_size=3).map(tuple)
)
dispatches = st.builds(Dispatch, reports, st.lists(batches, max_size=3).map(tuple), count)
shares = st.builds(
    Share, st.integers(0, 2**63), st.integers(0, 2**63), signed, signed, st.booleans(), st.integers(0, 2**63)
)
replies = st.builds(
    Reply,
    st.integers(1, 2**40),
    count,
    seconds,
    st.dictionaries(text, shares, max_size=3),
    st.dictionaries(money, st.sampled_from(ANSWERS), max_size=3),
)
responses = st.builds(Response, st.none() | replies, count, count, seconds)


@given(dispatches)
def test_a_dispatch_arrives_as_it_left(dispatch):
    """Decoding what was encoded gives the same report, batches and version, to the last nano-USD."""
    assert decode_dispatch(encode_dispatch(dispatch)) == dispatch


@given(responses)
def test_a_response_arrives_as_it_left(response):
    """Decoding what was encoded gives the same reply, to the last nano-USD."""
    assert decode_response(encode_response(response)) == response


ROW = UsageRow(29_000_000, "openai", "gpt-5", "gpt-5-1", "ok", False, 1, 0, 10, 0, 0, 5, 0, 1000, 1100)
DISPATCH = Dispatch(
    Report("pod/1", 1, 7, {"a/b|Total|": Claim(1, 2, 3, 4, 5)}, (Need(9, 10, 11, ("a/b|Total|",), 0.5),)),
    (Batch(7, (ROW,), (DecisionRecord("d-1", 1.0, "refusal", "BudgetExhausted"),)),),
    3,
)
RESPONSE = Response(Reply(7, 1, 5.0, {"a/b|Total|": Share(1, 2, -3, -4, False, 6)}, {9: "granted"}), 7, 3, 1.5)

DELETE = object()

MALFORMED = {
    ("report",): [(DELETE, "report is missing"), ([], "report: [] is not an object")],
    ("report", "holder"): [
        (DELETE, "report.holder is missing"),
        ("", "has 0 characters"),
        ("x" * 513, "513 characters"),
        (7, "report.holder: 7 is not text"),
        ("\ud800", "half a character"),
    ],
    ("report", "seq"): [(0, "report.seq: 0"), (1.0, "whole number"), (True, "whole number"), ("1", "whole number")],
    ("report", "claims", "a/b|Total|", "used"): [
        (-1, "report.claims.a/b|Total|.used: -1"),
        (2**60 + 1, "whole number from 0"),
        (1.5, "whole number"),
        (None, "whole number"),
    ],
    ("report", "needs"): [({}, "report.needs: {} is not a list"), ([1], "report.needs[0]: 1 is not an object")],
    ("report", "needs", 0, "waited"): [
        (-0.5, "report.needs[0].waited: -0.5"),
        ("1", "finite number"),
        (10**400, "finite"),
    ],
    ("report", "needs", 0, "patience"): [
        (-1, "report.needs[0].patience: -1"),
        (None, "report.needs[0].patience: None is not a finite number"),
    ],
    ("report", "needs", 0, "windows"): [("ab", "is not a list"), ([1], "report.needs[0].windows[0]: 1 is not text")],
    ("batches", 0, "number"): [(0, "batches[0].number: 0")],
    ("batches", 0, "rows", 0, "minute"): [(-1, "batches[0].rows[0].minute: -1"), (2**50, "minute")],
    ("batches", 0, "rows", 0, "outcome"): [("fine", "'fine' is none of ok, error"), ([], "is none of")],
    ("batches", 0, "rows", 0, "estimated"): [(1, "neither true nor false")],
    ("batches", 0, "rows", 0, "nanos"): [(2**50 + 1, "batches[0].rows[0].nanos")],
    ("batches", 0, "rows", 0, "model"): [("m" * 257, "257 characters")],
    ("batches", 0, "decisions"): [({}, "batches[0].decisions: {} is not a list")],
    ("windows_scope",): [(-1, "windows_scope: -1"), (DELETE, "windows_scope is missing")],
}


def mended(body, path, value):
    """The JSON document with one field set or deleted."""
    document = json.loads(body)
    *way, last = path
    place = document
    for step in way:
        place = place[step]
    if value is DELETE:
        del place[last]
    else:
        place[last] = value
    return json.dumps(document).encode()


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [(path, value, words) for path, cases in MALFORMED.items() for value, words in cases],
    ids=lambda value: str(value)[:40] if not isinstance(value, bytes) else "body",
)
def test_a_malformed_field_is_named(path, value, words):
    """Each wrong value raises ValueError with its place and what was expected there."""
    with pytest.raises(ValueError) as wrong:
        decode_dispatch(mended(encode_dispatch(DISPATCH), path, value))
    assert words in str(wrong.value)


UNREADABLE_DECISIONS = [
    (("kind",), "news", "batches[0].decisions[0].kind: 'news' is none of refusal, estimate, finding"),
    (("at",), None, "batches[0].decisions[0].at: None"),
    (("id",), DELETE, "batches[0].decisions[0].id is missing"),
    (("message",), "m" * 2001, "batches[0].decisions[0].message: "),
    (("details",), "\ud800", "half a character"),
    ((), [], "batches[0].decisions[0]: [] is not an object"),
]


@pytest.mark.parametrize(("field", "value", "words"), UNREADABLE_DECISIONS, ids=lambda v: str(v)[:40])
def test_a_decision_that_cannot_be_read_is_dropped_alone(field, value, words):
    """Its neighbours, the usage rows and the claims of the same report are read, and why it is missing is said."""
    kept = DecisionRecord("d-2", 2.0, "finding", "LoopFlagged")
    sent = replace(DISPATCH, batches=(replace(DISPATCH.batches[0], decisions=(*DISPATCH.batches[0].decisions, kept)),))
    got = decode_dispatch(mended(encode_dispatch(sent), ("batches", 0, "decisions", 0, *field), value))
    (why,) = got.batches[0].dropped
    assert words in why
    assert replace(got, batches=(replace(got.batches[0], dropped=()),)) == replace(
        DISPATCH, batches=(replace(DISPATCH.batches[0], decisions=(kept,)),)
    )


ANSWERS_MALFORMED = {
    ("now",): (math.pi * 10**300, "now"),
    ("applied",): (-1, "applied: -1"),
    ("reply", "period"): (-1, "reply.period: -1"),
    ("reply", "shares", "a/b|Total|", "closed"): (0, "reply.shares.a/b|Total|.closed: 0 is neither true nor false"),
    ("reply", "answers", "9"): ("maybe", "reply.answers.9: 'maybe' is none of granted"),
    ("reply", "answers", "x"): ("granted", "'x' is not a call's number"),
}


@pytest.mark.parametrize(("path", "case"), ANSWERS_MALFORMED.items(), ids=lambda v: str(v)[:40])
def test_a_malformed_answer_is_named(path, case):
    """The sidecar checks the ledger as the ledger checks the sidecar."""
    value, words = case
    with pytest.raises(ValueError) as wrong:
        decode_response(mended(encode_response(RESPONSE), path, value))
    assert words in str(wrong.value)


@pytest.mark.parametrize("body", [b"", b"{", b"\xff", b'{"a": NaN}', b"-Infinity", b"[" * 99_999, b"null", b"1" * 5000])
def test_what_is_not_json_is_no_report(body):
    """Bodies that are no JSON object raise ValueError and nothing else."""
    for decode in (decode_dispatch, decode_response):
        with pytest.raises(ValueError):
            decode(body)


def test_nothing_infinite_is_written():
    """An infinite number is an error at the sender, not a word that other JSON readers choke on."""
    assert RESPONSE.reply is not None
    with pytest.raises(ValueError):
        encode_response(replace(RESPONSE, reply=replace(RESPONSE.reply, period=math.inf)))


def test_fields_of_a_newer_side_are_left_unread():
    """Either side may be the newer one."""
    assert decode_dispatch(mended(encode_dispatch(DISPATCH), ("report", "mood"), "good")) == DISPATCH
    assert decode_response(mended(encode_response(RESPONSE), ("mood",), {})) == RESPONSE
