"""Budget files: YAML with line numbers, read into budgets, with every mistake of the file told at once.

The YAML is composed into nodes and turned into plain JSON types here rather than by PyYAML's constructor, because a node
knows its line and its source text: ``usd: 200.00`` is told as ``200.00``, not as the float that it makes. What JSON has
no type for (dates, binary, merge keys, keys that are no text) is taken as text or refused.
"""

import math
import os
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import yaml

from wfb_core.budget import Budget
from wfb_core.document import KINDS, BudgetErrors, parse_budget
from wfb_core.fields import Path, dotted, nearest, shown

MOST_BYTES = 1 << 20
MOST_NODES = 50_000
"""Bounds what aliases of aliases unfold to."""
DEEPEST = 64
"""Bounds what an alias inside its own anchor unfolds to."""

_TAG = "tag:yaml.org,2002:"
_CONSTRUCTOR = yaml.constructor.SafeConstructor()
_NAMES = {"int": "a whole number", "float": "a number", "bool": "true or false"}


@dataclass(frozen=True, slots=True)
class LoadedBudget:
    """One budget of a file: as parsed, as the JSON document it was, and where it stands (lines count from 1)."""

    budget: Budget
    document: dict[str, Any]
    path: str
    line: int


@dataclass(frozen=True, slots=True, order=True)
class FileProblem:
    """One mistake in a file; line and column count from 1, and line 0 means the file as a whole."""

    line: int
    column: int
    message: str
    """With the field in front where there is one: ``spec.limits[0].usd: …``."""


class BudgetFileError(ValueError):
    """A file that holds no usable budgets; ``str`` has a line ``path:line: field: what is wrong`` for each mistake."""

    def __init__(self, path: str, problems: Collection[FileProblem]) -> None:
        self.path, self.problems = path, tuple(sorted(problems))
        lines = (f"{path}:{p.line}: {p.message}" if p.line else f"{path}: {p.message}" for p in self.problems)
        super().__init__("\n".join(lines))


def load(path: str) -> list[LoadedBudget]:
    """The budgets of a YAML file, in its order: one document each, or several, or lists of kind List.

    Raises BudgetFileError with every mistake, sorted by line; a file that cannot be read at all is one too.
    """
    reading = _File(path)
    source = _read(path)
    for place in reading.budgets(reading.documents(source)):
        reading.budget(place)
    if not reading.problems and not reading.loaded:
        reading.report(0, 0, f"holds no budget: write a document of kind {' or '.join(KINDS)}")
    if reading.problems:
        raise BudgetFileError(path, reading.problems)
    return reading.loaded


def _read(path: str) -> str:
    """The text of a file, bounded; raises BudgetFileError for what cannot be one."""

    def fail(message: str) -> BudgetFileError:
        return BudgetFileError(path, [FileProblem(0, 0, message)])

    try:
        with open(path, "rb") as file:
            content = file.read(MOST_BYTES + 1)
    except FileNotFoundError as error:
        raise fail("there is no such file: check the path") from error
    except IsADirectoryError as error:
        raise fail("is a directory: give one YAML file in it") from error
    except (OSError, ValueError) as error:
        reason = os.strerror(error.errno) if isinstance(error, OSError) and error.errno else str(error)
        raise fail(f"cannot be read ({reason}): check the path and its permissions") from error
    if len(content) > MOST_BYTES:
        raise fail(f"is larger than {MOST_BYTES >> 20} MiB: split it into several files")
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        problem = FileProblem(line, 1, f"byte {error.start} is not UTF-8: save the file as UTF-8")
        raise BudgetFileError(path, [problem]) from error


class _AsWritten:
    """A number that shows as its author wrote it, so that a message can repeat ``200.00`` or ``1_000``."""

    source: str

    def __repr__(self) -> str:
        return self.source


class _Float(_AsWritten, float):
    """A float as written."""


class _Int(_AsWritten, int):
    """A whole number as written."""


@dataclass(frozen=True, slots=True)
class _Place:
    """A value of the file as composed: the value, its path in the document, and the lines of everything below it."""

    value: object
    path: Path
    marks: dict[Path, tuple[int, int]]
    unread: set[Path]
    """Where something could not be read and was reported: what is wrong there needs no second telling."""

    def mark(self, path: Path) -> tuple[int, int]:
        """Line and column of a path, or of the nearest place above it that the file has."""
        whole = self.path + path
        while whole not in self.marks and whole:
            whole = whole[:-1]
        return self.marks[whole]


@dataclass(slots=True)
class _File:
    """One pass over one file."""

    path: str
    problems: list[FileProblem] = field(default_factory=list)
    loaded: list[LoadedBudget] = field(default_factory=list)
    nodes: int = 0

    def report(self, line: int, column: int, message: str, path: Path = ()) -> None:
        """Note a mistake."""
        self.problems.append(FileProblem(line, column, f"{dotted(path)}: {message}" if path else message))

    def documents(self, source: str) -> Iterator[_Place]:
        """The documents of the file; broken YAML ends them, with a problem."""
        try:
            for node in yaml.compose_all(source, Loader=yaml.SafeLoader):
                if isinstance(node, yaml.ScalarNode) and node.tag == f"{_TAG}null":
                    continue  # nothing between two separators
                place = _Place(None, (), {}, set())
                value = self.plain(node, place, (), 0)
                yield replace(place, value=value)
        except yaml.MarkedYAMLError as error:
            where = error.problem_mark or error.context_mark
            what = " ".join(filter(None, (error.context, error.problem)))
            line, column = (where.line + 1, where.column + 1) if where else (0, 0)
            self.report(line, column, f"is not YAML here: {what}; check indentation, colons and quotes")
        except yaml.reader.ReaderError as error:
            line = source.count("\n", 0, error.position) + 1
            self.report(line, 1, f"holds the character {error.character:#04x}, which YAML does not allow: remove it")
        except (RecursionError, _TooMuchError) as error:
            reason = "is nested too deeply" if isinstance(error, RecursionError) else str(error)
            self.report(0, 0, f"{reason}: write the budgets out plainly")

    def plain(self, node: yaml.Node, place: _Place, path: Path, depth: int) -> object:
        """A node as a JSON value; notes where everything stands, and reports what JSON has no type for."""
        self.nodes += 1
        if self.nodes > MOST_NODES:
            raise _TooMuchError(f"unfolds to more than {MOST_NODES} values")
        if depth > DEEPEST:
            raise _TooMuchError(f"is nested more than {DEEPEST} deep")
        place.marks.setdefault(path, _mark(node))
        if isinstance(node, yaml.SequenceNode) and node.tag == f"{_TAG}seq":
            return [self.plain(item, place, (*path, i), depth + 1) for i, item in enumerate(node.value)]
        if isinstance(node, yaml.MappingNode) and node.tag == f"{_TAG}map":
            return self.mapping(node, place, path, depth + 1)
        try:
            return _scalar(node)
        except ValueError as error:
            self.report(*_mark(node), str(error), path)
            place.unread.add(path)
            return None

    def mapping(self, node: yaml.MappingNode, place: _Place, path: Path, depth: int) -> dict[str, object]:
        """A mapping as a JSON object; a key given twice or that is no text is reported."""
        found: dict[str, object] = {}
        for key_node, value_node in node.value:
            mark = _mark(key_node)
            key = key_node.value
            if key_node.tag == f"{_TAG}merge":
                self.report(*mark, "is a merge key (<<): write the fields out", path)
                place.unread.add(path)
            elif key_node.tag != f"{_TAG}str" or not isinstance(key, str) or not key.isprintable():
                written = ascii(key) if isinstance(key_node, yaml.ScalarNode) else "of several parts"
                self.report(*mark, f"the key {written} is not text: write a field's name, in quotes", path)
            elif key in found:
                first = place.marks[(*path, key)][0]
                self.report(*mark, f"is given twice, first on line {first}: remove one of them", (*path, key))
            else:
                place.marks[(*path, key)] = mark
                found[key] = self.plain(value_node, place, (*path, key), depth)
        return found

    def budgets(self, documents: Iterator[_Place]) -> Iterator[_Place]:
        """What should be budgets: the documents themselves, and the items of those of kind List."""
        for place in documents:
            kind = place.value.get("kind") if isinstance(place.value, dict) else None
            if not isinstance(place.value, dict) or kind not in ("List", *(f"{name}List" for name in KINDS)):
                yield place
                continue
            items = place.value.get("items")
            if not isinstance(items, list) or not items:
                self.report(*place.mark(("items",)), f"a {kind} needs items: list the budgets there", ("items",))
                continue
            for index, item in enumerate(items):
                yield replace(place, value=item, path=("items", index))

    def budget(self, place: _Place) -> None:
        """One budget: parsed and kept, or its mistakes noted."""
        line, column = place.mark(())
        document = place.value
        if place.path in place.unread:
            return
        if not isinstance(document, dict):
            self.report(
                line, column, f"{shown(document)} is not a mapping: a budget has apiVersion, kind and spec", place.path
            )
            return
        kind = document.get("kind")
        if kind is not None and kind not in KINDS and nearest(str(kind), KINDS) is None:
            message = f"{shown(kind)} is not a budget: keep only {' and '.join(KINDS)} in this file"
            self.report(*place.mark(("kind",)), message, (*place.path, "kind"))
            return
        try:
            budget = parse_budget(document)
        except BudgetErrors as errors:
            for error in errors.errors:
                whole = place.path + error.path
                if not any(whole[:cut] in place.unread for cut in range(len(whole) + 1)):
                    self.report(*place.mark(error.path), error.message, whole)
            return
        for other in self.loaded:
            if other.budget.key == budget.key:
                below: Path = ("metadata", "name")
                message = f"{shown(budget.name)} is the name of the budget on line {other.line} too: give each its own"
                self.report(*place.mark(below), message, place.path + below)
        self.loaded.append(LoadedBudget(budget, _json(document), self.path, line))


class _TooMuchError(Exception):
    """The file unfolds to more than a file of budgets can need."""


def _mark(node: yaml.Node) -> tuple[int, int]:
    """Line and column of a node, counted from 1."""
    return node.start_mark.line + 1, node.start_mark.column + 1


def _scalar(node: yaml.Node) -> object:
    """A scalar as a JSON value; raises ValueError with the way out for what JSON has no value for."""
    kind = node.tag.removeprefix(_TAG)
    if not isinstance(node, yaml.ScalarNode) or kind not in ("str", "timestamp", "null", "bool", "int", "float"):
        raise ValueError(f"has the tag {node.tag.replace(_TAG, '!!')}: write plain YAML without it")
    if kind in ("str", "timestamp"):
        if any("\ud800" <= character <= "\udfff" for character in node.value):
            raise ValueError("holds half a surrogate pair: write the character itself")
        return node.value
    try:
        if kind == "int":
            whole = _Int(_CONSTRUCTOR.construct_yaml_int(node))
            whole.source = node.value
            return whole
        if kind == "float":
            real = _Float(_CONSTRUCTOR.construct_yaml_float(node))
            real.source = node.value
            if math.isfinite(real):
                return real
        elif kind == "bool":
            return _CONSTRUCTOR.construct_yaml_bool(node)
        else:
            return None
    except (ValueError, LookupError) as error:
        raise ValueError(f"{shown(node.value)} cannot be read as {_NAMES[kind]}: write it in quotes") from error
    raise ValueError(f"{node.value} is not a number that JSON has: write a plain number")


def _json(value: object) -> Any:
    """The same value in plain JSON types."""
    if isinstance(value, dict):
        return {key: _json(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_json(item) for item in value]
    if isinstance(value, _Int):
        return int(value)
    return float(value) if isinstance(value, _Float) else value
