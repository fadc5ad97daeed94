"""Reading a document field by field: every mistake is collected with its place, its value and the way out.

A *reader* takes one value and returns what it means, or raises ValueError with a message that needs no other context.
A ``Section`` hands the fields of one mapping to readers by name, and knows at the end which fields nobody asked for.
"""

import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches

type Path = tuple[str | int, ...]

_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_DURATION = re.compile(r"(?:([0-9]{1,6})h)?(?:([0-9]{1,6})m)?(?:([0-9]{1,6})s)?")


@dataclass(frozen=True, slots=True)
class FieldError:
    """One mistake in a document: where it is, what stands there, and what to do about it."""

    path: Path
    value: object
    message: str

    def __str__(self) -> str:
        return f"{dotted(self.path)}: {self.message}" if self.path else self.message


class BudgetErrors(ValueError):  # noqa: N818 - it holds many
    """Every mistake of one document, in the order in which its fields are read."""

    def __init__(self, errors: Iterable[FieldError]) -> None:
        self.errors = tuple(errors)
        super().__init__("\n".join(map(str, self.errors)))


def dotted(path: Path) -> str:
    """A path as people write it: ``spec.limits[0].usd``, ``matchLabels["aifinops.dev/team"]``."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        elif _PLAIN.fullmatch(part):
            text += f".{part}" if text else part
        else:
            text += f"[{_cut(json.dumps(part))}]"
    return text


def shown(value: object) -> str:
    """A value as a message shows it: as a YAML author knows it, and never long."""
    return _cut(json.dumps(value) if value is None or isinstance(value, bool) else repr(value))


def nearest(value: str, names: Iterable[str]) -> str | None:
    """The known name that a misspelt one most likely means, whatever its case; None where none is near."""
    by_fold = {name.casefold(): name for name in names}
    found = get_close_matches(value[:100].casefold(), by_fold, n=1, cutoff=0.6)
    return by_fold[found[0]] if found else None


def choice(*names: str) -> Callable[[object], str]:
    """A reader of one of several names."""

    def read(value: object) -> str:
        if isinstance(value, str) and value in names:
            return value
        if value is False and any(name in names for name in ("Off", "No")):
            raise ValueError(
                f"false is a boolean, which is how YAML reads a bare Off: quote it; choose {_either(names)}"
            )
        meant = nearest(value, names) if isinstance(value, str) else None
        hint = f"did you mean {meant}? Choose" if meant else "choose"
        raise ValueError(f"{shown(value)} is not known here; {hint} {_either(names)}")

    return read


def text(value: object, most: int = 253) -> str:
    """A reader of text that is not empty; longer than ``most`` characters is a mistake."""
    if not isinstance(value, str):
        raise ValueError(f"{shown(value)} is not text: write it in quotes")
    if not value or len(value) > most:
        raise ValueError(f"{shown(value)} has {len(value)} characters: give 1 to {most}")
    if not value.isprintable():
        raise ValueError(f"{shown(value)} holds characters that do not print: remove them")
    return value


def boolean(value: object) -> bool:
    """A reader of true or false."""
    if not isinstance(value, bool):
        raise ValueError(f"{shown(value)} is neither true nor false: write true or false, without quotes")
    return value


def whole(least: int, most: int) -> Callable[[object], int]:
    """A reader of whole numbers in a range."""

    def read(value: object) -> int:
        if isinstance(value, bool) or not isinstance(value, int):
            raise ValueError(f"{shown(value)} is not a whole number: write one from {least} to {most}, without quotes")
        if not least <= value <= most:
            raise ValueError(f"{shown(value)} is out of range: write a whole number from {least} to {most}")
        return int(value)

    return read


def number(least: float, most: float, unit: str) -> Callable[[object], float]:
    """A reader of numbers in a range, such as seconds."""

    def read(value: object) -> float:
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise ValueError(f"{shown(value)} is not a number: write {unit} from {least:g} to {most:g}, without quotes")
        if not least <= value <= most:  # false for NaN too
            raise ValueError(f"{shown(value)} is out of range: write {unit} from {least:g} to {most:g}")
        return float(value)

    return read


def duration(value: object) -> float:
    """A reader of durations such as ``24h``, ``30m``, ``90s``, ``1h30m``: seconds, more than none."""
    parts = _DURATION.fullmatch(value) if isinstance(value, str) else None
    if parts is None or not any(parts.groups()):
        raise ValueError(f"{shown(value)} is not a duration: write hours, minutes or seconds, such as 24h, 30m or 90s")
    hours, minutes, seconds = (int(part or 0) for part in parts.groups())
    if not (total := hours * 3600 + minutes * 60 + seconds):
        raise ValueError(f"{shown(value)} is no time at all: write at least 1s")
    return float(total)


class Section:
    """One mapping of a document while it is read.

    Every field is taken once by name; ``close`` reports those that were not. A mistake adds a ``FieldError`` to the
    shared list and reading goes on with a default, so that one pass finds every mistake.
    """

    def __init__(self, value: object, path: Path, errors: list[FieldError]) -> None:
        self.path, self.errors = path, errors
        self.given: dict[str, object] = {}
        self._known: list[str] = []
        if isinstance(value, Mapping):
            self.given = {str(key): item for key, item in value.items()}
            self.sound = True
        else:
            self.sound = False
            place = dotted(path) if path else "the document"
            self.errors.append(
                FieldError(path, value, f"{shown(value)} is not a mapping: give {place} fields of its own")
            )

    def refuse(self, message: str, *below: str | int, value: object = None) -> None:
        """Report a mistake in this section, or in a field below it."""
        found = value if value is not None or not below else self.given.get(str(below[0]))
        self.errors.append(FieldError(self.path + below, found, message))

    def has(self, name: str) -> bool:
        """Whether the document gives a field."""
        return name in self.given

    def take[T](self, name: str, read: Callable[[object], T], default: T, missing: str = "") -> T:
        """What a field means, or the default where the document leaves it out or has it wrong.

        ``missing`` makes the field required: it tells what to write where the document leaves it out.
        """
        self._known.append(name)
        if name not in self.given:
            if missing and self.sound:
                self.refuse(f"is missing: {missing}", name)
            return default
        value = self.given[name]
        if value is None:
            self.refuse("is empty: give it a value or remove it", name)
            return default
        try:
            return read(value)
        except ValueError as error:
            self.refuse(str(error), name)
            return default

    def section(self, name: str, missing: str = "") -> "Section | None":
        """A mapping below this one; None where there is none."""
        value = self.take(name, _anything, None, missing)
        return None if value is None else Section(value, (*self.path, name), self.errors)

    def items(self, name: str, most: int, missing: str = "") -> list[object] | None:
        """A list below this one, cut at ``most`` items after reporting the excess; None where there is none."""
        value = self.take(name, _anything, None, missing)
        if value is None:
            return None
        if not isinstance(value, (list, tuple)):
            self.refuse(f"{shown(value)} is not a list: write its items as a list, each after a dash", name)
            return None
        if len(value) > most:
            self.refuse(f"has {len(value)} items: give at most {most}", name)
        return list(value[:most])

    def sections(self, name: str, most: int, missing: str = "") -> list["Section"] | None:
        """A list of mappings below this one, as ``items``."""
        items = self.items(name, most, missing)
        if items is None:
            return None
        return [Section(item, (*self.path, name, index), self.errors) for index, item in enumerate(items)]

    def texts(self, name: str, most: int, longest: int) -> tuple[str, ...] | None:
        """A list of texts below this one, as ``items``; one that is no text is reported and left out."""
        items = self.items(name, most)
        if items is None:
            return None
        found: list[str] = []
        for index, item in enumerate(items):
            try:
                found.append(text(item, longest))
            except ValueError as error:
                self.refuse(str(error), name, index, value=item)
        return tuple(found)

    def ignore(self, *names: str) -> None:
        """Take fields that belong to others and change nothing here."""
        self._known.extend(names)

    def close(self) -> None:
        """Report every field that nobody took."""
        for name in self.given:
            if name not in self._known:
                meant = nearest(name, self._known)
                hint = f"did you mean {meant}?" if meant else f"known here: {', '.join(self._known)}"
                self.refuse(f"is not a known field; {hint}", name)


def _anything(value: object) -> object:
    """The reader of a value that is read further below."""
    return value


def _cut(written: str) -> str:
    """At most 80 characters of something that came from outside."""
    return written if len(written) <= 80 else written[:79] + "…"


def _either(names: tuple[str, ...]) -> str:
    """Names as alternatives."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} or {names[-1]}"
