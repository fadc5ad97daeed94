"""The HTML report: one file that finance reads in any browser, without a script, a font or a picture from outside.

Every name is escaped, one line, and isolated for its direction (``<bdi>``): a label that holds markup, control characters
or right-to-left text is shown and does nothing. A policy in the page forbids scripts and loading even so.
"""

import datetime
from collections.abc import Sequence
from html import escape

from wfb_operator.showback.amounts import nanos
from wfb_operator.showback.books import Row
from wfb_operator.showback.gather import DAY_SECONDS, Breakdown, Line, Series, Statement, movers
from wfb_operator.showback.page_style import STYLE
from wfb_operator.showback.shown import named
from wfb_operator.showback.split import Share
from wfb_operator.showback.stacked_bars import Layer, Teller, money, stacked_bars

LINES_MOST, MOVERS_MOST, BUDGETS_MOST = 15, 6, 40

POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"

PLURALS = {"served_model": "models served"}


def page(found: Statement, shares: Sequence[Share], rule: str, made: float) -> str:
    """The whole file. ``shares`` are of the first dimension, by a rule; ``made`` is when, Unix seconds."""
    title = f"AI spend, {span(found.since, found.until)}"
    body = [
        f"<h1>{escape(title)}</h1>",
        f'<p class="soft">{_about(found, made)}</p>',
        _tiles(found),
        _over_time(found.series),
        _changed(found),
        _budgets(found.budgets),
        _shares(found.breakdowns[0].dimension, shares, rule),
        *(_breakdown(part, found.total["nanos"]) for part in found.breakdowns),
        _notes(),
    ]
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1"><meta name="referrer" content="no-referrer">'
        f"<title>{escape(title)}</title><style>{STYLE}</style></head>\n<body><main>{''.join(body)}</main></body></html>\n"
    )


def span(since: int, until: int) -> str:
    """A period for a title, in UTC: whole days without their hours."""
    first, last = (datetime.datetime.fromtimestamp(at, datetime.UTC) for at in (since, until))
    if since % DAY_SECONDS or until % DAY_SECONDS:
        return f"{first:%-d %b %Y %H:%M} to {last:%-d %b %Y %H:%M} UTC"
    last -= datetime.timedelta(days=1)
    if first.date() == last.date():
        return f"{first:%-d %B %Y}"
    if (first.year, first.month) == (last.year, last.month):
        return f"{first:%-d}–{last:%-d %B %Y}"  # noqa: RUF001 — a range
    return f"{first:%-d %b %Y} – {last:%-d %b %Y}"  # noqa: RUF001 — a range


def _name(text: object) -> str:
    return f"<bdi>{escape(named(text))}</bdi>"


def _about(found: Statement, made: float) -> str:
    when = datetime.datetime.fromtimestamp(made, datetime.UTC)
    kept = "".join(f" Only {escape(name)} {_name(value)}." for name, value in found.only)
    return f"Made {when:%-d %B %Y %H:%M} UTC. Days are UTC. Dollars as charged.{kept}"


def _many(dimension: str) -> str:
    return PLURALS.get(dimension, f"{dimension}s")


# ---------------------------------------------------------------- figures
def _tiles(found: Statement) -> str:
    total, before = found.total, found.before["nanos"]
    spent, calls = total["nanos"], total["calls"]
    answered = calls - total["refused"]
    tiles = [
        ("Spent", money(spent), _versus(spent, before)),
        ("Calls", f"{answered:,}", f"{total['refused']:,} more refused" if total["refused"] else "none refused"),
        ("Cost per call", money(spent // answered) if answered > 0 else "–", _versus_list(total)),  # noqa: RUF001
        ("Tokens in", _short(sum(total[n] for n in ("input_tokens", "cache_read_tokens", "cache_write_tokens"))), _cached(total)),
        ("Tokens out", _short(total["output_tokens"]), f"{_short(total['reasoning_tokens'])} of them reasoning"),
        ("Estimated", money(total["estimated_nanos"]), f"{_share(total['estimated_nanos'], spent)} of spend, not metered exactly"),
    ]  # fmt: skip
    cells = "".join(f"<div><dl><dt>{a}</dt><dd>{b}</dd><dd>{c}</dd></dl></div>" for a, b, c in tiles)
    return f'<div class="tiles">{cells}</div>'


def _versus(now: int, before: int) -> str:
    if not before:
        return "nothing in the period before"
    return f"{_change(now, before)} against {money(before)} before"


def _versus_list(total: dict[str, int]) -> str:
    saved = total["list_nanos"] - total["nanos"]
    return (
        "at list prices" if not saved else f"{money(abs(saved))} {'below' if saved > 0 else 'above'} list prices in all"
    )


def _cached(total: dict[str, int]) -> str:
    whole = sum(total[n] for n in ("input_tokens", "cache_read_tokens", "cache_write_tokens"))
    return f"{_share(total['cache_read_tokens'], whole)} read from a cache"


def _short(count: int) -> str:
    for size, letter in ((10**9, "bn"), (10**6, "m"), (10**3, "k")):
        if count >= size:
            return f"{count / size:.3g} {letter}"
    return f"{count:,}"


def _share(part: int, whole: int) -> str:
    if not whole or not part:
        return "0 %"
    percent = 100 * part / whole
    return f"{percent:.0f} %" if percent >= 10 else f"{percent:.1f} %" if percent >= 0.05 else "under 0.1 %"


def _change(now: int, before: int) -> str:
    if not before:
        return "new"
    percent = 100 * (now - before) / before
    if percent >= 1000:
        return f"{now / before:,.0f} ×"  # noqa: RUF001 — times
    if abs(percent) < 0.5:
        return "0 %"
    return f"{percent:+.0f} %".replace("-", "−")  # noqa: RUF001 — a minus sign


# ---------------------------------------------------------------- parts
def _over_time(series: Series) -> str:
    hourly = series.step < DAY_SECONDS
    labels = [
        datetime.datetime.fromtimestamp(at, datetime.UTC).strftime("%-d %b %H:%M" if hourly else "%-d %b")
        for at in series.starts
    ]
    layers = [Layer(named(name), values, f"k{n}") for n, (name, values) in enumerate(series.amounts)]
    if any(series.rest):
        layers.append(Layer("all others", series.rest, "k7"))
    dimension = series.dimension.replace("_", " ")
    title = f"Spend by the {'hour' if hourly else 'day'} and {dimension}"
    if not layers:
        return f"<section><h2>{title}</h2><p class='soft'>Nothing was spent.</p></section>"
    key = "".join(f'<li><i class="{layer.style}"></i><bdi>{escape(layer.name)}</bdi></li>' for layer in layers)
    heads = "".join(f'<th scope="col"><bdi>{escape(layer.name)}</bdi></th>' for layer in layers)
    rows = "".join(
        f'<tr><th scope="row">{label}</th>{"".join(f"<td>{money(layer.values[n])}</td>" for layer in layers)}</tr>'
        for n, label in enumerate(labels)
    )
    return (
        f"<section><h2>{title}</h2>{stacked_bars(title, labels, layers, Teller())}"
        f'<ul class="key">{key}</ul><details><summary>The same as a table</summary><div class="scroll"><table>'
        f'<thead><tr><th scope="col">UTC</th>{heads}</tr></thead><tbody>{rows}</tbody></table></div></details></section>'
    )


def _changed(found: Statement) -> str:
    if not found.before["nanos"]:
        return (
            "<section><h2>What changed</h2><p class='soft'>There is nothing in the books of the period of equal length"
            " before, so nothing to compare with.</p></section>"
        )
    lines = [(part.dimension, line) for part in found.breakdowns for line in movers(part, MOVERS_MOST)]
    if not lines:
        return "<section><h2>What changed</h2><p class='soft'>Nothing: every amount is as it was.</p></section>"
    most = max(abs(line.change) for _, line in lines)
    rows = "".join(
        f'<tr><th scope="row">{_name(line.name)}</th><td>{escape(dimension.replace("_", " "))}</td>'
        f"<td>{money(line.before)}</td><td>{money(line.now['nanos'])}</td>{_signed(line)}"
        f'<td class="wide">{_swing(line.change, most)}</td></tr>'
        for dimension, line in lines
    )
    return (
        "<section><h2>What changed</h2><div class='scroll'><table><caption>The biggest movers against the period of equal"
        " length before</caption><thead><tr><th scope='col'>Name</th><th scope='col'>Kind</th><th scope='col'>Before</th>"
        "<th scope='col'>Now</th><th scope='col'>Change</th><th scope='col'>in %</th><th scope='col'>less | more</th></tr>"
        f"</thead><tbody>{rows}</tbody></table></div></section>"
    )


def _signed(line: Line) -> str:
    style, sign = ("up", "+") if line.change > 0 else ("down", "−")  # noqa: RUF001 — a minus sign
    gone = "gone" if not line.now["nanos"] else _change(line.now["nanos"], line.before)
    return f'<td class="{style}">{sign}{money(abs(line.change))}</td><td class="{style}">{gone}</td>'


def _swing(change: int, most: int) -> str:
    width = max(1.0, 100 * abs(change) / most)
    return f'<span class="swing"><i class="{"more" if change > 0 else "less"}" style="width:{width:.0f}%"></i></span>'


def _breakdown(part: Breakdown, whole: int) -> str:
    dimension = part.dimension.replace("_", " ")
    lines = [line for line in part.lines if line.now["calls"] or line.now["nanos"]]
    if not lines:
        return ""
    shown, hidden = lines[:LINES_MOST], lines[LINES_MOST:]
    most = max(1, shown[0].now["nanos"])
    rows = [_line(_name(line.name), line.now, line.before, whole, most) for line in shown]
    rest = {name: part.rest[name] + sum(line.now[name] for line in hidden) for name in part.rest}
    if rest["calls"] or rest["nanos"]:
        many = f"{len(hidden):,}" if not part.rest["calls"] else f"more than {len(hidden):,}"
        rows.append(_line(f'<span class="soft">{many} others</span>', rest, None, whole, most))
    heads = "".join(
        f'<th scope="col">{head}</th>'
        for head in (dimension.capitalize(), "Spent", "Share", "", "Change", "Calls", "Per call")
    )
    return (
        f'<section><h2>By {dimension}</h2><div class="scroll"><table><thead><tr>{heads}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table></div></section>"
    )


def _line(name: str, now: dict[str, int], before: int | None, whole: int, most: int) -> str:
    spent, answered = now["nanos"], now["calls"] - now["refused"]
    bar = f'<span class="meter"><i style="width:{100 * spent / most:.1f}%"></i></span>' if spent <= most else ""
    return (
        f'<tr><th scope="row">{name}</th><td>{money(spent)}</td><td>{_share(spent, whole)}</td>'
        f'<td class="wide">{bar}</td>'
        f"<td>{'' if before is None else _change(spent, before)}</td><td>{answered:,}</td>"
        f"<td>{money(spent // answered) if answered > 0 else '–'}</td></tr>"  # noqa: RUF001 — no value
    )


def _shares(dimension: str, shares: Sequence[Share], rule: str) -> str:
    if not shares:
        return ""
    rows = "".join(
        f'<tr><th scope="row">{_name(s.name)}</th><td>{_cents(s.direct)}</td><td>{_cents(s.shared)}</td>'
        f"<td>{_cents(s.idle)}</td><td>{_cents(s.total)}</td></tr>"
        for s in shares
    )
    sums = "".join(
        f"<td>{_cents(sum(amounts))}</td>"
        for amounts in zip(*((s.direct, s.shared, s.idle, s.total) for s in shares), strict=True)
    )
    how = {
        "proportional": "in proportion to what each spent itself",
        "even": "in equal parts over all who spent anything",
        "none": "not split: it stays where it arose",
    }[rule]
    heads = "".join(f'<th scope="col">{h}</th>' for h in (dimension.capitalize(), "Own", "Shared", "Idle", "Charged"))
    return (
        f'<section><h2>Statement by {escape(dimension)}</h2><div class="scroll"><table><caption>Shared and idle cost is'
        f" {how}.</caption><thead><tr>{heads}</tr></thead><tbody>{rows}</tbody>"
        f'<tfoot><tr><th scope="row">All</th>{sums}</tr></tfoot></table></div></section>'
    )


def _cents(nanos: int) -> str:
    """An amount of a statement: in whole cents, half up; -o csv has every digit."""
    cents = (nanos + 5_000_000) // 10_000_000
    return f"${cents // 100:,}.{cents % 100:02}"


def _budgets(rows: Sequence[Row]) -> str:
    if not rows:
        return ""
    tight = sorted(rows, key=lambda row: (-int(row["percent_used"]), str(row["budget"])))
    cells = "".join(_budget(row) for row in tight[:BUDGETS_MOST])
    more = len(tight) - BUDGETS_MOST
    caption = "As they stand now, the tightest first" + (f"; {more:,} more are not shown" if more > 0 else "")
    heads = "".join(
        f'<th scope="col">{head}</th>' for head in ("Budget", "Window", "Spent", "Limit", "Used", "", "Stage", "Resets")
    )
    return (
        f'<section><h2>Budgets</h2><div class="scroll"><table><caption>{caption}</caption><thead><tr>{heads}</tr></thead>'
        f"<tbody>{cells}</tbody></table></div></section>"
    )


def _budget(row: Row) -> str:
    percent = int(row["percent_used"])
    style = "over" if percent >= 100 else "near" if percent >= 80 else ""
    ends = row.get("end")
    resets = datetime.datetime.fromtimestamp(ends, datetime.UTC).strftime("%-d %b %H:%M") if ends else "never"
    return (
        f'<tr><th scope="row">{_name(row["budget"])}</th><td>{escape(str(row["kind"]))}</td>'
        f"<td>{money(nanos(row['spent_usd']))}</td><td>{money(nanos(row['limit_usd']))}</td><td>{percent} %</td>"
        f'<td class="narrow"><span class="meter"><i class="{style}" style="width:{min(100, percent)}%"></i></span></td>'
        f'<td><span class="stage">{escape(str(row["stage"]))}</span></td><td>{resets}</td></tr>'
    )


def _notes() -> str:
    return (
        '<section><h2>How to read this</h2><p class="small">Spend is what the calls cost at the prices in force, as metered'
        " in the path of each call; a provider's invoice may also hold what did not go through it. <em>Estimated</em> is"
        " what an answer did not say exactly: a stream that was cut, for example. Refused calls cost nothing. A name in"
        " brackets, (none), stands for calls without that label.</p></section>"
    )
