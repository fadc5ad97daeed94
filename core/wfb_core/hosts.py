"""Which host is a provider's, and what a request line on it asks for; `hosts.toml` beside this file has the rows.

A host is found by its whole name, by a suffix anchored at a dot, or by a pattern anchored at both ends, never by a part
of it. A path that no row names is UNMETERED: it may cost money that cannot be known, and the budget's `unpricedModels`
decides it. FREE is said only of paths that are known to cost nothing, and never of a path that a server could read
differently from us.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from urllib.parse import unquote

METERED, FREE, UNMETERED = "METERED", "FREE", "UNMETERED"

WHOLE, MADE, UNKNOWN = "whole", "made", "unknown"
"""How a stream that its client closes early is billed: to its end, what was made until then, or nobody says."""


@dataclass(frozen=True, slots=True)
class Route:
    """What a request line asks for."""

    dialect: str | None
    """The dialect's name; None unless METERED."""
    kind: str
    """METERED: a dialect reads and prices it; FREE: costs nothing, streams through; UNMETERED: cost unknown."""
    provider: str = ""
    """Who bills it."""


@dataclass(frozen=True, slots=True)
class Api:
    """The paths of one shape of API, whatever host serves it."""

    name: str
    metered: tuple[tuple[str, str, str], ...]
    """(methods joined by ``|``, path, dialect); ``{}`` is one segment or a part of one."""
    free: tuple[tuple[str, str], ...]
    """(methods, path); a closing ``/**`` is any number of segments."""
    source: str
    """Where the paths were read."""


@dataclass(frozen=True, slots=True)
class Mount:
    """An API at a place of a host."""

    prefix: str
    """The path before the API's own, ``{}`` as there; empty at the root."""
    api: Api
    provider: str
    """Who bills there."""


@dataclass(frozen=True)
class HostRow:
    """One provider's host."""

    pattern: str
    """``api.example.com``, ``*.example.com`` (any name below it), ``a-*.example.com`` or ``host:port``."""
    provider: str
    """Who bills, unless a mount says otherwise."""
    mounts: tuple[Mount, ...]
    source: str
    """Where the host name was read."""
    cut_streams: str = UNKNOWN
    """How a stream that is closed early is billed: WHOLE, MADE or UNKNOWN."""
    cut_streams_source: str = "not documented"
    """Where that is said, or that it is an assumption."""
    base_path_prefix: str | None = None
    """The first path segment that stands for the host in base-url mode."""
    rates_uplift_percent: int = 0
    """What the host itself adds to some models' rates."""
    shared: bool = False
    """Whether the host serves other things too, so that a path which no API names is nobody's concern."""

    @property
    def bills_cut_streams_whole(self) -> bool | None:
        """Whether a stream that is closed early is billed to its end; None where nothing is known."""
        return {WHOLE: True, MADE: False}.get(self.cut_streams)

    @property
    def first_dialect(self) -> str | None:
        """The dialect in which a call is answered that no dialect has read; None where the host has none."""
        return next((dialect for mount in self.mounts for _, _, dialect in mount.api.metered), None)

    def route(self, method: str, path: str) -> Route:
        """The route of a request line; a query, repeated and closing slashes do not count."""
        plain = _plain_path(path)
        if plain is None:
            return Route(None, UNMETERED, self.provider)
        line = f"{method.upper()} {plain}"
        if found := self._literal.get(line):
            return found
        if "%2F" not in plain and self._free.fullmatch(line):
            return Route(None, FREE, self.provider)
        for pattern, found in self._patterns:
            if pattern.fullmatch(line):
                return found
        return Route(None, FREE if self.shared else UNMETERED, self.provider)

    @cached_property
    def _literal(self) -> dict[str, Route]:
        routes: dict[str, Route] = {}
        for line, route in self._metered:
            if "{" not in line:
                methods, path = line.split(" ", 1)
                for method in methods.split("|"):
                    routes.setdefault(f"{method} {path}", route)
        return routes

    @cached_property
    def _patterns(self) -> list[tuple[re.Pattern[str], Route]]:
        return [(re.compile(_line(*line.split(" ", 1))), route) for line, route in self._metered if "{" in line]

    @cached_property
    def _metered(self) -> list[tuple[str, Route]]:
        return [
            (f"{methods} {mount.prefix}{path}", Route(dialect, METERED, mount.provider))
            for mount in self.mounts
            for methods, path, dialect in mount.api.metered
        ]

    @cached_property
    def _free(self) -> re.Pattern[str]:
        lines = [_line(methods, m.prefix + path) for m in self.mounts for methods, path in m.api.free]
        return re.compile("|".join(("(?:HEAD|OPTIONS) /.*", *(f"(?:{line})" for line in lines))))


def _line(methods: str, path: str) -> str:
    """A pattern for ``METHOD path``."""
    tail = "(?:/[^/]+)*" if path.endswith("/**") else ""
    plain = re.escape(path.removesuffix("/**")).replace(r"\{\}", "[^/]+")
    return f"(?:{methods}) {plain}{tail}"


class Hosts:
    """The providers' hosts and the own endpoints that one sidecar knows; never changed, only extended into a new one."""

    def __init__(self, rows: Iterable[HostRow], own: "dict[str, tuple[Mount, ...]] | None" = None) -> None:
        self.rows = tuple(rows)
        self.own = own or {}
        """What an own endpoint may be beside a provider: its mounts by kind."""
        self._exact = {row.pattern: row for row in self.rows if "*" not in row.pattern}
        self._below = [(row.pattern[1:], row) for row in self.rows if row.pattern.startswith("*.") and _plain_tail(row)]
        self._like = [
            (re.compile(_host_pattern(row.pattern)), row)
            for row in self.rows
            if "*" in row.pattern and not (row.pattern.startswith("*.") and _plain_tail(row))
        ]
        self._prefixes = {row.base_path_prefix: row for row in self.rows if row.base_path_prefix}
        self._known: dict[str, HostRow | None] = {}

    def find(self, host: str) -> HostRow | None:
        """The row of ``host`` or ``host:port``; None where it is no provider's.

        A provider's name counts on every port, an own endpoint on its own alone.
        """
        if host not in self._known:
            if len(self._known) >= _REMEMBERED:
                self._known.clear()
            self._known[host] = self._find(host.lower())
        return self._known[host]

    def _find(self, host: str) -> HostRow | None:
        if row := self._exact.get(host):
            return row
        name = _name(host)
        if row := self._exact.get(name):
            return row
        for suffix, row in self._below:
            if name.endswith(suffix) and len(name) > len(suffix):
                return row
        return next((row for pattern, row in self._like if pattern.fullmatch(name)), None)

    def kinds(self) -> tuple[str, ...]:
        """Whose API an own endpoint may speak."""
        return tuple(sorted({*self.own, *(row.provider for row in self.rows if row.mounts)}))

    def with_rows(self, rows: Iterable[HostRow]) -> "Hosts":
        """These hosts and others, which win where both name the same one."""
        rows = tuple(rows)
        named = {row.pattern for row in rows}
        return Hosts((*rows, *(r for r in self.rows if r.pattern not in named)), self.own)

    def with_endpoint(self, endpoint: str, provider: str) -> "Hosts":
        """These hosts and an own model server at ``host:port`` that speaks a provider's API.

        Raises ValueError where the provider is unknown or the endpoint has no port.
        """
        mounts = self.own.get(provider) or next((r.mounts for r in self.rows if r.provider == provider), ())
        if not mounts:
            raise ValueError(
                f"provider {provider!r} of endpoint {endpoint!r} is unknown: use one of {', '.join(self.kinds())}"
            )
        host, colon, port = endpoint.rpartition(":")
        if not (colon and host and port.isascii() and port.isdigit() and 0 < int(port) < 65536):
            raise ValueError(f"endpoint {endpoint!r} is not an address: write host:port")
        own = tuple(replace(mount, provider=provider) for mount in mounts) if provider in self.own else mounts
        row = HostRow(f"{host.lower().rstrip('.')}:{int(port)}", provider, own, "configuration")
        return self.with_rows([row])

    def for_base_url(self, path: str) -> tuple[HostRow, str] | None:
        """The row that a base-url path such as ``/openai/v1/models`` stands for, and the path without that prefix."""
        _, _, rest = path.partition("/")
        prefix, slash, rest = rest.partition("/")
        row = self._prefixes.get(prefix)
        return (row, f"/{rest}") if row and slash and path.startswith("/") else None


_REMEMBERED = 1024
"""Host names whose row is remembered."""
_PORT = re.compile(r":[0-9]*\Z")


def _plain_tail(row: HostRow) -> bool:
    return "*" not in row.pattern[2:]


def _host_pattern(pattern: str) -> str:
    """A regular expression for a host pattern: a leading ``*.`` is any labels, another ``*`` stays within one."""
    head = ""
    if pattern.startswith("*."):
        head, pattern = r"(?:[a-z0-9_-]+\.)+", pattern[2:]
    return head + re.escape(pattern).replace(r"\*", "[a-z0-9-]+")


def _name(host: str) -> str:
    """The name without port and the root's dot; an IPv6 address keeps its brackets."""
    return _PORT.sub("", host).rstrip(".")


_SLASHES = re.compile(r"/{2,}")
_ENCODED_SLASH = re.compile("%2f", re.IGNORECASE)


def _plain_path(path: str) -> str | None:
    """The path without query, repeated and closing slashes, decoded but for ``%2F``, which stays.

    None where two servers could read it differently.
    """
    path = path.partition("?")[0].partition("#")[0]
    if not path.startswith("/"):
        return None
    path = _SLASHES.sub("/", path)
    if len(path) > 1:
        path = path.removesuffix("/")
    pieces = [unquote(piece) for piece in _ENCODED_SLASH.split(path)]
    if any(not piece.isprintable() or "\\" in piece or "%" in piece for piece in pieces):
        return None
    segments = (segment.partition(";")[0] for piece in pieces for segment in piece.split("/"))
    if not {".", ".."}.isdisjoint(segments):
        return None
    return "%2F".join(pieces)
