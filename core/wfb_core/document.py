"""The document of a WorkflowBudget: from the shape people write to the Budget that decisions read.

Documents travel as JSON between command line, ledger and sidecar, and everyone reads them with ``parse_budget``. A
document with any mistake makes no budget: every mistake is reported at once, each with its field, value and way out.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from zoneinfo import available_timezones

from wfb_core.budget import (
    ADAPTIVE,
    ALLOW,
    AUTO,
    CLAMP,
    CLOSE,
    DOES_NOT_EXIST,
    DOWNGRADE,
    ENFORCE,
    EXISTS,
    FAIL,
    FLAG,
    IGNORE,
    IN,
    NOT_IN,
    OFF,
    PRICE_AS,
    READ_ON,
    REFUSE,
    REPORT,
    RUN,
    SLOW,
    STRICT,
    THROTTLE,
    TOTAL,
    WARN,
    WINDOWS,
    Budget,
    LabelRule,
    Limit,
    Loops,
    Notify,
    Rung,
    Selector,
    Unpriced,
)
from wfb_core.fields import (
    BudgetErrors,
    FieldError,
    Section,
    boolean,
    choice,
    duration,
    nearest,
    number,
    shown,
    text,
    whole,
)
from wfb_core.money import parse_usd
from wfb_core.selectors import label_key, label_value, literal_key, namespace_name, object_name
from wfb_core.windows import zone_of

__all__ = ["API_VERSION", "KINDS", "BudgetErrors", "FieldError", "parse_budget"]

API_VERSION = "aifinops.dev/v1alpha1"
NAMESPACED, CLUSTER = "WorkflowBudget", "ClusterWorkflowBudget"
KINDS = (NAMESPACED, CLUSTER)

MOST_LIMITS = 16
MOST_RUNGS = 16
MOST_LABELS = 16
MOST_VALUES = 64
MOST_PATTERNS = 64
MOST_NOTIFIED = 8
LONGEST_MODEL = 256
LONGEST_KEY = 317
LONGEST_ADDRESS = 2048
LONGEST_SECRET_KEY = 253


# Kubernetes, ObjectMeta v1: what the API server keeps there changes no budget.
_OBJECT_META = (
    "annotations",
    "creationTimestamp",
    "deletionGracePeriodSeconds",
    "deletionTimestamp",
    "finalizers",
    "generateName",
    "generation",
    "labels",
    "managedFields",
    "ownerReferences",
    "resourceVersion",
    "selfLink",
    "uid",
)

_DEFAULTS = Budget("", "", {}, ())

LONGEST_COOLDOWN = 86_400.0
_LOOP_WORDS = {"Warn": FLAG, "None": OFF}
"""Other words for an action: of the ladder, and for those who write YAML without quotes."""
_LOOP_ACTIONS = 'choose Flag, Slow, Refuse or "Off"'


def parse_budget(document: object) -> Budget:
    """The budget that a document of kind WorkflowBudget or ClusterWorkflowBudget states.

    A cluster's budget has the namespace ``""``; a namespaced one without a namespace gets ``default``. Raises
    BudgetErrors with every mistake of the document.
    """
    errors: list[FieldError] = []
    budget = _Reading(errors).budget(document)
    if errors or budget is None:
        raise BudgetErrors(errors)
    return budget


@dataclass(frozen=True, slots=True)
class _Reading:
    """One pass over one document."""

    errors: list[FieldError]

    def budget(self, document: object) -> Budget | None:
        """The whole document; None where what it is for cannot be told."""
        top = Section(document, (), self.errors)
        top.take("apiVersion", choice(API_VERSION), "", f"write apiVersion: {API_VERSION}")
        kind = top.take("kind", choice(*KINDS), "", f"write kind: {NAMESPACED}")
        if not kind:
            kind = nearest(str(top.given.get("kind", "")), KINDS) or ""
        if not kind:
            return None
        namespace, name = self.metadata(top, cluster=kind == CLUSTER)
        spec = top.section("spec", "write what the budget limits below spec:")
        top.ignore("status")
        top.close()
        if spec is None or not spec.sound:
            return None
        return self.spec(spec, namespace, name, cluster=kind == CLUSTER)

    def metadata(self, top: Section, *, cluster: bool) -> tuple[str, str]:
        """Namespace and name."""
        metadata = top.section("metadata", "name the budget with metadata: {name: …}")
        if metadata is None:
            return "", ""
        name = metadata.take("name", object_name, "", "give the budget a name, such as invoice-triage")
        if cluster:
            metadata.ignore("namespace")
            if metadata.has("namespace"):
                metadata.refuse(f"a {CLUSTER} has no namespace: remove it, or make it a {NAMESPACED}", "namespace")
            namespace = ""
        else:
            namespace = metadata.take("namespace", namespace_name, "default")
        metadata.ignore(*_OBJECT_META)
        metadata.close()
        return namespace, name

    def spec(self, spec: Section, namespace: str, name: str, *, cluster: bool) -> Budget:
        """The spec, field by field in the schema's order."""
        namespaces = self.namespace_selector(spec, cluster=cluster)
        selector = self.selector(spec, cluster=cluster)
        zone = spec.take("timeZone", _zone, _DEFAULTS.time_zone)
        ladder = self.ladder(spec)
        limits = self.limits(spec, ladder or ())
        on_exhausted, trickle = self.on_exhausted(spec)
        output_bound = spec.take("outputBound", choice(CLAMP, STRICT, ADAPTIVE), _DEFAULTS.output_bound)
        allowed, denied, hosted_tools = self.models(spec)
        budget = Budget(
            namespace=namespace,
            name=name,
            match_labels=dict(selector.labels),
            limits=limits,
            time_zone=zone,
            ladder=ladder or (),
            on_exhausted=on_exhausted,
            trickle=trickle,
            enforcement=spec.take("enforcement", choice(ENFORCE, REPORT), _DEFAULTS.enforcement),
            failure_policy=spec.take("failurePolicy", choice(FAIL, IGNORE), _DEFAULTS.failure_policy),
            output_bound=output_bound,
            unpriced=self.unpriced(spec),
            models_allowed=allowed,
            models_denied=denied,
            hosted_tools=hosted_tools,
            wait_seconds=spec.take("waitSeconds", number(0, 600, "seconds"), _DEFAULTS.wait_seconds),
            max_delay_seconds=spec.take("maxDelaySeconds", number(0, 600, "seconds"), _DEFAULTS.max_delay_seconds),
            on_disconnect=spec.take("onDisconnect", choice(AUTO, READ_ON, CLOSE), _DEFAULTS.on_disconnect),
            refusal_status=spec.take("refusalStatus", _refusal_status, _DEFAULTS.refusal_status),
            suspend=spec.take("suspend", boolean, _DEFAULTS.suspend),
            loops=self.loops(spec),
            match_rules=selector.rules,
            namespace_selector=namespaces,
        )
        spec.close()
        return budget

    def namespace_selector(self, spec: Section, *, cluster: bool) -> Selector:
        """The namespaces of a cluster's budget; their labels' keys stand for themselves."""
        if not cluster:
            spec.ignore("namespaceSelector")
            if spec.has("namespaceSelector"):
                spec.refuse(f"belongs to a {CLUSTER}: remove it, or change the kind", "namespaceSelector")
            return Selector()
        section = spec.section("namespaceSelector")
        return Selector() if section is None or not section.sound else self.selected(section, literal_key)

    def selector(self, spec: Section, *, cluster: bool) -> Selector:
        """The pods, by their labels' full keys; empty only for a cluster's budget, which may be for all."""
        way_out = "say whose money this is with selector: {matchLabels: {aifinops.dev/workflow: …}}"
        mistakes = len(self.errors)
        section = spec.section("selector", "" if cluster else way_out)
        if section is None or not section.sound:
            return Selector()
        found = self.selected(section, label_key)
        if found == Selector() and not cluster and len(self.errors) == mistakes:
            section.refuse(f"is empty, and a {NAMESPACED} is never for everything: {way_out}, or make it a {CLUSTER}")
        return found

    def selected(self, selector: Section, key_of: Callable[[str], str]) -> Selector:
        """One selector; ``key_of`` makes a label's key full, and raises ValueError for one that is none."""
        section = selector.section("matchLabels")
        labels = {} if section is None else self.match_labels(section, key_of)
        rules = selector.sections("matchExpressions", MOST_LABELS)
        found = tuple(self.label_rule(rule, key_of) for rule in rules or () if rule.sound)
        selector.close()
        return Selector(labels, found)

    def match_labels(self, labels: Section, key_of: Callable[[str], str]) -> dict[str, str]:
        """Label keys and values, checked; short keys made full."""
        found: dict[str, str] = {}
        if len(labels.given) > MOST_LABELS:
            labels.refuse(f"has {len(labels.given)} labels: give at most {MOST_LABELS}")
        for name in list(labels.given)[:MOST_LABELS]:
            value = labels.take(name, label_value, "")
            try:
                key = key_of(name)
            except ValueError as error:
                labels.refuse(str(error), name)
                continue
            if key in found:
                labels.refuse(f"is a second value for {key}: a pod has only one, so remove either", name)
            found[key] = value
        return found

    def label_rule(self, rule: Section, key_of: Callable[[str], str]) -> LabelRule:
        """One item of matchExpressions."""
        key = rule.take("key", lambda value: key_of(text(value, LONGEST_KEY)), "", "name the label it is about")
        operators = (IN, NOT_IN, EXISTS, DOES_NOT_EXIST)
        operator = rule.take("operator", choice(*operators), "", f"choose one of {', '.join(operators)}")
        values = []
        for index, value in enumerate(rule.items("values", MOST_VALUES) or ()):
            try:
                values.append(label_value(value))
            except ValueError as error:
                rule.refuse(str(error), "values", index, value=value)
        if operator in (IN, NOT_IN) and rule.given.get("values", []) == []:
            rule.refuse(f"is missing: {operator} compares with values, so give at least one", "values")
        elif operator in (EXISTS, DOES_NOT_EXIST) and values:
            rule.refuse(f"belongs to {IN} and {NOT_IN}: remove it, or change the operator", "values")
        rule.close()
        return LabelRule(key, operator, tuple(values))

    def limits(self, spec: Section, ladder: tuple[Rung, ...]) -> tuple[Limit, ...]:
        """The limits, one for a kind of window."""
        way_out = 'state at least one limit, such as limits: [{window: Day, usd: "200.00"}]'
        sections = spec.sections("limits", MOST_LIMITS, way_out)
        if sections == []:
            spec.refuse(f"is empty: {way_out}", "limits")
        found: list[Limit] = []
        for section in sections or ():
            if not section.sound:
                continue
            limit = self.limit(section, ladder)
            if limit.window and any(limit.window == other.window for other in found):
                section.refuse(
                    f"is a second limit for {limit.window}: keep the smaller, it is the one that counts", "window"
                )
            found.append(limit)
        return tuple(found)

    def limit(self, section: Section, inherited: tuple[Rung, ...]) -> Limit:
        """One limit; the inherited ladder counts where it has none of its own."""
        window = section.take("window", choice(*WINDOWS), "", f"choose one of {', '.join(WINDOWS)}")
        nanos = section.take("usd", parse_usd, 0, 'give the amount as a quoted decimal string, such as "200.00"')
        max_age = section.take("maxAge", duration, None)
        if section.has("maxAge") and window not in (RUN, ""):
            section.refuse(
                f"belongs to a limit for Run: a {window} window ends by the calendar, so remove it", "maxAge"
            )
        own = self.ladder(section)
        section.close()
        if window in (RUN, TOTAL):
            for index, rung in enumerate(inherited if own is None else own):
                if rung.action == SLOW and not rung.rate:
                    place = () if own is None else ("ladder", index)
                    whose = "the budget's ladder has a Slow step" if own is None else "is a Slow step"
                    section.refuse(
                        f"{whose}, and a {window} window has no end to pace to: give the step usdPerHour, or give this"
                        " limit a ladder of its own without Slow, such as ladder: []",
                        *place,
                        value=section.given,
                    )
        return Limit(window, nanos, own, max_age)

    def ladder(self, section: Section) -> tuple[Rung, ...] | None:
        """The rungs of a budget or of one limit, ascending; None where no ladder is given."""
        sections = section.sections("ladder", MOST_RUNGS)
        if sections is None:
            return None
        rungs: list[Rung] = []
        for step in sections:
            if not step.sound:
                rungs.append(Rung(0, ""))
                continue
            rung = self.rung(step)
            percents = [earlier.at_percent for earlier in rungs]
            if rung.at_percent and rung.at_percent in percents:
                step.refuse(f"{rung.at_percent} is given twice: give each step a percentage of its own", "atPercent")
            elif rung.at_percent and rung.at_percent < max(percents, default=0):
                step.refuse(
                    f"{rung.at_percent} comes after {max(percents)}: order the steps by rising percentage", "atPercent"
                )
            rungs.append(rung)
        return tuple(rungs)

    def rung(self, step: Section) -> Rung:
        """One step of a ladder."""
        at_percent = step.take("atPercent", whole(1, 99), 0, "give the percentage of money spent, 1 to 99")
        action = step.take("action", choice(WARN, SLOW, DOWNGRADE), "", f"choose {WARN}, {SLOW} or {DOWNGRADE}")
        models = self.downgrades(step)
        mid_conversation = step.take("midConversation", boolean, False)
        rate = step.take("usdPerHour", _rate, 0)
        notify = self.notified(step)
        step.close()
        if action == DOWNGRADE and step.given.get("models", []) == []:
            step.refuse('is missing: say what to use instead, such as [{from: "claude-opus-*", to: …}]', "models")
        for name in ("models", "midConversation") if action and action != DOWNGRADE else ():
            if step.has(name):
                step.refuse(f"belongs to the action {DOWNGRADE}: remove it, or change the action", name)
        if step.has("usdPerHour") and action not in (SLOW, ""):
            step.refuse(f"belongs to the action {SLOW}: remove it, or change the action", "usdPerHour")
        return Rung(at_percent, action, models, rate, notify, mid_conversation)

    def notified(self, step: Section) -> tuple[Notify, ...]:
        """Whom a step tells."""
        found = []
        for target in step.sections("notify", MOST_NOTIFIED) or ():
            if not target.sound:
                continue
            url = target.take("url", _address, "")
            secret = target.section("secretRef")
            if secret is None or not secret.sound:
                found.append(Notify(url))
                if not target.has("url") and not target.has("secretRef"):
                    target.refuse("names nobody: give url, or secretRef where the address is a secret, or both to sign")
            else:
                name = secret.take("name", object_name, "", "name the Secret")
                keys = {k: secret.take(k, _secret_key, d) for k, d in (("key", "url"), ("signingKey", "signing-key"))}
                secret.close()
                found.append(Notify(url, name, keys["key"], keys["signingKey"]))
            target.close()
        return tuple(found)

    def downgrades(self, step: Section) -> tuple[tuple[str, str], ...]:
        """Which model to use for which pattern."""
        sections = step.sections("models", MOST_PATTERNS)
        found: list[tuple[str, str]] = []
        for pair in sections or ():
            if not pair.sound:
                continue
            pattern = pair.take("from", _model, "", 'give the pattern of the model asked for, such as "claude-opus-*"')
            model = pair.take("to", _model, "", "name the model to use instead")
            if "*" in model:
                pair.refuse(f"{shown(model)} is a pattern: name the one model to use", "to")
            if model and model == pattern:
                pair.refuse(f"{shown(model)} is what is asked for already: name a cheaper model", "to")
            pair.close()
            found.append((pattern, model))
        if circle := _circle(found):
            step.refuse(f"goes in a circle ({' -> '.join(circle)}): a downgrade ends at a cheaper model", "models")
        return tuple(found)

    def on_exhausted(self, spec: Section) -> tuple[str, int]:
        """What happens at the limit, and the trickle of Throttle in nano-USD per hour."""
        section = spec.section("onExhausted")
        if section is None or not section.sound:
            return _DEFAULTS.on_exhausted, 0
        action = section.take("action", choice(REFUSE, THROTTLE, ALLOW), "", f"choose {REFUSE}, {THROTTLE} or {ALLOW}")
        needed = 'give the trickle beyond the limit, such as "1.00"' if action == THROTTLE else ""
        trickle = section.take("usdPerHour", _rate, 0, needed)
        if section.has("usdPerHour") and action not in (THROTTLE, ""):
            section.refuse(f"belongs to the action {THROTTLE}: remove it, or change the action", "usdPerHour")
        section.close()
        return action, trickle

    def unpriced(self, spec: Section) -> Unpriced:
        """What to do with a model whose price is not known."""
        section = spec.section("unpricedModels")
        if section is None or not section.sound:
            return _DEFAULTS.unpriced
        action = section.take("action", choice(REFUSE, ALLOW, PRICE_AS), "", f"choose {REFUSE}, {ALLOW} or {PRICE_AS}")
        rates = {}
        for name in ("usdPerMillionInput", "usdPerMillionOutput"):
            needed = 'give the price to count with, such as "5"' if action == PRICE_AS else ""
            rates[name] = section.take(name, _rate, 0, needed)
            if section.has(name) and action not in (PRICE_AS, ""):
                section.refuse(f"belongs to the action {PRICE_AS}: remove it, or change the action", name)
        section.close()
        return Unpriced(action, rates["usdPerMillionInput"], rates["usdPerMillionOutput"])

    def models(self, spec: Section) -> tuple[tuple[str, ...], tuple[str, ...], str]:
        """The patterns of models allowed and denied, and what becomes of hosted tools."""
        section = spec.section("models")
        if section is None or not section.sound:
            return (), (), _DEFAULTS.hosted_tools
        allowed = section.texts("allowed", MOST_PATTERNS, LONGEST_MODEL)
        denied = section.texts("denied", MOST_PATTERNS, LONGEST_MODEL)
        if section.given.get("allowed") in ([], ()):
            section.refuse("is empty, which would allow no model: remove it to allow every model", "allowed")
        hosted_tools = section.take("hostedTools", choice(ALLOW, REFUSE), _DEFAULTS.hosted_tools)
        section.close()
        return allowed or (), denied or (), hosted_tools

    def loops(self, spec: Section) -> Loops:
        """The guard against runs that go round in circles."""
        section = spec.section("loops")
        if section is None or not section.sound:
            return _DEFAULTS.loops
        stated = _DEFAULTS.loops
        action = section.take("action", choice(FLAG, SLOW, REFUSE, OFF, *_LOOP_WORDS), "", _LOOP_ACTIONS)
        multiple = section.take("costMultiple", number(1, 1_000_000, "a multiple"), stated.cost_multiple)
        runs = section.take("minimumRuns", whole(5, 200), stated.minimum_runs)
        cooldown = section.take("cooldown", duration, stated.cooldown)
        if cooldown > LONGEST_COOLDOWN:
            section.refuse(f"{shown(section.given.get('cooldown'))} is too long: give at most 24h", "cooldown")
        usual = section.take("usualRunUSD", _rate, stated.usual_run)
        excepted = section.texts("exceptWorkflows", MOST_PATTERNS, 63)
        section.close()
        return Loops(_LOOP_WORDS.get(action, action) or OFF, multiple, runs, cooldown, usual, excepted or ())


_model = partial(text, most=LONGEST_MODEL)


def _circle(pairs: list[tuple[str, str]]) -> list[str]:
    """The names along a circle of downgrades, the first at both ends; empty where there is none. Patterns name no model."""
    following: dict[str, str] = {}
    for pattern, model in pairs:
        if pattern != model:
            following.setdefault(pattern, model)  # the first that fits counts
    for start in following:
        way = [start]
        while (after := following.get(way[-1])) is not None and after not in way:
            way.append(after)
        if after == start:
            return [*way, start]
    return []


def _zone(value: object) -> str:
    """A reader of IANA zones, which names the nearest one."""
    name = text(value)
    try:
        zone_of(name)
    except ValueError as error:
        meant = nearest(name, available_timezones())
        hint = f"did you mean {meant}?" if meant else "write its area and city, such as Europe/Berlin, or UTC"
        raise ValueError(f"{error}: {hint}") from error
    return name


def _address(value: object) -> str:
    """A reader of addresses that take a POST; where they lead is looked at when one is sent."""
    found = text(value, LONGEST_ADDRESS)
    if not re.fullmatch(r"https?://[!-~]+", found):
        raise ValueError(f"{shown(value)} is not an address: write https:// and a host")
    return found


def _secret_key(value: object) -> str:
    """A reader of keys within a Secret (core/v1: letters, digits, '-', '_' and '.')."""
    found = text(value, LONGEST_SECRET_KEY)
    if not re.fullmatch(r"[-._a-zA-Z0-9]+", found):
        raise ValueError(f"{shown(value)} is not a key of a Secret: use letters, digits, '-', '_' and '.'")
    return found


def _rate(value: object) -> int:
    """A reader of prices and rates: dollars, more than none."""
    if not (nanos := parse_usd(value)):
        raise ValueError(f"{shown(value)} is nothing: give more than that")
    return nanos


def _refusal_status(value: object) -> int:
    """A reader of the status of a refusal."""
    if not isinstance(value, int) or value not in (402, 429):
        raise ValueError(f"{shown(value)} is not a refusal's status: choose 402, or 429 for clients that know no 402")
    return int(value)
