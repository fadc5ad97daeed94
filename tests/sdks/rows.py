"""The SDKs that are tried: where each is found, what it calls, and how its user reads a refusal from the exception."""

from dataclasses import dataclass

OPENAI_BODY = 'error.body["budget"]'
HEADERS = 'json.loads(error.response["ResponseMetadata"]["HTTPHeaders"]["x-wfb-refusal"])'
LITELLM = 'json.loads(error.litellm_response_headers["x-wfb-refusal"])'


CHEAPER = {
    "openai": "gpt-4o-mini",
    "anthropic": "claude-haiku-4-5",
    "google": "gemini-2.5-flash",
    "aws": "mistral.mistral-small-2402-v1:0",
    "mistral": "mistral-small-latest",
    "cohere": "command-r7b-12-2024",
    "groq": "llama-3.1-8b-instant",
}


@dataclass(frozen=True, slots=True)
class Row:
    """One SDK as one of its users has it."""

    name: str
    environment: str
    driver: str
    """A file below ``drivers/``, and what it is to be for this row."""
    provider: str
    model: str
    left: str
    """USD: too little for a call of the model, enough for one of a cheaper model of the same provider."""
    budget: str
    """The line that reads the budget from the exception, in the SDK's own language."""
    status: str = "error.status_code"
    """The line that reads the HTTP status."""

    @property
    def cheaper(self) -> str:
        """The model of the same provider that a rung asks instead."""
        return CHEAPER[self.provider]

    @property
    def workflow(self) -> str:
        """Its name as a label's value."""
        return self.name.replace(",", "").replace(" ", "-").replace("+", "with").lower()


def _openai(generation: int, environment: str) -> tuple[Row, ...]:
    return tuple(
        Row(
            f"openai {generation}, {dialect}",
            environment,
            f"with_openai.py {dialect}",
            "openai",
            "gpt-4o",
            "0.0015",
            OPENAI_BODY,
        )
        for dialect in ("chat", "responses")
    )


def _anthropic(generation: str, environment: str) -> Row:
    body = 'error.body["error"]["budget"]'
    name = f"anthropic {generation}"
    return Row(name, environment, "with_anthropic.py", "anthropic", "claude-sonnet-4-5", "0.003", body)


def _google(name: str, driver: str, budget: str, status: str, environment: str = "newest") -> Row:
    return Row(name, environment, driver, "google", "gemini-2.5-pro", "0.0015", budget, status)


def _boto3(mode: str) -> Row:
    status = 'error.response["ResponseMetadata"]["HTTPStatusCode"]'
    model = "mistral.mistral-large-2402-v1:0"
    return Row(f"boto3, {mode}", "newest", f"with_boto3.py {mode}", "aws", model, "0.0015", HEADERS, status)


def _node(name: str, driver: str, provider: str, budget: str, status: str = "error.status") -> Row:
    model, left = {"openai": ("gpt-4o", "0.0015"), "anthropic": ("claude-sonnet-4-5", "0.003")}[provider]
    return Row(name, "node", f"with_node.mjs {driver}", provider, model, left, budget, status)


GOOGLE_BODY = 'error.details["error"]["budget"]'
VERCEL_BODY = "JSON.parse((error.lastError ?? error).responseBody).error.budget"
VERCEL_STATUS = "(error.lastError ?? error).statusCode"

ROWS = (
    *_openai(1, "older"),
    *_openai(2, "litellm"),
    *_openai(3, "newest"),
    _anthropic("0.69", "older"),
    _anthropic("2", "newest"),
    _google("google-genai", "with_google_genai.py plain", GOOGLE_BODY, "error.code"),
    _google("google-genai + retries", "with_google_genai.py retries", GOOGLE_BODY, "error.code"),
    _boto3("legacy"),
    _boto3("standard"),
    _boto3("adaptive"),
    Row(
        "mistralai",
        "newest",
        "with_mistralai.py",
        "mistral",
        "codestral-latest",
        "0.00025",
        'json.loads(error.body)["error"]["budget"]',
    ),
    Row("cohere", "newest", "with_cohere.py", "cohere", "command-a-03-2025", "0.0015", 'error.body["budget"]'),
    Row(
        "groq",
        "newest",
        "with_groq.py",
        "groq",
        "openai/gpt-oss-20b",
        "0.00006",
        'error.body["error"]["budget"]',
    ),
    Row("langchain-openai", "newest", "with_langchain.py openai", "openai", "gpt-4o", "0.0015", OPENAI_BODY),
    _google(
        "langchain-google-genai",
        "with_langchain.py google",
        'error.__cause__.details["error"]["budget"]',
        "error.__cause__.code",
    ),
    Row("litellm, openai", "litellm", "with_litellm.py openai", "openai", "gpt-4o", "0.0015", LITELLM),
    Row(
        "litellm, anthropic",
        "litellm",
        "with_litellm.py anthropic",
        "anthropic",
        "claude-sonnet-4-5",
        "0.003",
        LITELLM,
    ),
    _google("litellm, gemini", "with_litellm.py gemini", LITELLM, "error.status_code", "litellm"),
    _node("openai-node, chat", "openai chat", "openai", "error.error.budget"),
    _node("openai-node, responses", "openai responses", "openai", "error.error.budget"),
    _node("anthropic-node", "anthropic", "anthropic", "error.error.error.budget"),
    _node("Vercel AI SDK, openai", "vercel openai", "openai", VERCEL_BODY, VERCEL_STATUS),
    _node("Vercel AI SDK, anthropic", "vercel anthropic", "anthropic", VERCEL_BODY, VERCEL_STATUS),
)
