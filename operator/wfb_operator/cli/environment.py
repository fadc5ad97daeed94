"""The environment in which a command's calls pass the sidecar: which variables, and what of the user's own is kept.

Pure: it reads no process environment and no file. Which program honours which variable:

- proxies: curl, Go, requests, httpx read ``HTTPS_PROXY``; curl reads ``http_proxy`` only in small letters; Node reads
  them from 22.21 and 24 on with ``NODE_USE_ENV_PROXY=1``; the JVM only its own properties.
- trust: the variables of ``REPLACING`` replace the public roots, so they get the bundle that holds those too; the
  variables of ``ADDING`` add to them and get the lone root. ``SSL_CERT_DIR`` is never set: OpenSSL and Go then still
  read the system's folder beside the file.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

PROXY, BASE_URL = "proxy", "base-url"
MODES = (PROXY, BASE_URL)
"""How calls reach the sidecar: by the proxy variables and a root of ours, or by the SDKs' base URLs."""

REPLACING = (
    "SSL_CERT_FILE",
    "REQUESTS_CA_BUNDLE",
    "CURL_CA_BUNDLE",
    "AWS_CA_BUNDLE",
    "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH",
    "GIT_SSL_CAINFO",
    "CARGO_HTTP_CAINFO",
    "PIP_CERT",
    "PERL_LWP_SSL_CA_FILE",
)
"""Variables whose file replaces the public roots."""

ADDING = ("NODE_EXTRA_CA_CERTS", "DENO_CERT")
"""Variables whose file is added to the public roots."""

RUN_VARIABLE = "WFB_RUN"
"""Tells a command the run that it is in, and ``wfb run`` that it is inside another."""

LOOPBACK = ("localhost", "127.0.0.1", "::1")

BASE_URLS = {"OPENAI_BASE_URL": "/openai/v1", "ANTHROPIC_BASE_URL": "/anthropic"}
"""The variable of each SDK and the path at which the sidecar serves its provider."""

DEFAULT_BASES = {
    "OPENAI_BASE_URL": ("https://api.openai.com/v1", "https://api.openai.com"),
    "ANTHROPIC_BASE_URL": ("https://api.anthropic.com", "https://api.anthropic.com/v1"),
}
"""Values that say no more than the SDK's own default; these are replaced without a word."""


@dataclass(frozen=True, slots=True)
class Endpoints:
    """Where the sidecar listens, what it is trusted by, and how the command is to reach it."""

    proxy: str
    """``http://127.0.0.1:PORT``"""
    base_url: str
    """``http://127.0.0.1:PORT``"""
    ca: str
    """Path of the lone root."""
    bundle: str
    """Path of the public roots, the user's extra ones and ours, in one file."""
    mode: str = PROXY
    own: tuple[str, ...] = ()
    """``host:port`` of own models."""
    metered: tuple[str, ...] = ()
    """Hosts that must not go round the sidecar: ``api.openai.com``."""
    override_trust: bool = False
    """Whether trust variables that were there are replaced; the bundle then holds what ``trusted_files`` names."""
    covered: tuple[str, ...] = ()
    """Files of those whose every certificate the bundle holds anyway: to name the bundle instead loses no trust."""


def child_environment(base: Mapping[str, str], endpoints: Endpoints) -> tuple[dict[str, str], list[str]]:
    """The variables for the command, and a sentence for everything of the user's that may keep calls away.

    ``base`` is the environment that the command would have had; it is not changed.
    """
    env, warnings = dict(base), list[str]()
    if endpoints.mode == BASE_URL:
        _set_base_urls(env, endpoints, warnings)
    else:
        _set_proxies(env, endpoints, warnings)
        _set_trust(env, endpoints, warnings)
        _set_java(env, endpoints, warnings)
    return env, warnings


def trusted_files(base: Mapping[str, str]) -> list[str]:
    """The files that the user's own trust variables name, each once."""
    return list(dict.fromkeys(base[name] for name in (*REPLACING, *ADDING) if base.get(name)))


def upstream_proxy(base: Mapping[str, str]) -> str | None:
    """The proxy through which the sidecar must leave: the one that was there, as ``http://host:port``, or None.

    Raises ValueError for one that the sidecar cannot use.
    """
    if "*" in _entries(_either(base, "no_proxy")):
        return None
    for name in ("https_proxy", "all_proxy"):
        if value := _either(base, name):
            return _proxy_address(name.upper(), value)
    return None


def _proxy_address(name: str, value: str) -> str:
    """The value of a proxy variable with scheme and port made explicit; its password is never repeated."""
    try:
        parts = urlsplit(value if "://" in value else f"http://{value}")
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port = None, None
    if not host:
        raise ValueError(f"{name} is not a proxy's address: write {name}=http://host:port, or unset it")
    if parts.scheme not in {"http", "https"}:
        raise ValueError(
            f"{name} names a {parts.scheme} proxy, and the sidecar leaves through http proxies only:"
            f" set HTTPS_PROXY=http://host:port, or unset {name}"
        )
    if parts.username or parts.password:
        raise ValueError(
            f"{name} holds a user name or password, which the sidecar cannot present to {host}:"
            " give a proxy without them, such as a local forwarder that adds them"
        )
    shown = f"[{host}]" if ":" in host else host
    return f"{parts.scheme}://{shown}:{port or {'http': 80, 'https': 443}[parts.scheme]}"


def _set_proxies(env: dict[str, str], endpoints: Endpoints, warnings: list[str]) -> None:
    # An own model may be plain HTTP; without one, plain HTTP has no business with the sidecar.
    names = ("HTTPS_PROXY", "HTTP_PROXY") if endpoints.own else ("HTTPS_PROXY",)
    for name in names:
        env[name] = env[name.lower()] = endpoints.proxy
    env["NODE_USE_ENV_PROXY"] = "1"
    hosts = [_host(address) for address in endpoints.own]
    near = any(_is_loopback(host) for host in hosts)
    kept = [] if near else list(LOOPBACK)
    for entry in _entries(_either(env, "no_proxy")):
        blocked = _covers(entry, (*endpoints.metered, *hosts)) or (near and _is_loopback(_host(entry)))
        if blocked:
            warnings.append(
                f"NO_PROXY names {entry!r}, by which calls would go round the budget: it is left out for this command"
            )
        elif entry not in kept:
            kept.append(entry)
    for name in ("NO_PROXY", "no_proxy"):
        env[name] = ",".join(kept)


def _set_trust(env: dict[str, str], endpoints: Endpoints, warnings: list[str]) -> None:
    kept: dict[str, list[str]] = {}
    for names, path in ((REPLACING, endpoints.bundle), (ADDING, endpoints.ca)):
        for name in names:
            there = env.get(name, "")
            if not there:
                env[name] = path
            elif endpoints.override_trust or there in endpoints.covered:
                env[name] = endpoints.bundle
            else:
                kept.setdefault(there, []).append(name)
    for path, variables in kept.items():
        warnings.append(
            f"{', '.join(variables)}: already set to {path}, and kept; programs that read it will not trust the sidecar and"
            " their calls to providers will fail. Unset it, or give --override-trust (what is in it stays trusted)"
        )


def _set_java(env: dict[str, str], endpoints: Endpoints, warnings: list[str]) -> None:
    there = env.get("JAVA_TOOL_OPTIONS", "")
    if "-Dhttps.proxyHost" in there:
        warnings.append(
            "JAVA_TOOL_OPTIONS already names a proxy and is kept: Java programs go round the budget; take"
            " -Dhttps.proxyHost out of it, and set HTTPS_PROXY to that proxy"
        )
        return
    proxy = urlsplit(endpoints.proxy)
    schemes = ("https", "http") if endpoints.own else ("https",)
    options = [f"-D{s}.proxyHost={proxy.hostname} -D{s}.proxyPort={proxy.port}" for s in schemes]
    if any(_is_loopback(_host(address)) for address in endpoints.own):
        options.append("-Dhttp.nonProxyHosts=")  # the JVM's default leaves out loopback, for both schemes
    env["JAVA_TOOL_OPTIONS"] = " ".join(filter(None, (there, *options)))


def _set_base_urls(env: dict[str, str], endpoints: Endpoints, warnings: list[str]) -> None:
    for name, path in BASE_URLS.items():
        there = env.get(name, "")
        if there and there.rstrip("/") not in DEFAULT_BASES[name]:
            # Keys meant for another server must not be sent to the provider's.
            warnings.append(
                f"{name} is already set to {_without_secrets(there)} and is kept: its calls are not metered; unset it,"
                " or name the server with --endpoint HOST:PORT=PROVIDER and --mode proxy"
            )
        else:
            env[name] = endpoints.base_url + path
    if any(_either(env, name) for name in ("http_proxy", "all_proxy")):
        entries = _entries(_either(env, "no_proxy"))
        value = ",".join([*entries, *(host for host in LOOPBACK if host not in entries)])
        env["NO_PROXY"] = env["no_proxy"] = value


def _either(env: Mapping[str, str], name: str) -> str:
    """A proxy variable in small or capital letters; the small ones win, as in curl and Python."""
    return env.get(name) or env.get(name.upper()) or ""


def _entries(no_proxy: str) -> list[str]:
    return [entry.strip() for entry in no_proxy.replace(" ", ",").split(",") if entry.strip()]


def _host(address: str) -> str:
    """The host of ``host``, ``host:port`` or ``[v6]:port``."""
    if address.startswith("["):
        return address[1:].partition("]")[0].lower()
    return (address.partition(":")[0] if address.count(":") == 1 else address).lower()


def _is_loopback(host: str) -> bool:
    return host in LOOPBACK or host.startswith("127.")


def _covers(entry: str, hosts: Collection[str]) -> bool:
    """Whether an entry of NO_PROXY takes in one of these hosts: itself, a domain above it, or everything."""
    name = _host(entry).removeprefix("*").lstrip(".")
    return not name or any(host == name or host.endswith(f".{name}") for host in hosts)


def _without_secrets(url: str) -> str:
    """A URL without the user's part and without its query, either of which may hold a key."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}" if parts.scheme else "a value"
