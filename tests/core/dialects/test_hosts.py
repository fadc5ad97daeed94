"""The host table: which hosts are providers, and what each path is."""

import pytest

from wfb_core.dialects import DIALECTS, SOCKETS
from wfb_core.host_table import HostTableError, extended_hosts, known_hosts
from wfb_core.hosts import FREE, METERED, UNMETERED, HostRow, Hosts

FOUND = [
    ("api.openai.com", "openai"),
    ("API.OpenAI.com.", "openai"),
    ("api.openai.com:443", "openai"),
    ("api.openai.com:8443", "openai"),
    ("eu.api.openai.com", "openai"),
    ("us.api.openai.com:443", "openai"),
    ("api.anthropic.com", "anthropic"),
    ("api.openai.com.evil.example", None),
    ("evilapi.openai.com", None),
    ("notapi.anthropic.com", None),
    ("x.api.anthropic.com", None),
    ("openai.com", None),
    (".api.openai.com", None),
    ("api.openai.co", None),
    ("127.0.0.1:9443", None),
    ("", None),
]


@pytest.mark.parametrize(("host", "provider"), FOUND)
def test_a_host_is_found_by_name_or_anchored_suffix_only(host, provider):
    """No part of a name makes a host a provider's, and no port, dot or case hides one."""
    row = known_hosts().find(host)

    assert (row.provider if row else None) == provider


ROUTES = [
    ("api.openai.com", "POST", "/v1/chat/completions", METERED, "openai-chat"),
    ("api.openai.com", "post", "/v1/chat/completions", METERED, "openai-chat"),
    ("api.openai.com", "POST", "//v1//chat/completions/?a=b/../c", METERED, "openai-chat"),
    ("api.openai.com", "POST", "/v1/chat%2dcompletions", UNMETERED, None),
    ("api.openai.com", "POST", "/v1/c%68at/completions", METERED, "openai-chat"),
    ("api.openai.com", "POST", "/v1/responses", METERED, "openai-responses"),
    ("api.openai.com", "GET", "/v1/responses", METERED, "openai-responses-socket"),  # a WebSocket begins so
    ("api.openai.com", "GET", "/v1/responses/resp_1?stream=true", METERED, "openai-responses"),
    ("api.openai.com", "POST", "/v1/responses/resp_1/cancel", FREE, None),
    ("api.openai.com", "POST", "/v1/responses/compact", METERED, "openai-responses"),
    ("api.openai.com", "GET", "/v1/models", FREE, None),
    ("api.openai.com", "GET", "/v1/models/ft:gpt-4o:org::id", FREE, None),
    ("api.openai.com", "GET", "/v1/models/ft%3Agpt-4o", FREE, None),
    ("api.openai.com", "POST", "/v1/files", FREE, None),
    ("api.openai.com", "GET", "/v1/files/../chat/completions", UNMETERED, None),
    ("api.openai.com", "GET", "/v1/files/%2e%2e", UNMETERED, None),
    ("api.openai.com", "GET", "/v1/files/a%2Fb", UNMETERED, None),
    ("api.openai.com", "GET", "/v1/files%2Fabc", UNMETERED, None),  # a server that decodes late sees one segment
    ("api.openai.com", "POST", "/v1%2Fchat/completions", UNMETERED, None),
    ("api.openai.com", "GET", "/v1/files/..;x", UNMETERED, None),
    ("api.openai.com", "GET", "/v1/files/%252e%252e", UNMETERED, None),
    ("api.openai.com", "GET", "/v1/files/a\\b", UNMETERED, None),
    ("api.openai.com", "POST", "/v1/files/file-1", UNMETERED, None),
    ("api.openai.com", "GET", "/v1/fine_tuning/jobs", FREE, None),
    ("api.openai.com", "GET", "/v1/fine_tuning/jobs/a/b/c", FREE, None),
    ("api.openai.com", "GET", "/v1/fine_tuning/jobsx", UNMETERED, None),
    ("api.openai.com", "POST", "/v1/embeddings", METERED, "openai-embeddings"),
    ("api.openai.com", "POST", "/V1/chat/completions", UNMETERED, None),
    ("api.openai.com", "POST", "v1/chat/completions", UNMETERED, None),
    ("api.openai.com", "OPTIONS", "/v1/chat/completions", FREE, None),
    ("api.openai.com", "GET", "/v1/realtime?model=x", METERED, "openai-realtime"),
    ("api.openai.com", "POST", "/", UNMETERED, None),
    ("api.openai.com", "POST", "", UNMETERED, None),
    ("api.anthropic.com", "POST", "/v1/messages?beta=true", METERED, "anthropic-messages"),
    ("api.anthropic.com", "POST", "/v1/messages/", METERED, "anthropic-messages"),
    ("api.anthropic.com", "POST", "/v1/messages/count_tokens", FREE, None),
    ("api.anthropic.com", "POST", "/v1/messages/batches", METERED, "anthropic-batches"),
    ("api.anthropic.com", "GET", "/v1/messages/batches/b_1/results", METERED, "anthropic-batches"),
    ("api.anthropic.com", "HEAD", "/", FREE, None),
    ("api.anthropic.com", "POST", "/v1/complete", METERED, "anthropic-messages"),
    ("api.cohere.com", "POST", "/v1/generate", METERED, "cohere-chat"),
    (
        "us-central1-aiplatform.googleapis.com",
        "POST",
        "/v1/projects/p/locations/us-central1/publishers/mistralai/models/mistral-ocr-2505:rawPredict",
        METERED,
        "mistral-ocr",
    ),
    (
        "us-central1-aiplatform.googleapis.com",
        "POST",
        "/v1/projects/p/locations/us-central1/publishers/mistralai/models/mistral-medium-3:rawPredict",
        METERED,
        "openai-chat",
    ),
    # What bills and says nothing that could be read is never taken for free.
    ("api.openai.com", "POST", "/v1/threads/thread_1/runs", UNMETERED, None),
    ("api.openai.com", "POST", "/v1/threads/runs", UNMETERED, None),
    ("api.openai.com", "POST", "/v1/realtime/calls", UNMETERED, None),
    ("api.openai.com", "POST", "/v1/videos", UNMETERED, None),
    ("api.openai.com", "POST", "/v1/fine_tuning/jobs", UNMETERED, None),
    ("generativelanguage.googleapis.com", "POST", "/v1beta/models/m:batchGenerateContent", UNMETERED, None),
    ("generativelanguage.googleapis.com", "POST", "/v1beta/models/m:generateAnswer", UNMETERED, None),
    ("generativelanguage.googleapis.com", "POST", "/v1beta/cachedContents", UNMETERED, None),
    ("generativelanguage.googleapis.com", "POST", "/v1beta/models/veo-3:predictLongRunning", UNMETERED, None),
    ("openrouter.ai", "POST", "/api/v1/rerank", UNMETERED, None),
    ("api.x.ai", "POST", "/v1/videos/generations", UNMETERED, None),
    ("api.mistral.ai", "POST", "/v1/batch/jobs", UNMETERED, None),
    ("api.mistral.ai", "POST", "/v1/conversations", UNMETERED, None),
    ("bedrock-runtime.us-east-1.amazonaws.com", "POST", "/async-invoke", UNMETERED, None),
    ("api.anthropic.com", "POST", "/v1/chat/completions", METERED, "openai-chat"),
]


@pytest.mark.parametrize(("provider", "method", "path", "kind", "dialect"), ROUTES)
def test_a_path_is_metered_free_or_neither(provider, method, path, kind, dialect):
    """Only what a row names is metered or free; whatever a server could read differently is UNMETERED."""
    route = known_hosts().find(provider).route(method, path)

    assert (route.kind, route.dialect) == (kind, dialect)


def test_every_metered_path_names_a_dialect_and_every_row_its_source():
    """The tables of hosts and of dialects fit, and every fact says where it is from."""
    for row in known_hosts().rows:
        assert row.source
        assert row.cut_streams_source
        for mount in row.mounts:
            assert mount.api.source
            for _, _, dialect in mount.api.metered:
                assert (dialect in DIALECTS) != (dialect in SOCKETS)


def test_an_own_endpoint_is_found_on_its_port_alone():
    """An endpoint is host and port; the hosts it was added to know nothing of it."""
    hosts = known_hosts()
    more = hosts.with_endpoint("127.0.0.1:9443", "openai").with_endpoint("[::1]:9443", "anthropic")

    assert more.find("127.0.0.1:9443").route("POST", "/v1/chat/completions").dialect == "openai-chat"
    assert more.find("[::1]:9443").provider == "anthropic"
    assert more.find("127.0.0.1:9444") is None
    assert more.find("127.0.0.1") is None
    assert more.find("api.openai.com") is not None
    assert hosts.find("127.0.0.1:9443") is None


@pytest.mark.parametrize(
    ("endpoint", "provider", "says"),
    [
        ("127.0.0.1:1", "acme", "provider 'acme' of endpoint '127.0.0.1:1' is unknown: use one of"),
        ("localhost", "openai", "endpoint 'localhost' is not an address: write host:port"),
        ("localhost:0", "openai", "write host:port"),
        (":80", "openai", "write host:port"),
        ("localhost:99999", "openai", "write host:port"),
    ],
)
def test_a_bad_endpoint_is_told_with_the_way_out(endpoint, provider, says):
    """The message names the field, the value and what to write."""
    with pytest.raises(ValueError, match=says.replace("[", "\\[")):
        known_hosts().with_endpoint(endpoint, provider)


def test_a_suffix_row_matches_names_below_it_only():
    """Rows for resource names, such as Azure's, are anchored at a dot."""
    hosts = Hosts([HostRow("*.openai.azure.com", "azure", (), "test")])

    assert hosts.find("my-res.openai.azure.com") is not None
    assert hosts.find("openai.azure.com") is None
    assert hosts.find("my-resopenai.azure.com") is None


@pytest.mark.parametrize(
    ("path", "host", "rest"),
    [
        ("/openai/v1/chat/completions?x=1", "api.openai.com", "/v1/chat/completions?x=1"),
        ("/anthropic/v1/messages", "api.anthropic.com", "/v1/messages"),
        ("/openai/", "api.openai.com", "/"),
        ("/openai", None, None),
        ("/openaix/v1", None, None),
        ("openai/v1", None, None),
        ("/v1/messages", None, None),
    ],
)
def test_base_url_paths_name_their_host_first(path, host, rest):
    """In base-url mode the first segment stands for the host, and only a whole segment does."""
    found = known_hosts().for_base_url(path)

    assert (found and found[0].pattern) == host
    assert (found and found[1]) == rest


PROVIDERS = [
    (
        "x.openai.azure.com",
        "POST",
        "/openai/deployments/my%20gpt/chat/completions?api-version=1",
        "azure",
        "openai-chat",
    ),
    ("x.openai.azure.com", "POST", "/openai/v1/responses", "azure", "openai-responses"),
    ("x.openai.azure.com", "POST", "/openai/responses?api-version=preview", "azure", "openai-responses"),
    ("x.services.ai.azure.com", "POST", "/anthropic/v1/messages", "azure", "anthropic-messages"),
    (
        "generativelanguage.googleapis.com",
        "POST",
        "/v1beta/models/gemini-3:streamGenerateContent?alt=sse",
        "google",
        "gemini-generate",
    ),
    ("generativelanguage.googleapis.com", "POST", "/v1beta/models/g:countTokens", "google", None),
    ("generativelanguage.googleapis.com", "POST", "/v1beta/openai/chat/completions", "google", "openai-chat"),
    (
        "europe-west4-aiplatform.googleapis.com",
        "POST",
        "/v1/projects/p/locations/l/publishers/anthropic/models/claude:streamRawPredict",
        "google",
        "anthropic-messages",
    ),
    (
        "aiplatform.googleapis.com",
        "POST",
        "/v1/projects/p/locations/l/publishers/anthropic/models/count-tokens:rawPredict",
        "google",
        None,
    ),
    ("bedrock-runtime.eu-west-1.amazonaws.com", "POST", "/model/eu.x%3A0/converse-stream", "aws", "bedrock-converse"),
    (
        "bedrock-runtime.eu-west-1.amazonaws.com",
        "POST",
        "/model/arn%3Aaws%3Abedrock%3Aeu%3A1%3Aapplication-inference-profile%2Fab/invoke",
        "aws",
        "bedrock-invoke",
    ),
    ("bedrock-mantle.us-east-1.api.aws", "POST", "/anthropic/v1/messages", "aws", "anthropic-messages"),
    ("router.huggingface.co", "POST", "/groq/openai/v1/chat/completions", "huggingface_groq", "openai-chat"),
    ("api.x.ai", "POST", "/xai_api.Chat/GetCompletion", "x-ai", "grpc-xai"),
    ("api.cohere.com", "POST", "/v2/chat", "cohere", "cohere-chat"),
    ("openrouter.ai", "GET", "/api/v1/models", "openrouter", None),
    ("api.cloudflare.com", "GET", "/client/v4/zones", "cloudflare", None),
]


@pytest.mark.parametrize(("host", "method", "path", "provider", "dialect"), PROVIDERS)
def test_the_providers_teams_use_are_known_with_their_paths(host, method, path, provider, dialect):
    """Host and path say who bills and which dialect reads; no dialect here means that the call is free."""
    route = known_hosts().find(host).route(method, path)

    assert (route.provider, route.dialect) == (provider, dialect)
    assert route.kind == (METERED if dialect else FREE)


NOT_HOSTS = [
    "bedrock-runtime.us-east-1.amazonaws.com.evil.example",
    "bedrock-runtime.a.b.amazonaws.com",
    "s3.us-east-1.amazonaws.com",
    "aiplatform.googleapis.com.evil.example",
    "storage.googleapis.com",
    "evil-router.huggingface.co",
]


@pytest.mark.parametrize("host", NOT_HOSTS)
def test_a_pattern_is_anchored_at_both_ends_and_stays_within_its_label(host):
    """Neither a longer name nor a neighbour of a provider's host is taken for it."""
    assert known_hosts().find(host) is None


OWN_TABLE = """
[apis.mine]
source = "our gateway's manual"
metered = {"POST /llm/chat" = "openai-chat"}
free = ["GET /llm/health"]
[[hosts]]
host = "llm.example.com"
provider = "mine"
mounts = [" mine", "/v2 compatible openai"]
source = "our gateway's manual"
"""


def test_a_table_of_the_users_own_extends_the_known_hosts():
    """Hosts, paths and kinds of servers are added without code, and what was known stays."""
    hosts = extended_hosts(OWN_TABLE, "hosts.toml", DIALECTS)

    row = hosts.find("llm.example.com")
    assert row.route("POST", "/llm/chat").dialect == "openai-chat"
    assert row.route("GET", "/llm/health").kind == FREE
    assert row.route("POST", "/v2/embeddings").provider == "openai"
    assert row.route("POST", "/other").kind == UNMETERED
    assert hosts.find("api.openai.com") is not None


BAD_TABLES = [
    ("[[hosts", "not TOML"),
    ("[[host]]\nhost = 'a.b'", "unknown field 'host'; did you mean 'hosts'?"),
    (OWN_TABLE.replace('"openai-chat"', '"openai-chats"'), "'openai-chats' is no dialect; did you mean 'openai-chat'?"),
    (OWN_TABLE.replace('" mine"', '" mines"'), "' mines': 'mines' is no API; did you mean 'mine'?"),
    (OWN_TABLE.replace("POST /llm", "SEND /llm"), "'SEND /llm/chat': write \"METHOD /path\""),
    (OWN_TABLE.replace('"llm.example.com"', '"https://llm"'), "hosts[0].host: 'https://llm': write a name"),
    (OWN_TABLE.replace('provider = "mine"', ""), "hosts[0].provider: None: write a text"),
    (OWN_TABLE + "uplift = -1", "hosts[0].uplift: -1: write a whole number of percent"),
    (OWN_TABLE + 'cut = "whole"', "hosts[0].cut: 'whole': write"),
    (OWN_TABLE + "share = true", "unknown field 'share'; did you mean 'shared'?"),
]


@pytest.mark.parametrize(("text", "says"), BAD_TABLES)
def test_a_mistake_in_an_own_table_is_named(text, says):
    """Table, field, value and the way out, in one line."""
    with pytest.raises(HostTableError) as caught:
        extended_hosts(text, "hosts.toml", DIALECTS)

    assert str(caught.value).startswith("hosts.toml: ")
    assert says in str(caught.value)
