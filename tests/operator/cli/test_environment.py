"""The command's environment as a table: what is set, what of the user's is kept, and what is said about it."""

import pytest

from wfb_operator.cli.environment import (
    ADDING,
    BASE_URL,
    REPLACING,
    Endpoints,
    child_environment,
    trusted_files,
    upstream_proxy,
)

PROXY = "http://127.0.0.1:4100"


def _endpoints(**changed):
    values = {
        "proxy": PROXY,
        "base_url": "http://127.0.0.1:4200",
        "ca": "/run/ca.pem",
        "bundle": "/run/ca-bundle.pem",
        "metered": ("api.openai.com", "api.anthropic.com"),
    }
    return Endpoints(**(values | changed))


def test_an_empty_environment():
    """Exactly these variables are set, and nothing is warned about."""
    env, warnings = child_environment({}, _endpoints())
    assert warnings == []
    assert env == {
        "HTTPS_PROXY": PROXY,
        "https_proxy": PROXY,
        "NO_PROXY": "localhost,127.0.0.1,::1",
        "no_proxy": "localhost,127.0.0.1,::1",
        "NODE_USE_ENV_PROXY": "1",
        "JAVA_TOOL_OPTIONS": "-Dhttps.proxyHost=127.0.0.1 -Dhttps.proxyPort=4100",
        **dict.fromkeys(REPLACING, "/run/ca-bundle.pem"),
        **dict.fromkeys(ADDING, "/run/ca.pem"),
    }


@pytest.mark.parametrize(
    ("base", "changed", "expected", "said"),
    [
        ({"PATH": "/bin", "OPENAI_BASE_URL": "http://x"}, {}, {"PATH": "/bin", "OPENAI_BASE_URL": "http://x"}, []),
        ({"HTTPS_PROXY": "http://corp:3128"}, {}, {"HTTPS_PROXY": PROXY, "https_proxy": PROXY}, []),
        ({"HTTP_PROXY": "http://corp:3128"}, {}, {"HTTP_PROXY": "http://corp:3128", "http_proxy": None}, []),
        ({"SSL_CERT_DIR": "/certs"}, {}, {"SSL_CERT_DIR": "/certs", "SSL_CERT_FILE": "/run/ca-bundle.pem"}, []),
        ({}, {}, {"SSL_CERT_DIR": None, "HTTP_PROXY": None, "ALL_PROXY": None, "OPENAI_BASE_URL": None}, []),
        # -- own models
        ({}, {"own": ("10.0.0.5:8000",)}, {"HTTP_PROXY": PROXY, "http_proxy": PROXY}, []),
        ({}, {"own": ("10.0.0.5:8000",)}, {"NO_PROXY": "localhost,127.0.0.1,::1"}, []),
        ({}, {"own": ("127.0.0.1:8000",)}, {"NO_PROXY": "", "no_proxy": ""}, []),
        ({}, {"own": ("[::1]:8000",)}, {"NO_PROXY": ""}, []),
        ({"NO_PROXY": "localhost,.corp"}, {"own": ("localhost:8000",)}, {"NO_PROXY": ".corp"}, ["'localhost'"]),
        ({"NO_PROXY": "models.corp"}, {"own": ("models.corp:8000",)}, {"NO_PROXY": "localhost,127.0.0.1,::1"}, ["NO_PROXY"]),
        # -- exceptions that would let calls go round the budget
        ({"no_proxy": ".corp, 10.0.0.0/8"}, {}, {"NO_PROXY": "localhost,127.0.0.1,::1,.corp,10.0.0.0/8"}, []),
        ({"NO_PROXY": ".openai.com"}, {}, {"NO_PROXY": "localhost,127.0.0.1,::1"}, ["'.openai.com'"]),
        ({"NO_PROXY": "api.anthropic.com:443"}, {}, {"NO_PROXY": "localhost,127.0.0.1,::1"}, ["go round the budget"]),
        ({"NO_PROXY": "*"}, {}, {"NO_PROXY": "localhost,127.0.0.1,::1"}, ["'*'"]),
        ({"NO_PROXY": "notopenai.com"}, {}, {"NO_PROXY": "localhost,127.0.0.1,::1,notopenai.com"}, []),
        # -- trust that was there
        ({"SSL_CERT_FILE": ""}, {}, {"SSL_CERT_FILE": "/run/ca-bundle.pem"}, []),
        ({"SSL_CERT_FILE": "/my.pem"}, {}, {"SSL_CERT_FILE": "/my.pem"}, ["SSL_CERT_FILE: already set to /my.pem"]),
        ({"DENO_CERT": "/my.pem"}, {}, {"DENO_CERT": "/my.pem"}, ["--override-trust"]),
        ({"DENO_CERT": "/my.pem"}, {"override_trust": True}, {"DENO_CERT": "/run/ca-bundle.pem"}, []),
        ({"PIP_CERT": "/my.pem"}, {"override_trust": True}, {"PIP_CERT": "/run/ca-bundle.pem"}, []),
        ({"PIP_CERT": "/etc/all.pem"}, {"covered": ("/etc/all.pem",)}, {"PIP_CERT": "/run/ca-bundle.pem"}, []),
        # -- Java
        ({"JAVA_TOOL_OPTIONS": "-Xmx1g"}, {}, {"JAVA_TOOL_OPTIONS": "-Xmx1g -Dhttps.proxyHost=127.0.0.1 -Dhttps.proxyPort=4100"}, []),
        ({}, {"own": ("127.0.0.1:8000",)}, {"JAVA_TOOL_OPTIONS": "-Dhttps.proxyHost=127.0.0.1 -Dhttps.proxyPort=4100 -Dhttp.proxyHost=127.0.0.1 -Dhttp.proxyPort=4100 -Dhttp.nonProxyHosts="}, []),
        ({"JAVA_TOOL_OPTIONS": "-Dhttps.proxyHost=c"}, {}, {"JAVA_TOOL_OPTIONS": "-Dhttps.proxyHost=c"}, ["JAVA_TOOL_OPTIONS"]),
    ],
)  # fmt: skip
def test_what_was_there(base, changed, expected, said):
    """Each row: an environment, how the sidecar is reached, what becomes of some variables, and one warning's words."""
    before = dict(base)
    env, warnings = child_environment(base, _endpoints(**changed))
    assert base == before
    assert {name: env.get(name) for name in expected} == expected
    assert len(warnings) == len(said)
    for warning, words in zip(warnings, said, strict=True):
        assert words in warning


def test_one_warning_for_a_file():
    """A bundle that several variables name is warned about once, with all of them."""
    _, warnings = child_environment(dict.fromkeys(("SSL_CERT_FILE", "PIP_CERT"), "/my.pem"), _endpoints())
    assert [w.partition(":")[0] for w in warnings] == ["SSL_CERT_FILE, PIP_CERT"]
    assert trusted_files(dict.fromkeys(("SSL_CERT_FILE", "PIP_CERT"), "/my.pem")) == ["/my.pem"]


@pytest.mark.parametrize(
    ("base", "expected", "said"),
    [
        ({}, {"OPENAI_BASE_URL": "http://127.0.0.1:4200/openai/v1", "NO_PROXY": None}, 0),
        ({}, {"ANTHROPIC_BASE_URL": "http://127.0.0.1:4200/anthropic", "SSL_CERT_FILE": None, "HTTPS_PROXY": None}, 0),
        ({"OPENAI_BASE_URL": "https://api.openai.com/v1/"}, {"OPENAI_BASE_URL": "http://127.0.0.1:4200/openai/v1"}, 0),
        ({"OPENAI_BASE_URL": "https://gateway/v1?key=s3cret"}, {"OPENAI_BASE_URL": "https://gateway/v1?key=s3cret"}, 1),
        ({"HTTP_PROXY": "http://corp:3128"}, {"NO_PROXY": "localhost,127.0.0.1,::1"}, 0),
    ],
)
def test_base_url_mode(base, expected, said):
    """Only base URLs are set, never over another server's, whose keys must not be sent to the provider."""
    env, warnings = child_environment(base, _endpoints(mode=BASE_URL))
    assert {name: env.get(name) for name in expected} == expected
    assert len(warnings) == said
    assert not any("s3cret" in warning for warning in warnings)


@pytest.mark.parametrize(
    ("base", "expected"),
    [
        ({}, None),
        ({"HTTPS_PROXY": "http://corp:3128"}, "http://corp:3128"),
        ({"https_proxy": "corp:3128", "HTTPS_PROXY": "http://other:1"}, "http://corp:3128"),
        ({"HTTPS_PROXY": "http://corp/"}, "http://corp:80"),
        ({"HTTPS_PROXY": "https://corp"}, "https://corp:443"),
        ({"ALL_PROXY": "http://[fd00::1]:3128"}, "http://[fd00::1]:3128"),
        ({"HTTPS_PROXY": "http://corp:3128", "NO_PROXY": "*"}, None),
        ({"HTTP_PROXY": "http://corp:3128"}, None),
    ],
)
def test_the_proxy_that_was_there(base, expected):
    """It becomes the sidecar's own, with scheme and port made explicit."""
    assert upstream_proxy(base) == expected


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("socks5://corp:1080", "http proxies only"),
        ("http://me:s3cret@corp:3128", "user name or password"),
        ("http://corp:99999", "not a proxy's address"),
        ("http://", "not a proxy's address"),
    ],
)
def test_a_proxy_that_cannot_be_used(value, words):
    """The message names the variable and the way out, and never repeats a password."""
    with pytest.raises(ValueError, match="HTTPS_PROXY") as error:
        upstream_proxy({"HTTPS_PROXY": value})
    assert words in str(error.value)
    assert "s3cret" not in str(error.value)
