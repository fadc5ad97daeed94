"""Parts with metrics, after some traffic: what a Prometheus would scrape of a small installation."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web
from prometheus_client.parser import text_string_to_metric_families

from harness.stack import Bench, RunningSidecar
from wfb_operator.controller.coverage import Coverage
from wfb_operator.controller.health import serve
from wfb_operator.controller.metrics import Metrics
from wfb_operator.injector.reasons import INJECTED, KEPT_PROXY, Report, Warned
from wfb_operator.injector.webhook import Webhook


def total(found: Mapping[tuple[str, tuple[tuple[str, str], ...]], float], name: str, **labels: str) -> float:
    """The sum of a metric's samples that bear these labels; keys are (name, sorted labels)."""
    return sum(value for (n, having), value in found.items() if n == name and labels.items() <= dict(having).items())


async def _serve(application: web.Application) -> str:
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    return f"http://127.0.0.1:{runner.addresses[0][1]}"


CHAT = "https://api.openai.com/v1/chat/completions"


@dataclass
class Parts:
    """A ledger, a sidecar that called through it, and a controller's metrics on a port of their own."""

    bench: Bench
    sidecar: RunningSidecar
    client: Any
    urls: dict[str, str] = field(default_factory=dict)

    def call(self, text: str, model: str = "gpt-4o") -> Any:
        """One chat completion through the sidecar."""
        body = {"model": model, "messages": [{"role": "user", "content": text}], "max_tokens": 50}
        return self.client.post(CHAT, json=body, headers={"authorization": "Bearer sk-none"})

    def unread(self) -> Any:
        """A call on a provider's host that is no chat and that nobody meters."""
        return self.client.post(CHAT, content=b"no JSON", headers={"content-type": "application/json"})

    def serve_controller(self, workflow: str) -> None:
        """The controller's port, after a survey that found a pod without a sidecar."""
        metrics = Metrics(0.0)
        found = Coverage(matched=3, uncovered=("test/a",), outdated=("test/b",))
        metrics.surveyed({f"test/{workflow}": found}, ["test"])
        metrics.ledger_answered(answered=True)
        metrics.round_done(1_800_000_000.0)
        metrics.api_failures.labels("status")
        _, controller = self.bench.loop.run(serve(metrics, "127.0.0.1", 0))
        self.urls |= {"ledger": self.bench.ledger_url, "sidecar": self.sidecar.ready["health"]}
        self.urls["controller"] = controller

    def serve_injector(self) -> None:
        """The injector's port, after a pod that was given the sidecar with a warning and one that could not be judged."""
        webhook = Webhook(None, None, None)  # type: ignore[arg-type]  # nobody asks it to judge here
        kept = Warned(KEPT_PROXY, "its own proxy stays")
        with webhook.metrics.seconds.time():
            webhook.metrics.reviewed(Report(INJECTED, "Injected", warnings=(kept,)))
        webhook.metrics.failed("NamespaceUnknown")
        self.urls["injector"] = self.bench.loop.run(_serve(webhook.application()))

    def text(self, part: str) -> str:
        """What a part answers Prometheus."""
        import urllib.request

        with urllib.request.urlopen(self.urls[part] + "/metrics", timeout=10) as answer:
            return str(answer.read().decode())

    def families(self, part: str) -> dict[str, Any]:
        """Its metric families by name."""
        return {family.name: family for family in text_string_to_metric_families(self.text(part))}
