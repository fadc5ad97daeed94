"""Reading an export: CSV, tab-separated text, or the JSON of a provider's API; every mistake is named by line and field."""

import csv
import datetime
import io
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any

from wfb_operator.reconcile.charge import Charge, ExportError
from wfb_operator.reconcile.shapes import SHAPES, Fields, Shape
from wfb_operator.showback.shown import plain

BYTES_MOST = 512 * 1024 * 1024
CELL_MOST = 4 * 1024 * 1024
COLUMNS_SHOWN = 12

_LISTS = ("data", "results")
"""Under what names APIs put rows in objects, from the outside in."""


@dataclass(frozen=True, slots=True)
class Export:
    """What a file held."""

    shape: Shape
    charges: tuple[Charge, ...]
    left_out: int
    """Lines that are not about models."""


def read_export(name: str, content: bytes, provider: str) -> Export:
    """The charges of a file; raises ExportError with what was found and what was expected."""
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ExportError(
            f"{name} is not text in UTF-8 (byte {error.start}): save the export as CSV or JSON"
        ) from error
    rows = list(_json_rows(name, text) if text.lstrip()[:1] in ("{", "[") else _csv_rows(name, text))
    if not rows:
        raise ExportError(f"{name} holds no rows: export a period in which something was used")
    shape = _shape(name, {column for _, row in rows[:100] for column in row}, provider)
    charges, left_out = [], 0
    for where, row in rows:
        if not shape.keep(row) or _empty(row, shape):
            left_out += 1
            continue
        charges.append(_charge(f"{name}, {where}", row, shape))
    if not charges:
        raise ExportError(f"{name} holds no row about models of {provider}: it has {left_out} others")
    return Export(shape, tuple(charges), left_out)


# ---------------------------------------------------------------- rows
def _csv_rows(name: str, text: str) -> Iterator[tuple[str, Fields]]:
    head = text.partition("\n")[0]
    csv.field_size_limit(CELL_MOST)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter="\t" if head.count("\t") > head.count(",") else ",")
    try:
        columns = [column.strip() for column in next(reader, [])]
        for cells in reader:
            if any(cell.strip() for cell in cells):
                if len(cells) != len(columns):
                    raise ExportError(
                        f"{name}, line {reader.line_num}: {len(cells)} cells under {len(columns)} columns: the file is cut"
                        " or was edited; export it anew"
                    )
                yield f"line {reader.line_num}", dict(zip(columns, cells, strict=True))
    except csv.Error as error:
        raise ExportError(f"{name}, line {reader.line_num}: {error}") from error


def _json_rows(name: str, text: str) -> Iterator[tuple[str, Fields]]:
    try:
        document = json.loads(text, parse_float=Decimal)
    except (ValueError, RecursionError) as error:
        raise ExportError(f"{name} begins like JSON and is none: {error}") from error
    if isinstance(document, dict) and document.get("has_more"):
        raise ExportError(f"{name} is one page of more (has_more is true): fetch all pages and give them as one list")
    yield from _flat_rows(document, {}, "")


def _flat_rows(node: Any, outer: dict[str, str], where: str) -> Iterator[tuple[str, Fields]]:
    """Rows of nested lists, each with the fields of what it lies in: a bucket's times belong to its results."""
    if isinstance(node, list):
        for n, item in enumerate(node):
            yield from _flat_rows(item, outer, f"{where}[{n}]")
        return
    if not isinstance(node, Mapping):
        return
    lists = [key for key in _LISTS if isinstance(node.get(key), list)]
    fields = outer | _flat({key: value for key, value in node.items() if key not in lists})
    if lists:
        for key in lists:
            yield from _flat_rows(node[key], fields, f"{where}.{key}".lstrip("."))
    else:
        yield where or "the object", fields


def _flat(node: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Nested objects as names with points; ``amount`` of OpenAI as its CSV has it."""
    found: dict[str, str] = {}
    for key, value in node.items():
        if isinstance(value, Mapping):
            found |= _flat(value, f"{prefix}{key}.")
        elif not isinstance(value, list):
            found[f"{prefix}{key}"] = "" if value is None else str(value)
    for old, new in (("amount.value", "amount_value"), ("amount.currency", "amount_currency")):
        if old in found:
            found[new] = found.pop(old)
    return found


def _shape(name: str, columns: Iterable[str], provider: str) -> Shape:
    present = set(columns)
    known = [shape for shape in SHAPES if shape.provider == provider]
    fitting = [shape for shape in known if present.issuperset(shape.needs)]
    if fitting:
        return max(fitting, key=lambda shape: len(shape.needs))
    found = sorted(present)
    shown = ", ".join(plain(c, 40) for c in found[:COLUMNS_SHOWN]) + (" …" if len(found) > COLUMNS_SHOWN else "")
    others = sorted({shape.provider for shape in SHAPES if present.issuperset(shape.needs)})
    hint = f"; it looks like one of {others[0]}: --provider {others[0]}" if others else ""
    expected = "; ".join(f"{shape.name} ({', '.join(shape.needs)})" for shape in known)
    raise ExportError(f"{name} has the columns {shown}, and for {provider} these are expected: {expected}{hint}")


def _empty(row: Fields, shape: Shape) -> bool:
    """A day without anything, as dashboards write it."""
    amounts = [shape.usd] if shape.usd else [column for columns in shape.tokens.values() for column in columns]
    return not any(row.get(column, "").strip() for column in amounts)


# ---------------------------------------------------------------- one row
def _charge(where: str, row: Fields, shape: Shape) -> Charge:
    currency = row.get(shape.currency, "usd").strip().lower() if shape.currency else "usd"
    if currency not in ("usd", ""):
        raise ExportError(
            f"{where}: {shape.currency} is {plain(currency.upper(), 20)!r}, and the books are in USD: export the costs in"
            " dollars, or convert them first"
        )
    usd = _number(where, row, shape.usd) / shape.per if shape.usd else None
    tokens = {
        kind: sum(int(_number(where, row, column)) for column in columns) for kind, columns in shape.tokens.items()
    }
    for kind, holder in shape.within.items():
        tokens[holder] = max(0, tokens[holder] - tokens.get(kind, 0))
    calls = 1 if shape.each else int(_number(where, row, shape.calls)) if shape.calls else 0
    return Charge(
        _day(where, row, shape.day),
        plain(shape.clean(row.get(shape.model, "")), 200) if shape.model else "",
        usd,
        tokens,
        calls,
        shape.batch(row),
        shape.other(row),
        shape.credit(row),
    )


def _number(where: str, row: Fields, column: str) -> Decimal:
    text = row.get(column, "").strip()
    if not text:
        return Decimal(0)
    try:
        number = Decimal(text)
    except InvalidOperation:
        number = Decimal("NaN")
    if not number.is_finite() or abs(number) > Decimal("1e15"):
        raise ExportError(
            f"{where}: {column} is {plain(text, 40)!r}, which is not a number without signs of a currency"
        )
    return number


def _day(where: str, row: Fields, column: str) -> datetime.date:
    """A day of UTC, from Unix seconds or from ISO 8601."""
    text = row.get(column, "").strip()
    try:
        if text.isascii() and text.isdigit():
            return datetime.datetime.fromtimestamp(int(text), datetime.UTC).date()
        moment = datetime.datetime.fromisoformat(text.removesuffix(" UTC"))
        return (moment if moment.tzinfo is None else moment.astimezone(datetime.UTC)).date()
    except (ValueError, OverflowError, OSError) as error:
        raise ExportError(
            f"{where}: {column} is {plain(text, 40)!r}, which is not a date such as 2026-11-23"
        ) from error
