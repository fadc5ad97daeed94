"""Every provider's calls through the sidecar: what the ledger books is what the provider bills, to the nano."""

import boto3
import cohere
import groq
import openai
import pytest
from google import genai
from google.genai import types
from mistralai.client import Mistral

pytestmark = [
    pytest.mark.filterwarnings("ignore:Inheritance class AiohttpClientSession:DeprecationWarning"),  # google-genai's
    pytest.mark.filterwarnings("ignore:datetime.datetime.utcnow:DeprecationWarning"),  # botocore's
]

HELLO = [{"role": "user", "content": "hello there"}]
TOLD = {
    "x-sim-input-tokens": "1000",
    "x-sim-cached-tokens": "300",
    "x-sim-cache-write-tokens": "0",
    "x-sim-output-tokens": "50",
    "x-sim-reasoning-tokens": "20",
}
CHAT = {"messages": HELLO, "max_tokens": 200}
CONTENTS = {"contents": [{"role": "user", "parts": [{"text": "hello"}]}], "generationConfig": {"maxOutputTokens": 200}}
CONVERSE = {
    "messages": [{"role": "user", "content": [{"text": "hello"}]}],
    "inferenceConfig": {"maxTokens": 200},
}
MESSAGES = {"anthropic_version": "vertex-2023-10-16", "max_tokens": 200, "messages": HELLO}
GEMINI = "https://generativelanguage.googleapis.com/v1beta/models/gemini-2.5-flash"
VERTEX = "https://us-central1-aiplatform.googleapis.com/v1/projects/p/locations/us-central1/publishers"
GLOBAL = "https://aiplatform.googleapis.com/v1/projects/p/locations/global/publishers"
BEDROCK = "https://bedrock-runtime.us-east-1.amazonaws.com/model"
AZURE = "https://tested.openai.azure.com/openai"
CALLS = {
    "azure": (f"{AZURE}/v1/chat/completions", {"model": "gpt-4o-mini", **CHAT}),
    "openai-embeddings": (
        "https://api.openai.com/v1/embeddings",
        {"model": "text-embedding-3-small", "input": "hello"},
    ),
    "gemini": (f"{GEMINI}:generateContent", CONTENTS),
    "gemini-sse": (f"{GEMINI}:streamGenerateContent?alt=sse", CONTENTS),
    "gemini-array": (f"{GEMINI}:streamGenerateContent", CONTENTS),
    "vertex": (f"{VERTEX}/google/models/gemini-2.5-flash:generateContent", CONTENTS),
    "vertex-claude": (f"{GLOBAL}/anthropic/models/claude-haiku-4-5:rawPredict", MESSAGES),
    "vertex-claude-stream": (
        f"{GLOBAL}/anthropic/models/claude-haiku-4-5:streamRawPredict",
        {**MESSAGES, "stream": True},
    ),
    "converse": (f"{BEDROCK}/amazon.nova-lite-v1%3A0/converse", CONVERSE),
    "converse-stream": (f"{BEDROCK}/amazon.nova-lite-v1%3A0/converse-stream", CONVERSE),
    "mistral": ("https://api.mistral.ai/v1/chat/completions", {"model": "mistral-small-latest", **CHAT}),
    "cohere": ("https://api.cohere.com/v2/chat", {"model": "command-a-03-2025", **CHAT}),
    "xai": ("https://api.x.ai/v1/chat/completions", {"model": "grok-3-mini", **CHAT}),
    "xai-stream": ("https://api.x.ai/v1/chat/completions", {"model": "grok-3-mini", "stream": True, **CHAT}),
    "deepseek": ("https://api.deepseek.com/chat/completions", {"model": "deepseek-v3.2", **CHAT}),
    "perplexity": ("https://api.perplexity.ai/chat/completions", {"model": "sonar", **CHAT}),
    "openrouter": ("https://openrouter.ai/api/v1/chat/completions", {"model": "openai/gpt-4o-mini", **CHAT}),
    "openrouter-stream": (
        "https://openrouter.ai/api/v1/chat/completions",
        {"model": "openai/gpt-4o-mini", "stream": True, **CHAT},
    ),
    "together": (
        "https://api.together.xyz/v1/chat/completions",
        {"model": "meta-llama/Llama-3.3-70B-Instruct-Turbo", **CHAT},
    ),
    "cerebras": ("https://api.cerebras.ai/v1/chat/completions", {"model": "gpt-oss-120b", **CHAT}),
    "gemini-embeddings": (
        "https://generativelanguage.googleapis.com/v1beta/models/gemini-embedding-001:embedContent",
        {"content": {"parts": [{"text": "hello"}]}},
    ),
    "invoke": (
        f"{BEDROCK}/meta.llama3-1-8b-instruct-v1%3A0/invoke",
        {"prompt": "hello", "max_gen_len": 100},
    ),
    "invoke-stream": (
        f"{BEDROCK}/global.anthropic.claude-haiku-4-5-20251001-v1%3A0/invoke-with-response-stream",
        {**MESSAGES, "anthropic_version": "bedrock-2023-05-31"},
    ),
    "groq": ("https://api.groq.com/openai/v1/chat/completions", {"model": "llama-3.1-8b-instant", **CHAT}),
}


@pytest.fixture(scope="module")
def sidecar(module_bench):
    """One sidecar for the module."""
    return module_bench.sidecar()


@pytest.mark.parametrize("name", CALLS)
def test_a_call_is_booked_as_its_provider_bills_it(module_bench, sidecar, client, name):
    """Host, path, framing and price of each provider: recognised, held, read and charged exactly."""
    url, body = CALLS[name]
    with module_bench.balanced():
        answer = client(sidecar).post(url, json=body, headers={**TOLD, "authorization": "Bearer fake"})
        assert answer.status_code == 200, answer.text


def _google(stream):
    sdk = genai.Client(api_key="fake", http_options=types.HttpOptions(headers=TOLD))
    if stream:
        return list(sdk.models.generate_content_stream(model="gemini-2.5-flash", contents="hello"))
    return sdk.models.generate_content(model="gemini-2.5-flash", contents="hello")


def _bedrock(stream):
    made = boto3.client(
        "bedrock-runtime", region_name="us-east-1", aws_access_key_id="fake", aws_secret_access_key="fake"
    )
    said = {"modelId": "amazon.nova-lite-v1:0", **CONVERSE}
    return list(made.converse_stream(**said)["stream"]) if stream else made.converse(**said)


def _mistral(stream):
    chat = Mistral(api_key="fake").chat
    said = {"model": "mistral-small-latest", **CHAT}
    return list(chat.stream(**said)) if stream else chat.complete(**said)


def _cohere(stream):
    made = cohere.ClientV2(api_key="fake")
    said = {"model": "command-a-03-2025", **CHAT}
    return list(made.chat_stream(**said)) if stream else made.chat(**said)


def _groq(stream):
    with groq.Groq(api_key="fake", max_retries=0) as sdk:
        said = {"model": "llama-3.1-8b-instant", "max_completion_tokens": 200, "messages": HELLO}
        made = sdk.chat.completions.create(stream=stream, **said)
        return list(made) if stream else made


def _azure(stream):
    with openai.AzureOpenAI(
        api_key="fake", api_version="2024-10-21", azure_endpoint="https://tested.openai.azure.com", max_retries=0
    ) as sdk:
        made = sdk.chat.completions.create(model="gpt-4o-mini", stream=stream, **CHAT)
        return list(made) if stream else made


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("call", [_google, _bedrock, _mistral, _cohere, _groq, _azure])
def test_an_sdk_call_is_booked_as_billed(module_bench, sidecar, monkeypatch, call, stream):
    """Each provider's own SDK, with nothing but the variables of its environment changed."""
    trust = {"AWS_CA_BUNDLE": sidecar.bundle, "REQUESTS_CA_BUNDLE": sidecar.bundle}
    for name, value in sidecar.environment(**trust).items():
        monkeypatch.setenv(name, value)
    with module_bench.balanced():
        assert call(stream)
