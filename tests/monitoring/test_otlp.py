"""Metrics for OpenTelemetry: a real receiver takes them over HTTP, and their names are those of the pinned schema."""

import asyncio
import subprocess
import sys

import pytest
from aiohttp import web
from google.protobuf.json_format import ParseDict
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.semconv._incubating.attributes import gen_ai_attributes as names
from opentelemetry.semconv._incubating.metrics import gen_ai_metrics
from opentelemetry.semconv.schemas import Schemas

from harness import processes
from harness.ledger_under_test import USD, LedgerUnderTest, batch, dispatch, document, usage
from harness.until import until_async
from wfb_operator.ledger import otlp
from wfb_operator.ledger.main import parse_arguments
from wfb_operator.ledger.otlp_headers import read_headers
from wfb_operator.ledger.otlp_push import OtlpPush


class Receiver:
    """An OTLP/HTTP receiver: it takes what the official messages can be read from, or answers 400."""

    def __init__(self):
        self.received, self.status = [], 200
        self.asked = {}
        """Headers without which it answers 401."""
        self.sent_on = ""
        """Where it sends those who ask, when it is not empty."""

    async def take(self, request):
        """POST /v1/metrics."""
        assert request.content_type == "application/json"
        if self.sent_on:
            raise web.HTTPTemporaryRedirect(self.sent_on)
        if any(request.headers.get(name) != value for name, value in self.asked.items()):
            return web.json_response({}, status=401)
        message = ParseDict(await request.json(), ExportMetricsServiceRequest())
        self.received.append(message)
        return web.json_response({}, status=self.status)

    def points(self, name):
        """{attributes: point} of a metric in the last request."""
        (resource,) = self.received[-1].resource_metrics
        (scope,) = resource.scope_metrics
        (metric,) = [m for m in scope.metrics if m.name == name]
        data = metric.histogram if metric.HasField("histogram") else metric.sum
        return {frozenset((a.key, a.value.string_value) for a in p.attributes): p for p in data.data_points}


@pytest.fixture
async def receiver():
    """A receiver on a port of its own."""
    made = Receiver()
    app = web.Application()
    app.router.add_post("/v1/metrics", made.take)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    made.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield made
    await runner.cleanup()


@pytest.fixture
async def ledger(tmp_path):
    """A ledger with one sidecar of the workflow triage, team billing, and two calls in its books."""
    under_test = await LedgerUnderTest(str(tmp_path)).start()
    await under_test.put_budgets(document())
    await under_test.put_identity()
    rows = [usage(provider="mistral", nanos=USD, calls=2), usage(outcome="refused", calls=0, refused=3, nanos=0)]
    await under_test.report(dispatch(1, batches=[batch(1, *rows)]))
    yield under_test
    await under_test.stop()


WHO = {
    ("gen_ai.operation.name", "inference"),
    ("gen_ai.provider.name", "mistral_ai"),
    ("gen_ai.request.model", "gpt-5"),
    ("k8s.namespace.name", "default"),
    ("wfb.team", "billing"),
    ("wfb.workflow", "triage"),
}


async def pushed(ledger, receiver, until, headers_file=""):
    """Runs the export until something is true, and ends it."""
    push = OtlpPush(receiver.url, 0.02, ledger.service.metrics, ledger.service.clock.now, str(headers_file))
    task = asyncio.create_task(push.run())
    await until_async(until, "an export")
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_a_receiver_gets_the_totals(ledger, receiver):
    """Tokens, money and calls, cumulative, with the pinned schema."""
    await pushed(ledger, receiver, lambda: receiver.received)
    (resource,) = receiver.received[-1].resource_metrics
    assert resource.schema_url == resource.scope_metrics[0].schema_url == otlp.SCHEMA
    tokens = receiver.points("gen_ai.client.token.usage")
    point = tokens[frozenset(WHO | {("gen_ai.token.type", "input")})]
    assert (point.count, point.sum, list(point.bucket_counts), list(point.explicit_bounds)) == (2, 10.0, [2], [])
    assert receiver.points("wfb.spend")[frozenset(WHO)].as_double == 1.0
    refused = [p.as_int for who, p in receiver.points("wfb.calls").items() if ("wfb.outcome", "refused") in who]
    assert refused == [3]
    for metric in resource.scope_metrics[0].metrics:
        data = metric.histogram if metric.HasField("histogram") else metric.sum
        assert data.aggregation_temporality == otlp.CUMULATIVE
        assert all(p.start_time_unix_nano == 0 and p.time_unix_nano > 0 for p in data.data_points)


async def test_a_collector_that_fails_is_tried_again(ledger, receiver):
    """Answers other than 200 and a collector that is away are counted; the next export has everything."""
    receiver.status = 503
    count = ledger.service.metrics.registry.get_sample_value
    await pushed(ledger, receiver, lambda: (count("wfb_ledger_otlp_total", {"result": "failed"}) or 0) >= 2)
    assert len(receiver.received) >= 2
    assert count("wfb_ledger_otlp_total", {"result": "sent"}) is None
    receiver.status = 200
    await pushed(ledger, receiver, lambda: count("wfb_ledger_otlp_total", {"result": "sent"}))
    assert receiver.points("wfb.spend")[frozenset(WHO)].as_double == 1.0


SECRET = "Bearer 7d1f-very-secret"


async def test_a_collector_that_asks_for_credentials(ledger, receiver, tmp_path, caplog):
    """The file's headers go with each export, a replaced file counts with the next, and nothing of it is ever logged."""
    caplog.set_level("DEBUG")
    count = ledger.service.metrics.registry.get_sample_value
    receiver.asked = {"Authorization": SECRET, "X-Tenant": "billing"}
    file = tmp_path / "headers"
    file.write_text("Authorization: Bearer another-secret\n")
    await pushed(ledger, receiver, lambda: count("wfb_ledger_otlp_total", {"result": "failed"}), file)
    assert receiver.received == []
    assert "it answered 401" in caplog.text
    file.write_text(f"# of the collector\n\nAuthorization: {SECRET}\r\nx-tenant:billing\n")
    await pushed(ledger, receiver, lambda: receiver.received, file)
    assert receiver.points("wfb.spend")[frozenset(WHO)].as_double == 1.0
    file.write_text("no header at all, and secret\n")
    with pytest.raises(ValueError, match="line 1 is not a header"):
        await pushed(ledger, receiver, lambda: True, file)
    assert "secret" not in caplog.text


async def test_credentials_that_are_spoilt_meanwhile(ledger, receiver, tmp_path, caplog):
    """Nothing is sent without them; it is said without their text, and the next good file is taken."""
    count = ledger.service.metrics.registry.get_sample_value
    file = tmp_path / "headers"
    file.write_text(f"Authorization: {SECRET}\n")
    push = OtlpPush(receiver.url, 0.02, ledger.service.metrics, ledger.service.clock.now, str(file))
    file.write_text("7d1f-very-secret\n")
    task = asyncio.create_task(push.run())
    await until_async(lambda: count("wfb_ledger_otlp_total", {"result": "failed"}), "a failure")
    assert receiver.received == []
    file.write_text(f"Authorization: {SECRET}\n")
    await until_async(lambda: receiver.received, "an export")
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert "line 1 is not a header" in caplog.text
    assert "secret" not in caplog.text


async def test_credentials_are_for_one_address(ledger, receiver, tmp_path):
    """A collector that points elsewhere is not followed: that is a failure, and the other hears nothing."""
    count = ledger.service.metrics.registry.get_sample_value
    file = tmp_path / "headers"
    file.write_text(f"x-api-key: {SECRET}\n")
    receiver.sent_on = f"{receiver.url.replace('127.0.0.1', 'localhost')}/v1/metrics"
    await pushed(ledger, receiver, lambda: count("wfb_ledger_otlp_total", {"result": "failed"}), file)
    assert receiver.received == []


WRONG_HEADERS = {
    "nothing": ("\n# only words\n", "it holds no header"),
    "no colon": ("X-A: 1\nBearer hush\n", "line 2 is not a header"),
    "no value": ("Authorization:\n", "line 1 is not a header"),
    "a value that is not ASCII": ("X-A: h\u00fcsh\n", "line 1 is not a header"),
    "a name with spaces": ("X A: hush\n", "line 1 is not a header"),
    "twice": ("X-A: hush\nx-a: hush\n", "line 2 names a header that another line names too"),
    "ours": ("Content-Type: hush\n", "line 1 names content-type"),
    "a novel": ("X-A: " + "hush" * 20_000, "longer than 64 KiB"),
}


@pytest.mark.parametrize(("text", "words"), WRONG_HEADERS.values(), ids=WRONG_HEADERS)
def test_headers_that_mean_nothing(tmp_path, text, words):
    """The line is named, and nothing of what it holds."""
    file = tmp_path / "headers"
    file.write_text(text)
    with pytest.raises(ValueError, match=words) as refused:
        read_headers(str(file))
    assert "hush" not in str(refused.value)


def test_a_ledger_does_not_start_with_headers_that_it_cannot_read(tmp_path):
    """One line that names the flag and the file, and exit code 2."""
    (tmp_path / "admin").write_text("admin")
    command = [sys.executable, "-m", "wfb_operator.ledger.main", f"--state={tmp_path}/state"]
    command += [
        f"--admin-token-file={tmp_path}/admin",
        "--otlp-endpoint=http://c",
        f"--otlp-headers-file={tmp_path}/none",
    ]
    ended = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert (ended.returncode, ended.stderr.count("\n")) == (2, 1), ended.stderr
    assert f"--otlp-headers-file {tmp_path}/none cannot be used" in ended.stderr


async def test_the_process_sends_by_its_flag_and_a_last_time_when_it_ends(receiver, tmp_path):
    """wfb-ledger --otlp-endpoint: what was counted since the last export is sent on SIGTERM."""
    (tmp_path / "admin").write_text("admin")
    command = [sys.executable, "-m", "wfb_operator.ledger.main", "--state", str(tmp_path / "state")]
    command += [
        "--admin-token-file",
        str(tmp_path / "admin"),
        "--otlp-endpoint",
        receiver.url,
        "--otlp-seconds",
        "3600",
        "--otlp-headers-file",
        str(tmp_path / "headers"),
    ]
    (tmp_path / "headers").write_text(f"Authorization: {SECRET}\n")
    receiver.asked = {"Authorization": SECRET}
    ledger = await asyncio.to_thread(processes.start, command, tmp_path / "log")
    assert await asyncio.to_thread(ledger.stop) == 0
    assert len(receiver.received) == 1
    assert "go to the collector unencrypted" in (tmp_path / "log").read_text()
    assert "secret" not in (tmp_path / "log").read_text()


def test_the_names_are_those_of_the_schema():
    """As OpenTelemetry's own package has them."""
    assert Schemas.V1_37_0.value == otlp.SCHEMA
    text = str(otlp.request([], 1.0, "1"))
    assert gen_ai_metrics.GEN_AI_CLIENT_TOKEN_USAGE in text
    assert set(otlp.PROVIDERS.values()) <= {value.value for value in names.GenAiProviderNameValues}
    assert (names.GEN_AI_OPERATION_NAME, names.GEN_AI_PROVIDER_NAME, names.GEN_AI_REQUEST_MODEL) == (
        "gen_ai.operation.name",
        "gen_ai.provider.name",
        "gen_ai.request.model",
    )
    assert {value.value for value in names.GenAiTokenTypeValues} == {"input", "output"}


BAD = {
    "no scheme": (["--otlp-endpoint", "collector:4318"], "is not an address"),
    "a question": (["--otlp-endpoint", "http://c/?a=b"], "is not an address"),
    "credentials in the address": (["--otlp-endpoint", "http://a:b@c"], "put them into --otlp-headers-file"),
    "headers for nobody": (["--otlp-headers-file", "f"], "give --otlp-endpoint as well"),
    "too often": (["--otlp-endpoint", "http://c", "--otlp-seconds", "0"], "is not from 1 to 3600"),
    "a label that is none": (["--metrics-most", "pod=3"], "is not LABEL=N"),
    "a number that is none": (["--metrics-most", "model=many"], "is not LABEL=N"),
    "a number that is too large": (["--metrics-most", "model=1000000"], "N from 1 to 100000"),
}


@pytest.mark.parametrize(("arguments", "words"), BAD.values(), ids=BAD)
def test_a_wrong_flag_is_one_line(capsys, arguments, words):
    """Which names the flag, the value and what would be right."""
    with pytest.raises(SystemExit) as ended:
        parse_arguments(["--state", "s", "--admin-token-file", "f", *arguments])
    assert ended.value.code == 2
    said = capsys.readouterr().err
    assert words in said
    assert said.count("\n") == 1
