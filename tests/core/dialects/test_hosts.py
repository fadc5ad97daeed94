"""The host table: which hosts are providers, and what each path is."""

import pytest

from wfb_core.dialects import DIALECTS
from wfb_core.hosts import APIS, FREE, METERED, OPENAI, TABLE, UNMETERED, HostRow, Hosts, Route

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
    row = Hosts().find(host)

    assert (row.provider if row else None) == provider


ROUTES = [
    ("openai", "POST", "/v1/chat/completions", METERED, "openai-chat"),
    ("openai", "post", "/v1/chat/completions", METERED, "openai-chat"),
    ("openai", "POST", "//v1//chat/completions/?a=b/../c", METERED, "openai-chat"),
    ("openai", "POST", "/v1/chat%2dcompletions", UNMETERED, None),
    ("openai", "POST", "/v1/c%68at/completions", METERED, "openai-chat"),
    ("openai", "POST", "/v1/responses", METERED, "openai-responses"),
    ("openai", "GET", "/v1/responses", UNMETERED, None),  # a WebSocket begins so
    ("openai", "GET", "/v1/responses/resp_1?stream=true", FREE, None),
    ("openai", "POST", "/v1/responses/resp_1/cancel", FREE, None),
    ("openai", "POST", "/v1/responses/compact", UNMETERED, None),
    ("openai", "GET", "/v1/models", FREE, None),
    ("openai", "GET", "/v1/models/ft:gpt-4o:org::id", FREE, None),
    ("openai", "GET", "/v1/models/ft%3Agpt-4o", FREE, None),
    ("openai", "POST", "/v1/files", FREE, None),
    ("openai", "GET", "/v1/files/../chat/completions", UNMETERED, None),
    ("openai", "GET", "/v1/files/%2e%2e", UNMETERED, None),
    ("openai", "GET", "/v1/files/a%2Fb", UNMETERED, None),
    ("openai", "GET", "/v1/files%2Fabc", UNMETERED, None),  # a server that decodes late sees one segment
    ("openai", "POST", "/v1%2Fchat/completions", UNMETERED, None),
    ("openai", "GET", "/v1/files/..;x", UNMETERED, None),
    ("openai", "GET", "/v1/files/%252e%252e", UNMETERED, None),
    ("openai", "GET", "/v1/files/a\\b", UNMETERED, None),
    ("openai", "POST", "/v1/files/file-1", UNMETERED, None),
    ("openai", "GET", "/v1/fine_tuning/jobs", FREE, None),
    ("openai", "GET", "/v1/fine_tuning/jobs/a/b/c", FREE, None),
    ("openai", "GET", "/v1/fine_tuning/jobsx", UNMETERED, None),
    ("openai", "POST", "/v1/embeddings", UNMETERED, None),
    ("openai", "POST", "/V1/chat/completions", UNMETERED, None),
    ("openai", "POST", "v1/chat/completions", UNMETERED, None),
    ("openai", "OPTIONS", "/v1/chat/completions", FREE, None),
    ("openai", "GET", "/v1/realtime?model=x", UNMETERED, None),
    ("openai", "POST", "/", UNMETERED, None),
    ("openai", "POST", "", UNMETERED, None),
    ("anthropic", "POST", "/v1/messages?beta=true", METERED, "anthropic-messages"),
    ("anthropic", "POST", "/v1/messages/", METERED, "anthropic-messages"),
    ("anthropic", "POST", "/v1/messages/count_tokens", FREE, None),
    ("anthropic", "POST", "/v1/messages/batches", UNMETERED, None),
    ("anthropic", "GET", "/v1/messages/batches/b_1/results", FREE, None),
    ("anthropic", "HEAD", "/", FREE, None),
    ("anthropic", "POST", "/v1/complete", UNMETERED, None),
    ("anthropic", "POST", "/v1/chat/completions", UNMETERED, None),
]


@pytest.mark.parametrize(("provider", "method", "path", "kind", "dialect"), ROUTES)
def test_a_path_is_metered_free_or_neither(provider, method, path, kind, dialect):
    """Only what a row names is metered or free; whatever a server could read differently is UNMETERED."""
    assert APIS[provider].route(method, path) == Route(dialect, kind)


def test_every_metered_path_names_a_dialect_and_every_row_its_source():
    """The tables of hosts and of dialects fit, and every fact says where it is from."""
    for row in TABLE:
        assert row.source
        assert row.cut_streams_source
        assert row.api.source
        for _, _, dialect in row.api.metered:
            assert dialect in DIALECTS
            assert DIALECTS[dialect].name == dialect


def test_an_own_endpoint_is_found_on_its_port_alone():
    """An endpoint is host and port; the hosts it was added to know nothing of it."""
    hosts = Hosts()
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
        Hosts().with_endpoint(endpoint, provider)


def test_a_suffix_row_matches_names_below_it_only():
    """Rows for resource names, such as Azure's, are anchored at a dot."""
    hosts = Hosts([HostRow("*.openai.azure.com", OPENAI, "test")])

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
    found = Hosts().for_base_url(path)

    assert (found and found[0].pattern) == host
    assert (found and found[1]) == rest
