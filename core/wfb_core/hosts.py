"""Which hosts are providers, and what each of their paths is: data, one row a host.

A host is found by its exact name or by an anchored suffix, never by a part of it. A path that no row names is
UNMETERED: it may cost money that cannot be known, and the budget's `unpricedModels` decides it. FREE is said only of
paths that are known to cost nothing, and never of a path that a server could read differently from us.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from urllib.parse import unquote

METERED, FREE, UNMETERED = "METERED", "FREE", "UNMETERED"


@dataclass(frozen=True, slots=True)
class Route:
    """What a request line asks for."""

    dialect: str | None
    """The dialect's name; None unless METERED."""
    kind: str
    """METERED: a dialect reads and prices it; FREE: costs nothing, streams through; UNMETERED: cost unknown."""


_FREE_ROUTE, _UNMETERED_ROUTE = Route(None, FREE), Route(None, UNMETERED)


def _pattern(path: str) -> str:
    tail = "(?:/[^/]+)*" if path.endswith("/**") else ""
    return path.removesuffix("/**").replace("{}", "[^/]+") + tail


@dataclass(frozen=True, slots=True)
class Api:
    """The paths of one provider's API, whatever host serves it."""

    provider: str
    """Who bills; the key of its prices."""
    metered: tuple[tuple[str, str, str], ...]
    """(method, exact path, dialect)."""
    free: tuple[tuple[str, str], ...]
    """(methods joined by ``|``, path); ``{}`` is one segment, a closing ``/**`` any number of them."""
    source: str
    """Where the paths were read."""
    _metered: dict[tuple[str, str], Route] = field(init=False, repr=False, compare=False)
    _free: re.Pattern[str] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        routes = {(method, path): Route(dialect, METERED) for method, path, dialect in self.metered}
        object.__setattr__(self, "_metered", routes)
        free = "|".join(f"(?:{methods}) {_pattern(path)}" for methods, path in self.free)
        object.__setattr__(self, "_free", re.compile(f"(?:HEAD|OPTIONS) /.*|{free}"))

    def route(self, method: str, path: str) -> Route:
        """The route of a request line; a query, repeated and closing slashes do not count."""
        plain = _plain_path(path)
        if plain is None:
            return _UNMETERED_ROUTE
        method = method.upper()
        if found := self._metered.get((method, plain)):
            return found
        return _FREE_ROUTE if self._free.fullmatch(f"{method} {plain}") else _UNMETERED_ROUTE


@dataclass(frozen=True, slots=True)
class HostRow:
    """One provider's host."""

    pattern: str
    """``api.example.com``, ``*.example.com`` (any name below it) or ``host:port`` of an own endpoint."""
    api: Api
    source: str
    """Where the host name was read."""
    bills_cut_streams_whole: bool | None = None
    """Whether a stream that is closed early is billed to its end; None where nothing is known."""
    cut_streams_source: str = ""
    """Where that is said, or that it is an assumption."""
    base_path_prefix: str | None = None
    """The first path segment that stands for the host in base-url mode."""
    rates_uplift_percent: int = 0
    """What the host itself adds to some models' rates."""

    @property
    def provider(self) -> str:
        """Who bills."""
        return self.api.provider

    def route(self, method: str, path: str) -> Route:
        """The route of a request line on this host."""
        return self.api.route(method, path)


OPENAI = Api(
    provider="openai",
    metered=(
        ("POST", "/v1/chat/completions", "openai-chat"),
        ("POST", "/v1/responses", "openai-responses"),
    ),
    free=(
        ("GET|DELETE", "/v1/models/{}"),
        ("GET", "/v1/models"),
        ("GET|POST", "/v1/files"),
        ("GET|DELETE", "/v1/files/{}"),
        ("GET", "/v1/files/{}/content"),
        ("POST", "/v1/uploads"),
        ("POST", "/v1/uploads/{}/(?:parts|complete|cancel)"),
        ("GET", "/v1/chat/completions"),
        ("GET|POST|DELETE", "/v1/chat/completions/{}"),
        ("GET", "/v1/chat/completions/{}/messages"),
        # Reading a stored response costs nothing; its tokens were counted when it was asked for.
        ("GET|DELETE", "/v1/responses/{}"),
        ("GET", "/v1/responses/{}/input_items"),
        ("POST", "/v1/responses/{}/cancel"),
        ("POST", "/v1/responses/input_tokens"),
        ("POST", "/v1/conversations"),
        ("GET|POST|DELETE", "/v1/conversations/{}"),
        ("GET|POST", "/v1/conversations/{}/items"),
        ("GET|DELETE", "/v1/conversations/{}/items/{}"),
        ("GET", "/v1/batches"),
        ("GET", "/v1/batches/{}"),
        ("POST", "/v1/batches/{}/cancel"),
        ("GET", "/v1/fine_tuning/jobs/**"),
        ("POST", "/v1/moderations"),
        ("GET", "/v1/organization/**"),
    ),
    source="resource paths in openai-python 3.54 (openai/resources); moderations cost nothing by OpenAI's price page",
)

ANTHROPIC = Api(
    provider="anthropic",
    metered=(("POST", "/v1/messages", "anthropic-messages"),),
    free=(
        ("GET", "/v1/models"),
        ("GET", "/v1/models/{}"),
        ("POST", "/v1/messages/count_tokens"),
        ("GET", "/v1/messages/batches"),
        ("GET|DELETE", "/v1/messages/batches/{}"),
        ("GET", "/v1/messages/batches/{}/results"),
        ("POST", "/v1/messages/batches/{}/cancel"),
        ("GET|POST", "/v1/files"),
        ("GET|DELETE", "/v1/files/{}"),
        ("GET", "/v1/files/{}/content"),
        ("GET", "/v1/organizations/**"),
    ),
    source="resource paths in anthropic-sdk-python 2.12 (anthropic/resources); token counting is free by their docs",
)

APIS: dict[str, Api] = {api.provider: api for api in (OPENAI, ANTHROPIC)}
"""Every API that is known, by provider."""

TABLE: tuple[HostRow, ...] = (
    HostRow(
        pattern="api.openai.com",
        api=OPENAI,
        source="default base URL of openai-python",
        bills_cut_streams_whole=True,
        cut_streams_source="assumption: OpenAI documents neither; reading on gives the real usage either way",
        base_path_prefix="openai",
    ),
    HostRow(
        pattern="*.api.openai.com",  # us., eu., au., in., jp. … : a region added later is metered at once
        api=OPENAI,
        source="developers.openai.com/api/docs/guides/data-residency",
        bills_cut_streams_whole=True,
        cut_streams_source="assumption: as api.openai.com",
        rates_uplift_percent=10,  # models released since 2026-03-05, by the same page
    ),
    HostRow(
        pattern="api.anthropic.com",
        api=ANTHROPIC,
        source="default base URL of anthropic-sdk-python",
        bills_cut_streams_whole=None,
        cut_streams_source="not documented",
        base_path_prefix="anthropic",
    ),
)


class Hosts:
    """The providers' hosts and the own endpoints that one sidecar knows; never changed, only extended into a new one."""

    def __init__(self, rows: Iterable[HostRow] = TABLE) -> None:
        self.rows = tuple(rows)
        self._exact = {row.pattern: row for row in self.rows if not row.pattern.startswith("*.")}
        self._below = tuple((row.pattern[1:], row) for row in self.rows if row.pattern.startswith("*."))
        self._prefixes = {row.base_path_prefix: row for row in self.rows if row.base_path_prefix}

    def find(self, host: str) -> HostRow | None:
        """The row of ``host`` or ``host:port``; None where it is no provider's.

        A provider's name counts on every port, an own endpoint on its own alone.
        """
        host = host.lower()
        if row := self._exact.get(host):
            return row
        name = _name(host)
        if row := self._exact.get(name):
            return row
        for suffix, row in self._below:
            if name.endswith(suffix) and len(name) > len(suffix):
                return row
        return None

    def with_endpoint(self, endpoint: str, provider: str) -> "Hosts":
        """These hosts and an own model server at ``host:port`` that speaks a provider's API.

        Raises ValueError where the provider is unknown or the endpoint has no port.
        """
        api = APIS.get(provider)
        if api is None:
            raise ValueError(f"provider {provider!r} of endpoint {endpoint!r} is unknown: use one of {sorted(APIS)}")
        host, colon, port = endpoint.rpartition(":")
        if not (colon and host and port.isascii() and port.isdigit() and 0 < int(port) < 65536):
            raise ValueError(f"endpoint {endpoint!r} is not an address: write host:port")
        row = HostRow(pattern=f"{host.lower().rstrip('.')}:{int(port)}", api=api, source="configuration")
        return Hosts((row, *(r for r in self.rows if r.pattern != row.pattern)))

    def for_base_url(self, path: str) -> tuple[HostRow, str] | None:
        """The row that a base-url path such as ``/openai/v1/models`` stands for, and the path without that prefix."""
        _, _, rest = path.partition("/")
        prefix, slash, rest = rest.partition("/")
        row = self._prefixes.get(prefix)
        return (row, f"/{rest}") if row and slash and path.startswith("/") else None


_PORT = re.compile(r":[0-9]*\Z")


def _name(host: str) -> str:
    """The name without port and the root's dot; an IPv6 address keeps its brackets."""
    return _PORT.sub("", host).rstrip(".")


_SLASHES = re.compile(r"/{2,}")


def _plain_path(path: str) -> str | None:
    """The path without query, repeated and closing slashes; None where two servers could read it differently."""
    path = path.partition("?")[0].partition("#")[0]
    if not path.startswith("/"):
        return None
    path = _SLASHES.sub("/", path)
    if len(path) > 1:
        path = path.removesuffix("/")
    decoded = unquote(path)
    if decoded.count("/") != path.count("/") or not decoded.isprintable() or "\\" in decoded or "%" in decoded:
        return None
    if not {".", ".."}.isdisjoint(segment.partition(";")[0] for segment in decoded.split("/")):
        return None
    return decoded
