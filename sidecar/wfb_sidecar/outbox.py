"""Usage rows and decisions on their way to the ledger: numbered batches, repeated until they are answered.

A batch bears the sequence number of the first report that carried it, so numbers rise even across a restart. Every row is
appended to a journal before the call's money is settled; a killed container finds there what it had not yet told.
"""

import json
import operator
import os
from dataclasses import asdict, fields

from wfb_core.wire import Batch, DecisionRecord, UsageRow
from wfb_sidecar.authority import write_private

COUNTS = (
    "calls",
    "refused",
    "input_tokens",
    "cache_read_tokens",
    "cache_write_tokens",
    "output_tokens",
    "reasoning_tokens",
    "nanos",
    "list_nanos",
)
_KEYS = tuple(f.name for f in fields(UsageRow) if f.name not in COUNTS)
_ALL = tuple(f.name for f in fields(UsageRow))
# Every call passes here: these, and counts in a list, cost a third of what `asdict` and `replace` do.
_key_of, _counts_of, _all_of = (operator.attrgetter(*names) for names in (_KEYS, COUNTS, _ALL))
_JSON = json.JSONEncoder(separators=(",", ":"))
_DECISIONS_KEPT = 200
_REWRITE_AT = 4 * 1024 * 1024
_SEALED_MOST = 8
"""Unanswered batches; while no ledger answers, what comes later adds up in the open one, so a report stays small."""


class Outbox:
    """Rows since the last report, and the batches that no answer has covered yet."""

    def __init__(self, path: str) -> None:
        """Opens the journal; raises OSError where it cannot be written."""
        self._path = path
        self._rows: dict[tuple[object, ...], list[int]] = {}
        self._decisions: list[DecisionRecord] = []
        self._sealed: list[Batch] = []
        self.dropped_decisions = 0
        self.write_errors = 0
        """Lines that the journal did not take: told all the same, and lost only to a kill before that."""
        self._replay()
        self._fd, self._size, self._rewrite_at = -1, 0, 0
        self._rewrite()

    def add(self, row: UsageRow) -> None:
        """Books a row; equal dimensions of one batch are added up."""
        self._merge(row)
        self._write("row", dict(zip(_ALL, _all_of(row), strict=True)))

    def note(self, decision: DecisionRecord) -> bool:
        """Books a decision; whether it will be told.

        In a storm the rows keep counting while only the first decisions of a batch are told.
        """
        if len(self._decisions) >= _DECISIONS_KEPT:
            self.dropped_decisions += 1
            return False
        self._decisions.append(decision)
        self._write("decision", asdict(decision))
        return True

    @property
    def waiting(self) -> bool:
        """Whether there is anything to tell."""
        return bool(self._rows or self._decisions or self._sealed)

    def seal(self, number: int) -> tuple[Batch, ...]:
        """Closes the open batch under a number and returns all that is unanswered."""
        if (self._rows or self._decisions) and len(self._sealed) < _SEALED_MOST:
            self._seal(number)
            self._write("seal", number)
        return tuple(self._sealed)

    def answered(self, applied: int) -> None:
        """Forgets the batches that the ledger has applied."""
        if not self._sealed or self._sealed[0].number > applied:
            return
        self._sealed = [b for b in self._sealed if b.number > applied]
        self._write("ack", applied)

    def close(self) -> None:
        """Closes the journal; it stays on disk."""
        os.close(self._fd)

    def _merge(self, row: UsageRow) -> None:
        key, counts = _key_of(row), _counts_of(row)
        known = self._rows.get(key)
        self._rows[key] = list(counts) if known is None else list(map(operator.add, known, counts))

    def _added_up(self) -> tuple[UsageRow, ...]:
        """The rows of the open batch."""
        names = (*_KEYS, *COUNTS)
        return tuple(
            UsageRow(**dict(zip(names, (*key, *counts), strict=True)))  # type: ignore[arg-type]
            for key, counts in self._rows.items()
        )

    def _seal(self, number: int) -> None:
        self._sealed.append(Batch(number, self._added_up(), tuple(self._decisions)))
        self._rows, self._decisions = {}, []

    def _write(self, kind: str, value: object) -> None:
        """Appends what has just been done; a disk that is full stops no call."""
        line = _line(kind, value)
        try:
            written = os.write(self._fd, line)
            if written < len(line):
                os.ftruncate(self._fd, self._size)  # half a line would spoil the next one
                raise OSError("the disk is full")
        except OSError:
            self.write_errors += 1
            return
        self._size += written
        if self._size > self._rewrite_at:
            self._rewrite()

    def _rewrite(self) -> None:
        """Replaces the journal by one of what is still to be told; raises OSError only where there was none yet."""
        lines = []
        for batch in self._sealed:
            lines += [_line("row", asdict(row)) for row in batch.rows]
            lines += [_line("decision", asdict(decision)) for decision in batch.decisions]
            lines.append(_line("seal", batch.number))
        lines += [_line("row", asdict(row)) for row in self._added_up()]
        lines += [_line("decision", asdict(decision)) for decision in self._decisions]
        content = b"".join(lines)
        self._rewrite_at = _REWRITE_AT + 2 * len(content)
        try:
            write_private(self._path, content)
            fd = os.open(self._path, os.O_WRONLY | os.O_APPEND)
        except OSError:
            if self._fd < 0:
                raise
            self.write_errors += 1
            return
        if self._fd >= 0:
            os.close(self._fd)
        self._fd, self._size = fd, len(content)

    def _replay(self) -> None:
        try:
            with open(self._path, "rb") as f:
                lines = f.read().split(b"\n")
        except FileNotFoundError:
            return
        acked = 0
        for line in lines:
            try:
                kind, value = json.loads(line)
            except ValueError:
                continue  # the last line of a killed process may be half written: its call is in the wallet's held
            if kind == "row":
                self._merge(UsageRow(**{"list_nanos": value.get("nanos", 0)} | value))
            elif kind == "decision":
                self._decisions.append(DecisionRecord(**value))
            elif kind == "seal":
                self._seal(value)
            elif kind == "ack":
                acked = max(acked, value)
        self._sealed = [b for b in self._sealed if b.number > acked]


def _line(kind: str, value: object) -> bytes:
    return _JSON.encode([kind, value]).encode() + b"\n"
