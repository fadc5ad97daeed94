"""Usage as a FOCUS 1.2 Cost and Usage dataset, so that it stands beside cloud bills in any FinOps tool.

Columns, their order of meaning and allowed values are those of the FinOps Open Cost and Usage Specification 1.2
(https://focus.finops.org/focus-specification/v1-2/); a test has focus-validator judge the file by its bundled rules. A row
is one UTC day (at the ends of a period its hours) of one namespace, team, feature, workflow, agent, provider, model
and outcome. What FOCUS has no column for is in columns with the prefix ``x_``.

Whose words mean what here: the *billing account* is the account at the provider whose keys were used, which the books do
not know, so it is named by the provider; the *sub account* is the Kubernetes namespace; the *resource* is the workflow.
``BilledCost`` is what was charged at the effective price, as metered; the provider's invoice has the last word, and
``wfb reconcile`` compares both.
"""

import datetime
import json
from collections.abc import Iterator, Mapping
from typing import Any

from wfb_core.money import format_usd
from wfb_operator.showback.amounts import TOKENS, counted
from wfb_operator.showback.books import Books, Question, Row
from wfb_operator.showback.gather import DAY_SECONDS, HOUR_SECONDS
from wfb_operator.showback.shown import cell

BY = (
    "namespace",
    "team",
    "feature",
    "workflow",
    "agent",
    "provider",
    "model",
    "served_model",
    "outcome",
    "estimated",
    "prices",
)

VERSION = "1.2"

PROVIDERS = {
    "alibaba": "Alibaba Cloud",
    "anthropic": "Anthropic",
    "aws": "Amazon Web Services",
    "azure": "Microsoft",
    "cohere": "Cohere",
    "deepseek": "DeepSeek",
    "google": "Google",
    "groq": "Groq",
    "mistral": "Mistral AI",
    "openai": "OpenAI",
    "openrouter": "OpenRouter",
    "x-ai": "xAI",
}
"""Names that an invoice would have; a provider that is not here goes by its own name."""

EXTRA = {
    "x_Calls": "calls",
    "x_RefusedCalls": "refused",
    "x_InputTokens": "input_tokens",
    "x_CacheReadTokens": "cache_read_tokens",
    "x_CacheWriteTokens": "cache_write_tokens",
    "x_OutputTokens": "output_tokens",
    "x_ReasoningTokens": "reasoning_tokens",
}
NAMES = {
    "x_Team": "team",
    "x_Feature": "feature",
    "x_Workflow": "workflow",
    "x_Agent": "agent",
    "x_ServedModel": "served_model",
    "x_Outcome": "outcome",
    "x_PriceVersion": "prices",
}


def rows(books: Books, question: Question) -> Iterator[dict[str, str]]:
    """Every row of a period, in the order of time; raises what the books raise."""
    for first, last, unit, step in _stretches(question.since, question.until):
        for start in range(first, last, step):
            part = Question(start, min(start + step, last), question.only)
            for row in part.every(books, (unit, *BY)):
                if row.get("input_tokens") or row.get("calls") or row.get("refused") or counted(row)["nanos"]:
                    yield _row(row, start, step)


def _stretches(since: int, until: int) -> Iterator[tuple[int, int, str, int]]:
    """(first, last, unit, seconds): whole days, and the hours around them."""
    first = -(-since // DAY_SECONDS) * DAY_SECONDS
    last = until // DAY_SECONDS * DAY_SECONDS
    if first >= last:
        yield since // HOUR_SECONDS * HOUR_SECONDS, until, "hour", HOUR_SECONDS
        return
    if since < first:
        yield since // HOUR_SECONDS * HOUR_SECONDS, first, "hour", HOUR_SECONDS
    yield first, last, "day", DAY_SECONDS
    if last < until:
        yield last, until, "hour", HOUR_SECONDS


def _row(row: Row, start: int, step: int) -> dict[str, str]:
    counts = counted(row)
    provider = str(row["provider"])
    invoicer = PROVIDERS.get(provider, provider) or "unknown"
    tokens = sum(counts[name] for name in TOKENS)
    cost, model = format_usd(counts["nanos"]), str(row["model"]) or "unknown"
    month = datetime.datetime.fromtimestamp(start, datetime.UTC).replace(day=1, hour=0, minute=0, second=0)
    following = (month + datetime.timedelta(days=32)).replace(day=1)
    quantity = f"{tokens or counts['calls']}.0"  # a decimal, which the specification asks for
    unit = "Tokens" if tokens else "Requests"
    found: dict[str, Any] = {
        "BilledCost": cost,
        "BillingAccountId": cell(provider or "unknown"),
        "BillingAccountName": cell(invoicer),
        "BillingAccountType": "Provider account",
        "BillingCurrency": "USD",
        "BillingPeriodEnd": _time(following.timestamp()),
        "BillingPeriodStart": _time(month.timestamp()),
        "ChargeCategory": "Usage",
        "ChargeClass": "",
        "ChargeDescription": cell(f"{counts['calls']} calls of {model} by {row['workflow'] or 'no workflow'}"),
        "ChargeFrequency": "Usage-Based",
        "ChargePeriodEnd": _time(start + step),
        "ChargePeriodStart": _time(start),
        "ConsumedQuantity": quantity,
        "ConsumedUnit": unit,
        "ContractedCost": cost,
        "ContractedUnitPrice": "",
        "EffectiveCost": cost,
        "InvoiceId": "",
        "InvoiceIssuerName": cell(invoicer),
        "ListCost": format_usd(counts["list_nanos"]),
        "ListUnitPrice": "",
        "PricingCategory": "Standard",
        "PricingQuantity": quantity,
        "PricingUnit": unit,
        "ProviderName": cell(invoicer),
        "PublisherName": cell(invoicer),
        "ResourceId": cell(f"{row['namespace'] or 'default'}/{row['workflow'] or 'no workflow'}"),
        "ResourceName": cell(str(row["workflow"]) or "no workflow"),
        "ResourceType": "AI workflow",
        "ServiceCategory": "AI and Machine Learning",
        "ServiceName": cell(f"{invoicer} API"),
        "ServiceSubcategory": "Generative AI",
        "SkuId": cell(f"{provider}/{model}"),
        "SkuMeter": "Tokens",
        "SkuPriceDetails": "",
        "SkuPriceId": cell(f"{provider}/{model}/{row['prices'] or 'unversioned'}"),
        "SubAccountId": cell(str(row["namespace"]) or "default"),
        "SubAccountName": cell(str(row["namespace"]) or "default"),
        "SubAccountType": "Kubernetes namespace",
        "Tags": _tags(row),
        "x_Estimated": "true" if row["estimated"] else "false",
    }
    return (
        found | {x: str(counts[name]) for x, name in EXTRA.items()} | {x: cell(str(row[n])) for x, n in NAMES.items()}
    )


def _tags(row: Mapping[str, Any]) -> str:
    """Labels as a JSON object, those that there are."""
    labels = {f"aifinops.dev/{name}": str(row[name]) for name in ("team", "feature", "workflow") if row[name]}
    return json.dumps(labels, ensure_ascii=False, sort_keys=True)


def _time(unix: float) -> str:
    return datetime.datetime.fromtimestamp(unix, datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


_NO_ROW = dict.fromkeys((*BY, "usd", "list_usd"), "") | {"usd": "0", "list_usd": "0", "estimated": False}

COLUMNS = tuple(_row(_NO_ROW, 0, DAY_SECONDS))
"""The columns, also of a period without a row."""
