"""GenAI metrics in OpenTelemetry's words: the ledger's totals as one OTLP/JSON request; nothing of a call's content.

Names and schema are pinned to semantic conventions 1.37.0, whose GenAI part is in development: a later version renames
them (https://github.com/open-telemetry/semantic-conventions-genai). It knows no metric for money; that one is ours.
Totals hold no single calls, so the histogram of tokens has their number and sum and no buckets.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from wfb_core.money import NANOS_PER_USD
from wfb_operator.ledger.store.port import TOTAL_COUNTS, TOTAL_DIMENSIONS

SCHEMA = "https://opentelemetry.io/schemas/1.37.0"
CUMULATIVE = 2
"""AGGREGATION_TEMPORALITY_CUMULATIVE of opentelemetry/proto/metrics/v1/metrics.proto."""

OPERATION = "inference"
"""gen_ai.operation.name, which must be there: totals do not tell chats from embeddings."""

PROVIDERS = {
    "aws": "aws.bedrock",
    "azure": "azure.ai.openai",
    "google": "gcp.gen_ai",
    "mistral": "mistral_ai",
    "x-ai": "x_ai",
}
"""gen_ai.provider.name where the convention has another word than we; the rest is as it is."""

_PLACE = {name: i for i, name in enumerate((*TOTAL_DIMENSIONS, *TOTAL_COUNTS))}
Row = tuple[tuple[Any, ...], tuple[int, ...]]


def request(rows: Iterable[Row], now: float, version: str) -> dict[str, Any]:
    """An ExportMetricsServiceRequest as JSON: totals by (TOTAL_DIMENSIONS, TOTAL_COUNTS) at a time, Unix seconds."""
    at = str(int(now * 1e9))
    tokens: dict[tuple[tuple[str, str], ...], list[int]] = {}
    money: dict[tuple[tuple[str, str], ...], int] = {}
    calls: dict[tuple[tuple[str, str], ...], int] = {}
    for key, counts in rows:
        row = (*key, *counts)
        value = {name: row[place] for name, place in _PLACE.items()}
        who = _attributes(value)
        for kind in ("input", "output"):
            if value[f"{kind}_tokens"]:
                total = tokens.setdefault((*who, ("gen_ai.token.type", kind)), [0, 0])
                total[0] += value["calls"]
                total[1] += value[f"{kind}_tokens"]
        if value["nanos"]:
            money[who] = money.get(who, 0) + value["nanos"]
        ended = (*who, ("wfb.outcome", value["outcome"]))
        calls[ended] = calls.get(ended, 0) + value["calls"] + value["refused"]
    metrics = [
        {
            "name": "gen_ai.client.token.usage",
            "description": "Number of input and output tokens used.",
            "unit": "{token}",
            "histogram": {
                "aggregationTemporality": CUMULATIVE,
                "dataPoints": [
                    {
                        **_point(who, at),
                        "count": str(n),
                        "sum": float(total),
                        "bucketCounts": [str(n)],
                        "explicitBounds": [],
                    }
                    for who, (n, total) in tokens.items()
                ],
            },
        },
        _sum(
            "wfb.spend", "What calls cost.", "USD", {k: {"asDouble": n / NANOS_PER_USD} for k, n in money.items()}, at
        ),
        _sum("wfb.calls", "Calls and refusals.", "{call}", {k: {"asInt": str(n)} for k, n in calls.items()}, at),
    ]
    scope = {"name": "wfb_operator.ledger", "version": version}
    resource = {"attributes": _listed((("service.name", "wfb-ledger"), ("service.version", version)))}
    return {
        "resourceMetrics": [
            {
                "resource": resource,
                "schemaUrl": SCHEMA,
                "scopeMetrics": [{"scope": scope, "schemaUrl": SCHEMA, "metrics": metrics}],
            }
        ]
    }


def _attributes(value: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    found = {
        "gen_ai.operation.name": OPERATION,
        "gen_ai.provider.name": PROVIDERS.get(value["provider"], value["provider"]),
        "gen_ai.request.model": value["model"],
        "k8s.namespace.name": value["namespace"],
        "wfb.team": value["team"],
        "wfb.feature": value["feature"],
        "wfb.workflow": value["workflow"],
    }
    return tuple((name, text) for name, text in found.items() if text)


def _listed(pairs: Iterable[tuple[str, str]]) -> list[dict[str, Any]]:
    return [{"key": name, "value": {"stringValue": text}} for name, text in pairs]


def _point(who: tuple[tuple[str, str], ...], at: str) -> dict[str, Any]:
    # Without a start: the totals are older than this process, and a start that moved would say that they began anew.
    return {"attributes": _listed(who), "timeUnixNano": at}


def _sum(
    name: str, words: str, unit: str, values: Mapping[tuple[tuple[str, str], ...], Mapping[str, Any]], at: str
) -> dict[str, Any]:
    points = [{**_point(who, at), **value} for who, value in values.items()]
    body = {"aggregationTemporality": CUMULATIVE, "isMonotonic": True, "dataPoints": points}
    return {"name": name, "description": words, "unit": unit, "sum": body}
