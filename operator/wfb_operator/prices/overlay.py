"""A contract's prices over the list's: discounts, own rates, deployments' models, from a file that people write.

A file in YAML or TOML holds a list `prices` of rows, applied in its order, later ones over earlier:

    prices:
      - provider: openai          # which provider of the price data; a new name with `rates` prices an own server
        model: gpt-6*             # shell pattern over the list's names; "*" if left out
        host: "*.api.openai.com"  # only for calls to such hosts
        deployment: team-chat     # a name of one's own for the one model that `model` names, such as on Azure
        tier: priority            # only for this service tier; "standard" for what everybody gets; all if left out
        multiplier: "0.85"        # times the list's rates, of tokens and of units alike
        rates: {input: "1.10", output: "4.40", requests: "0.005"}  # USD per million tokens, per unit: instead
        from: 2026-12-01          # the day in UTC from which the row counts; always, if left out

Every row has one of `multiplier` and `rates`, or a `deployment` alone. Amounts are quoted decimal strings.
"""

import hashlib
import re
import tomllib
from collections.abc import Iterable, Mapping
from copy import deepcopy
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, NoReturn

import yaml

from wfb_core.money import NANOS_PER_USD
from wfb_core.price import STANDARD_TIERS
from wfb_core.rates import CLASSES
from wfb_core.usage import UNITS

FIELDS = ("provider", "model", "host", "deployment", "tier", "multiplier", "rates", "from")
"""What a row may state."""
STANDARD = "standard"

_DECIMAL = re.compile(r"[0-9]{1,9}(\.[0-9]{1,12})?")

Document = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Row:
    """One row of the file, checked."""

    where: str
    """``FILE:LINE``."""
    provider: str
    model: str = "*"
    host: str = ""
    deployment: str = ""
    tier: str = ""
    multiplier: Decimal | None = None
    rates: tuple[tuple[str, int], ...] = ()
    """(class or unit, nano-USD per million)."""
    since: str = ""


@dataclass(frozen=True, slots=True)
class Overlay:
    """The rows of one file."""

    rows: tuple[Row, ...]
    told: str
    """The file's name and the hash of its bytes."""

    def providers(self) -> set[str]:
        """The providers whose prices it states."""
        return {row.provider for row in self.rows}

    def applied(self, documents: Mapping[str, Document]) -> dict[str, Document]:
        """The providers of a snapshot with the rows on top; raises ValueError for a row that fits nothing.

        Rows of providers that are not compiled are left out.
        """
        changed = deepcopy(dict(documents))
        for row in self.rows:
            home = changed.get(row.provider)
            if home is None:
                continue
            if row.host:
                home = changed.setdefault(f"{row.provider}@{row.host}", home | {"models": [], "fallback": []})
            _apply(row, home, changed)
        return changed


def load_overlay(path: str | Path) -> Overlay:
    """The rows of a YAML or TOML file; raises ValueError as ``FILE:LINE: field: message`` for the first slip in it."""
    path = Path(path)
    try:
        raw = path.read_bytes()
        text = raw.decode()
    except OSError as e:
        raise ValueError(f"{path}:1: file: it cannot be read: {e.strerror}") from None
    except UnicodeDecodeError:
        raise ValueError(f"{path}:1: file: it is no UTF-8 text") from None
    entries = _toml(path, text) if path.suffix == ".toml" else _yaml(path, text)
    rows = tuple(_row(path, *entry) for entry in entries)
    return Overlay(rows, f"{path.name} {hashlib.sha256(raw).hexdigest()[:12]}")


# -- the file: every value with its line

_Located = tuple[int, dict[str, tuple[int, Any]]]
"""A row's line, and its fields with theirs."""


def _fail(path: Path, line: int, name: str, message: str) -> NoReturn:
    raise ValueError(f"{path}:{line}: {name}: {message}")


def _yaml(path: Path, text: str) -> list[_Located]:
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.YAMLError as e:
        mark = getattr(e, "problem_mark", None)
        _fail(path, mark.line + 1 if mark else 1, "file", f"it is no YAML: {getattr(e, 'problem', None) or e}")
    except RecursionError:
        _fail(path, 1, "file", "it is nested too deeply")
    if not isinstance(node, yaml.MappingNode):
        _fail(path, 1, "prices", "a list `prices` of rows is expected")
    found: list[_Located] | None = None
    for key, value in node.value:
        line = key.start_mark.line + 1
        if key.value != "prices":
            _fail(path, line, str(key.value)[:40], "it is no field: write a list `prices` of rows")
        if not isinstance(value, yaml.SequenceNode):
            _fail(path, line, "prices", "a list of rows is expected")
        found = []
        for item in value.value:
            if not isinstance(item, yaml.MappingNode):
                _fail(path, item.start_mark.line + 1, "prices", "a row of fields is expected")
            fields: dict[str, tuple[int, Any]] = {}
            for name, content in item.value:
                at = name.start_mark.line + 1
                if name.value in fields:
                    _fail(path, at, str(name.value)[:40], "it is stated twice")
                fields[name.value] = at, _plain(path, content)
            found.append((item.start_mark.line + 1, fields))
    if found is None:
        _fail(path, 1, "prices", "a list `prices` of rows is expected")
    return found


def _plain(path: Path, node: yaml.Node) -> Any:
    if isinstance(node, yaml.ScalarNode):
        # Numbers and dates stay what was written; only text in quotes, or what is no number, is text.
        quoted = node.style in {"'", '"'} or node.tag in {"tag:yaml.org,2002:str", "tag:yaml.org,2002:timestamp"}
        return node.value if quoted else _Bare(node.value)
    if isinstance(node, yaml.MappingNode):
        return {str(k.value): (k.start_mark.line + 1, _plain(path, v)) for k, v in node.value}
    return [None]


class _Bare(str):
    """A value that was written without quotes though it is a number, a truth value or nothing."""

    __slots__ = ()


def _toml(path: Path, text: str) -> list[_Located]:
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as e:
        line = re.search(r"line (\d+)", str(e))
        _fail(path, int(line[1]) if line else text.count("\n") + 1, "file", f"it is no TOML: {e}")
    lines = text.splitlines()
    starts = [i + 1 for i, line in enumerate(lines) if re.match(r"\s*\[\[\s*prices\s*\]\]", line)]
    for name in document:
        if name != "prices":
            place = next((i + 1 for i, line in enumerate(lines) if re.match(rf"\s*\[*\s*{re.escape(name)}", line)), 1)
            _fail(path, place, name, "it is no field: write a list `prices` of rows")
    rows = document.get("prices")
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        _fail(path, 1, "prices", "a list `prices` of rows is expected: write [[prices]] above each")
    found: list[_Located] = []
    for i, row in enumerate(rows):
        begin = starts[i] if i < len(starts) else 1
        end = starts[i + 1] - 1 if i + 1 < len(starts) else len(lines)
        found.append((begin, {name: _toml_field(name, value, lines, begin, end) for name, value in row.items()}))
    return found


def _toml_field(name: str, value: Any, lines: list[str], begin: int, end: int) -> tuple[int, Any]:
    pattern = re.compile(rf"""(^\s*|[{{,\[.]\s*)["']?{re.escape(name)}["']?\s*[.=\]]""")
    line = next((n for n in range(begin, end + 1) if pattern.search(lines[n - 1])), begin)
    if isinstance(value, dict):
        return line, {key: _toml_field(key, inner, lines, line, end) for key, inner in value.items()}
    if isinstance(value, date):
        return line, value.isoformat()
    return line, value if isinstance(value, str) else _Bare(value)


# -- a row: every field checked


def _row(path: Path, line: int, fields: dict[str, tuple[int, Any]]) -> Row:
    for name, (at, _) in fields.items():
        if name not in FIELDS:
            _fail(path, at, name, f"it is no field: use one of {', '.join(FIELDS)}")
    texts = {}
    for name in ("provider", "model", "host", "deployment", "tier"):
        at, value = fields.get(name, (line, None))
        if value is not None and (not isinstance(value, str) or isinstance(value, _Bare) or not value.strip()):
            _fail(path, at, name, f"{_shown(value)} is no text")
        texts[name] = (value or "").strip()
    if not texts["provider"]:
        _fail(path, line, "provider", "it is missing: say who bills, such as openai")
    multiplier = None
    if "multiplier" in fields:
        at, value = fields["multiplier"]
        multiplier = _amount(path, at, "multiplier", value, "0.85")
    rates = _rates(path, *fields["rates"]) if "rates" in fields else ()
    if multiplier is not None and rates:
        _fail(path, fields["rates"][0], "rates", "a row has a multiplier or rates, not both")
    if multiplier is None and not rates and not texts["deployment"]:
        _fail(path, line, "multiplier", "the row changes nothing: add multiplier, rates or deployment")
    if texts["deployment"] and (not texts["model"] or re.search(r"[*?\[]", texts["model"])):
        at = fields.get("model", fields["deployment"])[0]
        _fail(path, at, "model", "a deployment serves one model: write its name in the price list")
    since = ""
    if "from" in fields:
        at, value = fields["from"]
        try:
            since = date.fromisoformat(str(value)).isoformat()
        except ValueError:
            _fail(path, at, "from", f"{_shown(value)} is no day: write it as 2026-12-01")
    return Row(
        f"{path}:{line}",
        texts["provider"],
        texts["model"].lower() or "*",
        texts["host"].lower(),
        texts["deployment"].lower(),
        texts["tier"],
        multiplier,
        rates,
        since,
    )


def _rates(path: Path, line: int, value: Any) -> tuple[tuple[str, int], ...]:
    if not isinstance(value, dict) or not value:
        _fail(path, line, "rates", 'amounts by class are expected, such as {input: "1.10", output: "4.40"}')
    found = []
    for name, (at, amount) in value.items():
        if name not in CLASSES and name not in UNITS:
            _fail(path, at, f"rates.{name}", f"it is no class: use one of {', '.join((*CLASSES, *UNITS))}")
        usd = _amount(path, at, f"rates.{name}", amount, "1.10")
        per_million = usd * (1_000_000 if name in UNITS else 1)
        found.append((name, int((per_million * NANOS_PER_USD).to_integral_value(rounding="ROUND_CEILING"))))
    return tuple(found)


def _amount(path: Path, line: int, name: str, value: Any, example: str) -> Decimal:
    if isinstance(value, _Bare):
        _fail(
            path, line, name, f'{_shown(value)} is a number: write it as a quoted decimal string, such as "{example}"'
        )
    if not isinstance(value, str) or not _DECIMAL.fullmatch(value):
        _fail(
            path, line, name, f'{_shown(value)} is no amount: write a decimal string without sign, such as "{example}"'
        )
    return Decimal(value)


def _shown(value: Any) -> str:
    return str(value)[:60] if isinstance(value, _Bare) else repr(value)[:60]


# -- a row on the providers of a snapshot


def _apply(row: Row, home: Document, changed: Mapping[str, Document]) -> None:
    own = {model["id"] for model in home["models"]}
    sources = [changed[name] for name in (row.provider, *changed[row.provider].get("fallback", ())) if name in changed]
    borrowed = [m for s in sources for m in s["models"] if m["id"] not in own]
    fitting = [m for m in [*home["models"], *_once(borrowed)] if fnmatchcase(m["id"].lower(), row.model)]
    if row.deployment:
        fitting = [m for m in fitting if "unpriced" not in m][:1] or _stated(row)
        fitting = [m | {"id": row.deployment, "match": {"equals": row.deployment}, "suggest": False} for m in fitting]
        home["models"] = [m for m in home["models"] if m["id"] != row.deployment]
    elif not fitting:
        fitting = _stated(row)
    if not fitting:
        raise ValueError(f"{row.where}: model: {row.model!r} fits no model of {row.provider} in the price list")
    for model in fitting:
        copied = deepcopy(model)
        if "unpriced" in copied and row.rates:
            copied = {"id": copied["id"], "match": copied["match"], "prices": [_entry(row)]}
        if "unpriced" in copied:
            continue
        _change(row, copied)
        copied["source"] = f"{copied.get('source') or 'genai-prices'}; {row.where}"
        places = [i for i, m in enumerate(home["models"]) if m["id"] == copied["id"]]
        if places:
            home["models"][places[0]] = copied
        else:
            home["models"].insert(0, copied)


def _once(models: Iterable[Document]) -> list[Document]:
    found: dict[str, Document] = {}
    for model in models:
        found.setdefault(model["id"], model)
    return list(found.values())


def _stated(row: Row) -> list[Document]:
    """A model of one's own that no list has, by its exact name or a pattern over names."""
    if not any(name == "input" or name in UNITS for name, _ in row.rates):
        return []
    pattern = re.fullmatch(r"([^*?\[]*)(\*?)", row.model)
    if pattern is None:
        return []
    clause = {"starts_with" if pattern[2] else "equals": pattern[1]}
    return [{"id": row.model, "match": clause, "prices": [_entry(row) | {"when": {}}]}]


def _change(row: Row, model: Document) -> None:
    """The row's price in a model: in its standard entries, its tiers, or both."""
    if row.multiplier is None and not row.rates:
        return
    standard = row.tier in STANDARD_TIERS or row.tier == STANDARD
    if standard:
        base = deepcopy(model["prices"])
        model["prices"] = _dated(row, base, latest_last=True)
    tiers = model.get("tiers", {})
    if row.tier and row.tier not in STANDARD_TIERS:
        entries = tiers.get(row.tier)
        if entries is None:
            if not row.rates:
                raise ValueError(
                    f"{row.where}: tier: {model['id']!r} has no price in tier {row.tier!r} to multiply: state rates"
                )
            entries = []
        tiers[row.tier] = _dated(row, entries, latest_last=False) if entries else [_entry(row)]
    elif not row.tier and row.multiplier is not None:
        for word, entries in tiers.items():
            tiers[word] = _dated(row, entries, latest_last=False)
    if tiers:
        model["tiers"] = tiers


def _dated(row: Row, entries: list[Document], *, latest_last: bool) -> list[Document]:
    """Entries that count before the row's day as they were, and from it on as the row says.

    Of `prices` the last entry that has begun counts, of a tier's the first: so the new ones stand last, or first.
    """
    new = [_contract(row, entry) for entry in entries]
    if not row.since:
        return new
    before = [e for e in entries if e["when"].get("from", "") <= row.since and "daily" not in e["when"]]
    current = (before[-1:] if latest_last else before[:1]) or entries[-1:]
    begun = [_contract(row, e) | {"when": {"from": row.since}} for e in current]
    later = [_contract(row, e) for e in entries if e["when"].get("from", "") > row.since]
    kept = [e for e in entries if e["when"].get("from", "") <= row.since]
    return [*kept, *begun, *later] if latest_last else [*later, *begun, *kept]


def _contract(row: Row, entry: Document) -> Document:
    """An entry at the row's price, with the list's beside it."""
    listed = {"list": entry.get("list", entry["rates"]), "list_units": entry.get("list_units", entry.get("units", {}))}
    if row.rates:
        stated = _entry(row)
        rates = entry["rates"] | stated["rates"]
        units = entry.get("units", {}) | stated.get("units", {})
    else:
        rates = {name: _times(rate, row) for name, rate in entry["rates"].items()}
        units = {name: _times(rate, row) for name, rate in entry.get("units", {}).items()}
    changed = entry | {"rates": rates} | {key: value for key, value in listed.items() if value}
    return changed | {"units": units} if units else changed


def _entry(row: Row) -> Document:
    entry: Document = {
        "when": {"from": row.since} if row.since else {},
        "rates": {name: rate for name, rate in row.rates if name in CLASSES},
    }
    units = {name: rate for name, rate in row.rates if name in UNITS}
    return entry | {"units": units} if units else entry


def _times(rate: Any, row: Row) -> Any:
    assert row.multiplier is not None
    if isinstance(rate, list):
        return [_times(rate[0], row), *([start, _times(step, row)] for start, step in rate[1:])]
    return int((rate * row.multiplier).to_integral_value(rounding="ROUND_HALF_UP"))
