"""The exports that are known, each as the columns it has and where in them day, model, cost and tokens are.

Sources, all public:

- OpenAI, costs and usage: ``GET /v1/organization/costs`` and ``/usage/completions``
  (https://platform.openai.com/docs/api-reference/usage); the dashboard's CSV has the API's fields as columns, amounts as
  ``amount_value`` and ``amount_currency``, and a model's name before a comma in ``line_item``.
- Anthropic: ``GET /v1/organizations/cost_report`` and ``/usage_report/messages``
  (https://platform.claude.com/docs/en/api/admin/cost_report): amounts are decimal strings in *cents*; the Console's CSVs
  (https://support.claude.com/en/articles/9534590) begin with ``usage_date_utc`` and have ``cost_usd`` in dollars.
- AWS: Cost and Usage Report, legacy (``lineItem/UsageStartDate``) and 2.0 (``line_item_usage_start_date``), where Bedrock
  has a line for each kind of token
  (https://docs.aws.amazon.com/bedrock/latest/userguide/cost-mgmt-understanding-cur-data.html).
- Google: Cloud Billing's standard export from BigQuery as CSV
  (https://docs.cloud.google.com/billing/docs/how-to/export-data-bigquery-tables/standard-usage).
- OpenRouter: the activity page's CSV, a line a generation
  (https://openrouter.ai/docs/guides/guides/activity-export), and ``GET /api/v1/activity``.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

type Fields = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Shape:
    """One export: which columns tell it, and what they say."""

    provider: str
    name: str
    needs: tuple[str, ...]
    """Columns that it must have; the shape with most of them present is taken."""
    day: str
    model: str = ""
    usd: str = ""
    per: int = 1
    """How many units of the amount are a dollar: 100 for cents."""
    currency: str = ""
    """The column of the currency; dollars where it is empty."""
    tokens: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Kind of tokens → the columns that add up to it."""
    within: Mapping[str, str] = field(default_factory=dict)
    """Kind of tokens → a kind whose column holds it, too, and from which it is taken out."""
    calls: str = ""
    each: bool = False
    """Whether a line is one call."""
    clean: Callable[[str], str] = str.strip
    """From the column to a model's name."""
    keep: Callable[[Fields], bool] = lambda _: True
    """Whether a line is about models at all: bills of a cloud hold everything."""
    batch: Callable[[Fields], bool] = lambda _: False
    other: Callable[[Fields], bool] = lambda _: False
    credit: Callable[[Fields], bool] = lambda _: False


def _before_comma(text: str) -> str:
    return text.partition(",")[0].strip()


def _bedrock(text: str) -> str:
    """``USE1-Claude4.5Sonnet-input-tokens-batch`` → ``Claude4.5Sonnet``."""
    head, _, rest = text.partition("-")
    name = rest if head.isupper() or head[:3].isupper() else text
    for mark in ("-mantle", "-input", "-output", "-cache", "-batch", "_input", "_output"):
        name = name.partition(mark)[0]
    return name


def _is_bedrock(fields: Fields) -> bool:
    names = ("lineItem/ProductCode", "line_item_product_code", "product/ProductName", "product_servicecode")
    return any("bedrock" in fields.get(name, "").lower() for name in names)


def _is_google_ai(fields: Fields) -> bool:
    service = fields.get("service.description", fields.get("service_description", "")).lower()
    return any(word in service for word in ("vertex ai", "gemini", "generative language"))


def _any_batch(*names: str) -> Callable[[Fields], bool]:
    return lambda fields: any("batch" in fields.get(name, "").lower() for name in names)


_OPENAI_TOKENS = {
    "input": ("input_tokens",),
    "cache_read": ("input_cached_tokens",),
    "output": ("output_tokens",),
}

SHAPES = (
    Shape(
        "openai",
        "costs of the dashboard or the Costs API",
        ("start_time", "amount_value", "amount_currency", "line_item"),
        "start_time",
        "line_item",
        "amount_value",
        currency="amount_currency",
        clean=_before_comma,
        batch=_any_batch("line_item"),
        other=lambda f: bool(f.get("line_item")) and not any(w in f["line_item"].lower() for w in ("input", "output")),
    ),
    Shape(
        "openai",
        "usage of completions",
        ("start_time", "input_tokens", "output_tokens", "num_model_requests"),
        "start_time",
        "model",
        tokens=_OPENAI_TOKENS,
        within={"cache_read": "input"},
        calls="num_model_requests",
        batch=lambda f: f.get("batch", "").lower() == "true",
    ),
    Shape(
        "anthropic",
        "costs of the Console",
        ("usage_date_utc", "model", "token_type", "cost_usd"),
        "usage_date_utc",
        "model",
        "cost_usd",
        batch=_any_batch("usage_type"),
        other=lambda f: f.get("cost_type", "token").lower() not in ("token", "tokens", ""),
    ),
    Shape(
        "anthropic",
        "usage of the Console",
        ("usage_date_utc", "model_version", "usage_input_tokens_no_cache", "usage_output_tokens"),
        "usage_date_utc",
        "model_version",
        tokens={
            "input": ("usage_input_tokens_no_cache",),
            "cache_read": ("usage_input_tokens_cache_read",),
            "cache_write": ("usage_input_tokens_cache_write_5m", "usage_input_tokens_cache_write_1h"),
            "output": ("usage_output_tokens",),
        },
        batch=_any_batch("usage_type"),
    ),
    Shape(
        "anthropic",
        "the cost report of the Admin API",
        ("starting_at", "amount", "currency"),
        "starting_at",
        "model",
        "amount",
        per=100,
        currency="currency",
        batch=_any_batch("service_tier"),
        other=lambda f: f.get("cost_type", "") not in ("tokens", ""),
    ),
    Shape(
        "anthropic",
        "the usage report of the Admin API",
        ("starting_at", "uncached_input_tokens", "output_tokens"),
        "starting_at",
        "model",
        tokens={
            "input": ("uncached_input_tokens",),
            "cache_read": ("cache_read_input_tokens",),
            "cache_write": ("cache_creation.ephemeral_5m_input_tokens", "cache_creation.ephemeral_1h_input_tokens"),
            "output": ("output_tokens",),
        },
        batch=_any_batch("service_tier"),
    ),
    Shape(
        "aws",
        "the Cost and Usage Report",
        ("lineItem/UsageStartDate", "lineItem/UsageType", "lineItem/UnblendedCost", "lineItem/CurrencyCode"),
        "lineItem/UsageStartDate",
        "lineItem/UsageType",
        "lineItem/UnblendedCost",
        currency="lineItem/CurrencyCode",
        clean=_bedrock,
        keep=_is_bedrock,
        batch=_any_batch("lineItem/UsageType"),
        credit=lambda f: f.get("lineItem/LineItemType", "") == "Credit",
    ),
    Shape(
        "aws",
        "the Cost and Usage Report 2.0",
        ("line_item_usage_start_date", "line_item_usage_type", "line_item_unblended_cost", "line_item_currency_code"),
        "line_item_usage_start_date",
        "line_item_usage_type",
        "line_item_unblended_cost",
        currency="line_item_currency_code",
        clean=_bedrock,
        keep=_is_bedrock,
        batch=_any_batch("line_item_usage_type"),
        credit=lambda f: f.get("line_item_line_item_type", "") == "Credit",
    ),
    Shape(
        "google",
        "the Cloud Billing export, fields with points",
        ("usage_start_time", "service.description", "sku.description", "cost", "currency"),
        "usage_start_time",
        "sku.description",
        "cost",
        currency="currency",
        keep=_is_google_ai,
        batch=_any_batch("sku.description"),
        credit=lambda f: f.get("cost", "").startswith("-"),
    ),
    Shape(
        "google",
        "the Cloud Billing export, fields with underscores",
        ("usage_start_time", "service_description", "sku_description", "cost", "currency"),
        "usage_start_time",
        "sku_description",
        "cost",
        currency="currency",
        keep=_is_google_ai,
        batch=_any_batch("sku_description"),
        credit=lambda f: f.get("cost", "").startswith("-"),
    ),
    Shape(
        "openrouter",
        "the activity of the dashboard",
        ("created_at", "cost_total", "tokens_prompt", "tokens_completion", "model_permaslug"),
        "created_at",
        "model_permaslug",
        "cost_total",
        tokens={"input": ("tokens_prompt",), "cache_read": ("tokens_cached",), "output": ("tokens_completion",)},
        within={"cache_read": "input"},
        each=True,
    ),
    Shape(
        "openrouter",
        "the activity of the API",
        ("date", "usage", "requests", "prompt_tokens", "completion_tokens", "model_permaslug"),
        "date",
        "model_permaslug",
        "usage",
        tokens={"input": ("prompt_tokens",), "output": ("completion_tokens",)},
        calls="requests",
    ),
)

PROVIDERS = {
    **{shape.provider: shape.provider for shape in SHAPES},
    "bedrock": "aws",
    "gemini": "google",
    "vertex": "google",
}
"""What ``--provider`` may say → the provider's name in the books."""
