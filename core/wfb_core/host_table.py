"""Reads host tables: the one that comes along, and those that extend it without code; `hosts.toml` says what they hold.

A user's table may use every API of ours by its name, and adds to it or replaces rows by their host.
"""

import difflib
import tomllib
from collections.abc import Collection, Mapping
from functools import cache
from pathlib import Path
from typing import Any, NoReturn

from wfb_core.dialects import DIALECTS, SOCKETS
from wfb_core.hosts import MADE, UNKNOWN, WHOLE, Api, HostRow, Hosts, Mount

METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_HOST_FIELDS = {"host", "provider", "mounts", "source", "cut", "base_path", "uplift", "shared"}


class HostTableError(ValueError):
    """Names the table, the field, the value and the way out."""


@cache
def known_hosts() -> Hosts:
    """The hosts of the table that comes along."""
    path = Path(__file__).with_name("hosts.toml")
    rows, _, own = _read(path.read_text(encoding="utf-8"), path.name, {}, None)
    return Hosts(rows, own)


@cache
def _known_apis() -> dict[str, Api]:
    path = Path(__file__).with_name("hosts.toml")
    return _read(path.read_text(encoding="utf-8"), path.name, {}, None)[1]


def extended_hosts(text: str, where: str, dialects: Collection[str]) -> Hosts:
    """The known hosts and those of a user's table; raises HostTableError for anything that it cannot mean."""
    rows, _, own = _read(text, where, _known_apis(), dialects)
    hosts = known_hosts()
    extended = hosts.with_rows(rows)
    return Hosts(extended.rows, {**extended.own, **own})


def load_hosts(path: str | None) -> Hosts:
    """The known hosts, and those of a file where one is given; raises HostTableError, also where it cannot be read."""
    if path is None:
        return known_hosts()
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as e:
        raise HostTableError(f"{path}: cannot be read: {e}; give a TOML file of hosts") from None
    return extended_hosts(text, path, {*DIALECTS, *SOCKETS})


def _read(
    text: str, where: str, known: Mapping[str, Api], dialects: Collection[str] | None
) -> tuple[list[HostRow], dict[str, Api], dict[str, tuple[Mount, ...]]]:
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as e:
        raise HostTableError(f"{where}: not TOML: {e}") from None
    _only(document, {"apis", "hosts", "own"}, where)
    apis = dict(known)
    for name, api in _table(document.get("apis", {}), f"{where}: apis").items():
        apis[name] = _api(name, _table(api, f"{where}: apis.{name}"), f"{where}: apis.{name}", dialects)
    hosts = document.get("hosts", [])
    if not isinstance(hosts, list):
        _fail(f"{where}: hosts", hosts, "write [[hosts]] tables")
    rows = [_row(_table(row, f"{where}: hosts[{i}]"), f"{where}: hosts[{i}]", apis) for i, row in enumerate(hosts)]
    own = {}
    for name, kind in _table(document.get("own", {}), f"{where}: own").items():
        place = f"{where}: own.{name}"
        _only(_table(kind, place), {"mounts", "source"}, place)
        own[name] = _mounts(kind, place, apis, name)
    return rows, apis, own


def _api(name: str, api: Mapping[str, Any], where: str, dialects: Collection[str] | None) -> Api:
    _only(api, {"source", "metered", "free"}, where)
    metered = []
    for line, dialect in _table(api.get("metered", {}), f"{where}.metered").items():
        if dialects is not None and dialect not in dialects:
            near = difflib.get_close_matches(str(dialect), dialects, 1)
            hint = f"; did you mean {near[0]!r}?" if near else f": use one of {', '.join(sorted(dialects))}"
            raise HostTableError(f"{where}.metered: {line!r}: {dialect!r} is no dialect{hint}")
        metered.append((*_line(line, f"{where}.metered"), dialect))
    free = api.get("free", [])
    if not isinstance(free, list):
        _fail(f"{where}.free", free, 'write a list such as ["GET /models"]')
    return Api(name, tuple(metered), tuple(_line(f, f"{where}.free") for f in free), _text(api, "source", where))


def _line(value: object, where: str) -> tuple[str, str]:
    if isinstance(value, str):
        methods, space, path = value.partition(" ")
        if space and path.startswith("/") and " " not in path and METHODS.issuperset(methods.split("|")):
            return methods, path
    return _fail(where, value, 'write "METHOD /path"')


def _row(row: Mapping[str, Any], where: str, apis: Mapping[str, Api]) -> HostRow:
    _only(row, _HOST_FIELDS, where)
    host = _text(row, "host", where).lower()
    if "/" in host or " " in host or not host.strip("*."):
        _fail(f"{where}.host", host, "write a name such as llm.example.com, *.example.com or host:port")
    provider = _text(row, "provider", where)
    cut = row.get("cut", [UNKNOWN, "not documented"])
    if not (isinstance(cut, list) and len(cut) == 2 and cut[0] in {WHOLE, MADE, UNKNOWN}):
        _fail(f"{where}.cut", cut, f'write ["{WHOLE}" | "{MADE}" | "{UNKNOWN}", why]')
    uplift, shared = row.get("uplift", 0), row.get("shared", False)
    if not isinstance(uplift, int) or isinstance(uplift, bool) or not 0 <= uplift <= 1000:
        _fail(f"{where}.uplift", uplift, "write a whole number of percent")
    if not isinstance(shared, bool):
        _fail(f"{where}.shared", shared, "write true or false")
    return HostRow(
        host,
        provider,
        _mounts(row, where, apis, provider),
        _text(row, "source", where),
        cut[0],
        str(cut[1]),
        row.get("base_path"),
        uplift,
        shared,
    )


def _mounts(row: Mapping[str, Any], where: str, apis: Mapping[str, Api], provider: str) -> tuple[Mount, ...]:
    mounts = row.get("mounts")
    if not isinstance(mounts, list):
        _fail(f"{where}.mounts", mounts, 'write a list such as ["/v1 compatible"]')
    found = []
    for mount in mounts:
        words = mount.split(" ") if isinstance(mount, str) else []
        if len(words) not in {2, 3} or (words[0] and not words[0].startswith("/")):
            _fail(f"{where}.mounts", mount, 'write "/prefix API" or "/prefix API PROVIDER"')
        if words[1] not in apis:
            near = difflib.get_close_matches(words[1], apis, 1)
            raise HostTableError(
                f"{where}.mounts: {mount!r}: {words[1]!r} is no API"
                + (f"; did you mean {near[0]!r}?" if near else f": use one of {', '.join(sorted(apis))}")
            )
        found.append(Mount(words[0], apis[words[1]], words[2] if len(words) == 3 else provider))
    return tuple(found)


def _only(table: Mapping[str, Any], known: Collection[str], where: str) -> None:
    for name in table:
        if name not in known:
            near = difflib.get_close_matches(name, known, 1)
            hint = f"; did you mean {near[0]!r}?" if near else f": use {', '.join(sorted(known))}"
            raise HostTableError(f"{where}: unknown field {name!r}{hint}")


def _table(value: object, where: str) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else _fail(where, value, "write a table")


def _text(table: Mapping[str, Any], name: str, where: str) -> str:
    value = table.get(name)
    return value if isinstance(value, str) and value else _fail(f"{where}.{name}", value, "write a text")


def _fail(where: str, value: object, expected: str) -> NoReturn:
    raise HostTableError(f"{where}: {value!r}: {expected}")
