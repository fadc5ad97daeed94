"""CSV that a spreadsheet may open: exact amounts, quoted as RFC 4180 has it, and no cell taken for a formula."""

import csv
from collections.abc import Iterable, Mapping, Sequence
from typing import IO, Any

from wfb_operator.showback.shown import cell


def write_csv(rows: Iterable[Mapping[str, Any]], columns: Sequence[str], stream: IO[str], texts: Sequence[str]) -> None:
    """Writes a head and rows; ``texts`` are the columns with names that callers gave. Lines end in CR LF."""
    out = csv.writer(stream, lineterminator="\r\n")
    out.writerow(columns)
    for row in rows:
        out.writerow([cell(str(row[name])) if name in texts else row[name] for name in columns])
