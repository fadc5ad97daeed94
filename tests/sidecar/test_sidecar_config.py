"""The sidecar's configuration: every mistake is one line that names the field, the value and the way out."""

import logging
import sys

import pytest

from wfb_sidecar.config import Config, ConfigError, Endpoint, parse_address, parse_config, read_config
from wfb_sidecar.main import DiscreetFormatter
from wfb_sidecar.providers import constraint_names, find, provider_hosts

LEAST = {"ledger_url": "http://127.0.0.1:1", "token_file": "/t", "state_dir": "/s"}


def test_the_least_configuration_has_defaults():
    """Three fields are enough."""
    assert parse_config(LEAST) == Config("http://127.0.0.1:1", "/t", "/s")


def test_endpoints_become_rows_with_their_own_billing():
    """An own endpoint is found on its port alone, and its own word on cut streams wins over its provider's."""
    config = parse_config(
        {
            **LEAST,
            "bills_cut_streams_whole": {"openai": False},
            "endpoints": [
                {"endpoint": "vllm:8000", "provider": "openai", "bills_cut_streams_whole": True},
                {"endpoint": "[::1]:9000", "provider": "anthropic"},
            ],
        }
    )
    assert config.endpoints[0] == Endpoint("vllm:8000", "openai", bills_cut_streams_whole=True)
    hosts = provider_hosts(config)
    assert find(hosts, "vllm", 8000).bills_cut_streams_whole is True
    assert find(hosts, "vllm", 8001) is None
    assert find(hosts, "api.openai.com", 443).bills_cut_streams_whole is False
    assert find(hosts, "::1", 9000).provider == "anthropic"
    names = set(constraint_names(hosts))
    assert {"vllm", "::1", "api.openai.com", "api.anthropic.com", "openai.azure.com", "googleapis.com"} <= names
    assert not any("*" in name for name in names)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"ledger_url": ""}, "ledger_url is missing: give a non-empty string"),
        ({"token_file": None}, "token_file is missing"),
        ({"state_dir": 5}, "state_dir is missing"),
        ({"prxy": "x"}, "unknown field 'prxy'; did you mean 'proxy'?"),
        ({"zzz": 1}, "unknown field 'zzz'"),
        ({"proxy": "127.0.0.1"}, "proxy: '127.0.0.1' is not an address: write host:port"),
        ({"health": 80}, "health: 80 is not an address"),
        ({"base_url": "h:99999"}, "is not an address"),
        ({"connect_to": ["a:1"]}, "connect_to: ['a:1'] is not a table of addresses"),
        ({"connect_to": {"api.openai.com": "127.0.0.1:1"}}, "connect_to: 'api.openai.com' is not an address"),
        ({"connect_to": {"api.openai.com:443": "nowhere"}}, "connect_to[api.openai.com:443]: 'nowhere'"),
        ({"endpoints": {"endpoint": "a:1"}}, "endpoints: {'endpoint': 'a:1'} is not a list of endpoints"),
        ({"endpoints": ["a:1"]}, "is not a list of endpoints"),
        ({"endpoints": [{"endpoint": "a:1"}]}, "each has endpoint and provider"),
        ({"endpoints": [{"endpoint": "a", "provider": "openai"}]}, "endpoints: 'a' is not an address"),
        ({"upstream_proxy": "proxy:3128"}, "'proxy:3128' is not a proxy: write http://host:port"),
        ({"upstream_proxy": "https://proxy:3128"}, "is not a proxy: write http://host:port"),
        ({"upstream_proxy": 3128}, "upstream_proxy: 3128 is not a proxy"),
        ({"bills_cut_streams_whole": {"openai": "no"}}, "write true or false by provider"),
        ({"grace_seconds": "25"}, "grace_seconds: '25' is not a number of seconds"),
        ({"grace_seconds": -1}, "grace_seconds: -1 is not a number of seconds"),
        ({"upstream_ca": 7}, "upstream_ca: 7 is not a path"),
        ({"holder_prefix": None}, "holder_prefix: None is not a prefix"),
    ],
)
def test_a_mistake_is_named(change, message):
    """Field, value, way out."""
    with pytest.raises(ConfigError) as caught:
        parse_config({**LEAST, **change}, "c.json")
    assert message in str(caught.value)
    assert str(caught.value).startswith("c.json: ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"endpoints": [{"endpoint": "a:1", "provider": "nobody"}]}, "provider 'nobody'"),
        ({"bills_cut_streams_whole": {"nobody": True}}, "'nobody' is no provider"),
    ],
)
def test_a_provider_that_is_not_known_is_named(change, message):
    """What only the host table can tell."""
    with pytest.raises(ValueError, match=message):
        provider_hosts(parse_config({**LEAST, **change}))


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    """Missing, no JSON, no object."""
    path = tmp_path / "c.json"
    with pytest.raises(ConfigError, match=r"c\.json.*No such file"):
        read_config(str(path))
    path.write_text("{")
    with pytest.raises(ConfigError, match=r"c\.json: Expecting"):
        read_config(str(path))
    path.write_text("[]")
    with pytest.raises(ConfigError, match="a JSON object is expected"):
        read_config(str(path))


def test_addresses_may_be_of_version_six():
    """In brackets, which are taken off."""
    assert parse_address("[::1]:443", "x") == ("::1", 443)


def test_a_logged_failure_does_not_quote_what_failed():
    """Frames and the type, never an exception's text."""
    try:
        raise ValueError("MARK: a prompt")
    except ValueError:
        record = logging.LogRecord("x", logging.ERROR, __file__, 1, "the hook failed", None, sys.exc_info())
    text = DiscreetFormatter("%(message)s").format(record)
    assert "the hook failed" in text
    assert "ValueError" in text
    assert "MARK" not in text.replace('raise ValueError("MARK: a prompt")', "")
