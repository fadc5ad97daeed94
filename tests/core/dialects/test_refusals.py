"""Refusals as the real SDKs meet them: one attempt, the right class, and a budget that an agent can read."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import anthropic
import openai
import pytest

from wfb_core import reasons
from wfb_core.dialects import DIALECTS, refusal

WITH_SDK = ("openai-chat", "openai-responses", "anthropic-messages")
"""The dialects whose samples and SDKs this file knows; the others have files of their own."""

CHAT, RESPONSES, MESSAGES = "openai-chat", "openai-responses", "anthropic-messages"
DETAILS = {
    "budget": "billing/invoice-triage",
    "scope": "Day",
    "limit": "200.00",
    "spent": "199.99",
    "remaining": "0.01",
    "resetsAt": "2026-11-24T00:00:00+01:00",
    "suggestedModel": "claude-haiku-4-5",
    "decision": "d-0123",
}


class Provider:
    """A server that gives one answer to every request and counts them."""

    def __init__(self):
        self.answer = (200, {}, b"")
        self.attempts = 0
        provider = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *args):
                """Says nothing."""

            def do_POST(self):
                """Answers as told."""
                self.rfile.read(int(self.headers.get("content-length") or 0))
                provider.attempts += 1
                status, headers, body = provider.answer
                self.send_response(status)
                for name, value in {**headers, "content-length": str(len(body))}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def close(self):
        """Ends the server."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.fixture(scope="module")
def provider():
    """One server for the module."""
    provider = Provider()
    yield provider
    provider.close()


def call(dialect, url, retries):
    """One call through the dialect's own SDK."""
    if dialect == MESSAGES:
        client = anthropic.Anthropic(base_url=url, api_key="x", max_retries=retries)
        message = {"role": "user", "content": "hi"}
        return client.messages.create(model="claude-haiku-4-5", max_tokens=5, messages=[message])
    client = openai.OpenAI(base_url=f"{url}/v1", api_key="x", max_retries=retries)
    if dialect == CHAT:
        return client.chat.completions.create(model="gpt-4o", messages=[{"role": "user", "content": "hi"}])
    return client.responses.create(model="gpt-4o", input="hi")


def meet(provider, dialect, made, retries=2):
    """(error, attempts) that the SDK makes of a refusal."""
    provider.answer, provider.attempts = made, 0
    with pytest.raises((openai.APIStatusError, anthropic.APIStatusError)) as caught:
        call(dialect, provider.url, retries)
    return caught.value, provider.attempts


def error_of(body):
    """The error object of a body."""
    return json.loads(body)["error"]


@pytest.mark.parametrize("dialect", WITH_SDK)
def test_exhausted_makes_one_attempt_and_tells_the_agent(provider, dialect):
    """402: no retry, the SDK's own class, the budget in the body that the error carries."""
    made = DIALECTS[dialect].refusal(reasons.BUDGET_EXHAUSTED, "Budget is spent.", 402, DETAILS)

    error, attempts = meet(provider, dialect, made)

    assert attempts == 1
    assert error.status_code == 402
    assert "Budget is spent." in str(error)
    assert error_of(made[2])["budget"] == {"reason": "BudgetExhausted", **DETAILS}
    assert "budget" in json.dumps(error.body)
    if dialect == MESSAGES:
        assert isinstance(error, anthropic.PaymentRequiredError)
        assert error.body["type"] == "error"
        assert error.body["error"]["type"] == "billing_error"
        assert error.body["request_id"] == "req_wfb_d-0123"
    else:
        assert isinstance(error, openai.APIStatusError)
        assert (error.type, error.code, error.param) == ("insufficient_quota", "budget_exceeded", None)


@pytest.mark.parametrize("dialect", WITH_SDK)
def test_exhausted_as_429_still_makes_one_attempt(provider, dialect):
    """RefusalStatus 429, for frameworks that know no 402, is no invitation to try again."""
    made = DIALECTS[dialect].refusal(reasons.BUDGET_EXHAUSTED, "Budget is spent.", 429, DETAILS)

    error, attempts = meet(provider, dialect, made)

    assert attempts == 1
    assert isinstance(error, (openai.RateLimitError, anthropic.RateLimitError))
    assert error_of(made[2])["type"] in {"insufficient_quota", "billing_error"}


@pytest.mark.parametrize("dialect", WITH_SDK)
def test_a_short_wait_is_tried_again(provider, dialect):
    """429 with Retry-After: the SDK waits and tries once more where it is told to."""
    made = DIALECTS[dialect].refusal(reasons.MONEY_IN_FLIGHT, "Wait.", 429, DETAILS, retry_after=0.2)
    status, headers, body = made
    headers = {**headers, "retry-after-ms": "1"}  # the same header, made shorter for the test

    error, attempts = meet(provider, dialect, (status, headers, body), retries=1)

    assert attempts == 2
    assert isinstance(error, (openai.RateLimitError, anthropic.RateLimitError))
    assert error_of(body)["type"] in {"rate_limit_exceeded", "rate_limit_error"}


CLASSES = [
    (reasons.MODEL_NOT_ALLOWED, 403, "PermissionDeniedError"),
    (reasons.BODY_NOT_UNDERSTOOD, 400, "BadRequestError"),
    (reasons.BODY_TOO_LARGE, 413, "APIStatusError"),
    (reasons.INTERNAL_ERROR, 500, "InternalServerError"),
]


@pytest.mark.parametrize("dialect", WITH_SDK)
@pytest.mark.parametrize(("reason", "status", "name"), CLASSES)
def test_other_refusals_have_their_class_and_make_one_attempt(provider, dialect, reason, status, name):
    """Nothing that trying again cannot mend is tried again, not even a fault of ours."""
    error, attempts = meet(provider, dialect, DIALECTS[dialect].refusal(reason, "No.", status, {}))

    assert attempts == 1
    assert error.status_code == status
    assert isinstance(error, (getattr(openai, name), getattr(anthropic, name)))


@pytest.mark.parametrize("dialect", WITH_SDK)
def test_headers_of_an_exhausted_budget(dialect):
    """Stop, do not store, and the same facts as the body's for those who log headers."""
    status, headers, _ = DIALECTS[dialect].refusal(reasons.BUDGET_EXHAUSTED, "Spent.", 402, DETAILS)

    assert status == 402
    assert json.loads(headers.pop("x-wfb-refusal")) == {"reason": "BudgetExhausted", **DETAILS}
    assert headers == {
        "content-type": "application/json",
        "cache-control": "no-store",
        "x-should-retry": "false",
        "x-wfb-reason": "BudgetExhausted",
        "x-wfb-decision": "d-0123",
        "x-wfb-budget": "billing/invoice-triage",
        "x-wfb-window": "Day",
        "x-wfb-limit-usd": "200.00",
        "x-wfb-spent-usd": "199.99",
        "x-wfb-remaining-usd": "0.01",
        "x-wfb-resets-at": "2026-11-24T00:00:00+01:00",
        "x-wfb-suggested-model": "claude-haiku-4-5",
    }


@pytest.mark.parametrize(
    ("retry_after", "header"),
    [
        (0, "1"),
        (0.1, "1"),
        (1, "1"),
        (1.2, "2"),
        (58.5, "59"),
        (59.5, "59"),
        (60, "59"),
        (86400, "59"),
        (float("inf"), "59"),
        (-3, "1"),
    ],
)
@pytest.mark.parametrize("dialect", WITH_SDK)
def test_retry_after_is_whole_and_within_what_every_sdk_obeys(dialect, retry_after, header):
    """A day's Retry-After makes some SDKs sleep a day, and one ignores a minute's: 59 is the longest that is ever said."""
    _, headers, _ = DIALECTS[dialect].refusal(reasons.HOLDERS_LOST, "Wait.", 429, {}, retry_after)

    assert headers["retry-after"] == header
    assert headers["retry-after-ms"] == f"{header}000"
    assert "x-should-retry" not in headers


@pytest.mark.parametrize("dialect", WITH_SDK)
@pytest.mark.parametrize("reason", reasons.SENTENCES)
@pytest.mark.parametrize("status", [400, 402, 403, 404, 409, 413, 422, 429, 500, 503])
def test_every_reason_has_a_body_in_its_dialect(dialect, reason, status):
    """Whatever is decided, the body has the error's usual fields and the reason's constant."""
    for retry_after in (None, 5):
        _, headers, body = DIALECTS[dialect].refusal(reason, "Über", status, {}, retry_after)
        error = error_of(body)

        assert error["message"] == "Über"
        assert error["type"]
        assert error["budget"] == {"reason": reason}
        assert ("x-should-retry" in headers) == (retry_after is None)


def test_details_that_are_not_known_are_left_out():
    """No null and no key beyond the documented ones reaches a body or header."""
    details = {"budget": "a/b", "spent": None, "secret": "x"}
    _, headers, body = DIALECTS[CHAT].refusal(reasons.BUDGET_EXHAUSTED, "m", 402, details)

    assert error_of(body)["budget"] == {"reason": "BudgetExhausted", "budget": "a/b"}
    assert "secret" not in json.dumps(headers)
    assert "x-wfb-spent-usd" not in headers


def test_no_value_breaks_out_of_its_header():
    """Line ends and what is not ASCII are replaced: names come from people."""
    _, headers, _ = DIALECTS[CHAT].refusal(reasons.BUDGET_EXHAUSTED, "m", 402, {"budget": "a\r\nset-cookie: b=ü"})

    assert headers["x-wfb-budget"] == "a??set-cookie: b=?"
    assert all(" " <= c <= "~" for c in headers["x-wfb-refusal"])
    assert json.loads(headers["x-wfb-refusal"])["budget"] == "a\r\nset-cookie: b=ü"


def test_a_message_with_unpaired_surrogates_is_still_a_body():
    """A refusal never fails for its text."""
    _, _, body = DIALECTS[CHAT].refusal(reasons.BUDGET_EXHAUSTED, "\ud800", 402, {})

    assert error_of(body)["message"] == "?"
    assert refusal.code(reasons.MODEL_NOT_ALLOWED, 403, None) == "model_not_allowed"
