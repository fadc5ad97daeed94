"""The sidecar's configuration file."""

import dataclasses
import difflib
import json
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any


class ConfigError(ValueError):
    """Names the field, the value and the way out."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """An own model server: `host:port`, plain or TLS, and whose dialects it speaks."""

    endpoint: str
    provider: str
    bills_cut_streams_whole: bool | None = None


@dataclass(frozen=True, slots=True)
class Config:
    """Where the sidecar listens, whom it asks and what it trusts; addresses are `host:port`."""

    ledger_url: str
    token_file: str
    state_dir: str
    holder_prefix: str = ""
    """What the name of this holder must begin with: whom the ledger takes the token for."""
    transparent: str | None = None
    """Where redirected connections arrive; None where nothing is redirected."""
    proxy: str = "127.0.0.1:0"
    base_url: str = "127.0.0.1:0"
    health: str = "127.0.0.1:0"
    upstream_ca: str | None = None
    """PEM file of roots in addition to the system's."""
    upstream_proxy: str | None = None
    """`http://host:port` through which everything leaves."""
    connect_to: dict[str, str] = field(default_factory=dict)
    """`host:port` → `host:port`: where to connect instead; the name is verified all the same."""
    hosts: str | None = None
    """TOML file of hosts in addition to the known ones."""
    endpoints: tuple[Endpoint, ...] = ()
    bills_cut_streams_whole: dict[str, bool] = field(default_factory=dict)
    """By provider: whether a stream that its client leaves is billed to its end; overrides the host table."""
    ledger_ca: str | None = None
    """Roots that the ledger's certificate is verified with: a PEM file's path, or the PEM itself."""
    trust_dir: str | None = None
    """Where the files go that other containers trust the sidecar by; the state's folder where it is left out."""
    extra_ca: str | None = None
    """As `upstream_ca`, but it may be missing: a ConfigMap that is optional."""
    grace_seconds: float = 25.0
    """How long calls in flight may take to end after SIGTERM."""


@dataclass(frozen=True, slots=True)
class _Kind:
    """What a field's value must be."""

    types: tuple[type, ...]
    text: str
    sound: Callable[[Any], bool] = lambda _value: True


_PATH = _Kind((str, type(None)), "a path: write a string")
_KINDS = {
    "holder_prefix": _Kind((str,), "a prefix: write a string"),
    "upstream_ca": _PATH,
    "ledger_ca": _PATH,
    "trust_dir": _PATH,
    "extra_ca": _PATH,
    "transparent": _Kind((str, type(None)), "an address: write host:port"),
    "hosts": _PATH,
    "upstream_proxy": _Kind((str, type(None)), "a proxy: write http://host:port"),
    "connect_to": _Kind((dict,), 'a table of addresses: write {"host:port": "host:port"}'),
    "endpoints": _Kind(
        (list, tuple),
        'a list of endpoints: write [{"endpoint": "host:port", "provider": "openai"}]',
        lambda v: all(isinstance(e, dict) for e in v),
    ),
    "bills_cut_streams_whole": _Kind(
        (dict,), "a table: write true or false by provider", lambda v: all(isinstance(x, bool) for x in v.values())
    ),
    "grace_seconds": _Kind(
        (int, float), "a number of seconds, zero or more", lambda v: not isinstance(v, bool) and 0 <= v < 1e6
    ),
}


def read_config(path: str) -> Config:
    """Reads the JSON file; raises ConfigError."""
    try:
        with open(path, encoding="utf-8") as f:
            doc = json.load(f)
    except (OSError, ValueError) as e:
        raise ConfigError(f"{path}: {e}") from e
    return parse_config(doc, path)


def config_from_environment(name: str) -> Config:
    """Reads the JSON of an environment variable; raises ConfigError."""
    text = os.environ.get(name)
    if text is None:
        raise ConfigError(f"the environment has no {name}")
    try:
        doc = json.loads(text)
    except ValueError as e:
        raise ConfigError(f"{name}: {e}") from e
    return parse_config(doc, name)


def parse_config(doc: Any, where: str = "config") -> Config:
    """Checks a parsed document; raises ConfigError."""
    if not isinstance(doc, dict):
        raise ConfigError(f"{where}: a JSON object is expected")
    known = {f.name: f for f in dataclasses.fields(Config)}
    for name in doc:
        if name not in known:
            near = difflib.get_close_matches(name, known, 1)
            raise ConfigError(f"{where}: unknown field {name!r}" + (f"; did you mean {near[0]!r}?" if near else ""))
    for name in ("ledger_url", "token_file", "state_dir"):
        if not isinstance(doc.get(name), str) or not doc[name]:
            raise ConfigError(f"{where}: {name} is missing: give a non-empty string")
    values = dict(doc)
    for name, kind in _KINDS.items():
        if name in values and not (isinstance(values[name], kind.types) and kind.sound(values[name])):
            raise ConfigError(f"{where}: {name}: {values[name]!r} is not {kind.text}")
    for name in ("proxy", "base_url", "health", "transparent"):
        if values.get(name) is not None:
            parse_address(values[name], f"{where}: {name}")
    for source, target in values.get("connect_to", {}).items():
        parse_address(source, f"{where}: connect_to")
        parse_address(target, f"{where}: connect_to[{source}]")
    try:
        values["endpoints"] = tuple(Endpoint(**e) for e in values.get("endpoints", ()))
    except TypeError as e:
        raise ConfigError(f"{where}: endpoints: {e}; each has endpoint and provider") from e
    for own in values["endpoints"]:
        parse_address(own.endpoint, f"{where}: endpoints")
    if proxy := values.get("upstream_proxy"):
        parse_proxy(proxy, f"{where}: upstream_proxy")
    return Config(**values)


def parse_address(text: Any, where: str) -> tuple[str, int]:
    """`host:port` or `[v6]:port`; raises ConfigError."""
    if isinstance(text, str):
        host, colon, port = text.rpartition(":")
        host = host.removeprefix("[").removesuffix("]")
        if colon and host and port.isascii() and port.isdigit() and int(port) < 65536:
            return host, int(port)
    raise ConfigError(f"{where}: {text!r} is not an address: write host:port")


def parse_proxy(text: str, where: str) -> tuple[str, tuple[str, int]]:
    """(scheme, address) of `http://host:port`; raises ConfigError."""
    scheme, sep, rest = text.partition("://")
    if not sep or scheme != "http":
        raise ConfigError(f"{where}: {text!r} is not a proxy: write http://host:port")
    return scheme, parse_address(rest.rstrip("/"), where)
