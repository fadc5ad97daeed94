"""A budget as the decision reads it: the parsed, checked form of a WorkflowBudget's spec."""

from collections.abc import Mapping
from dataclasses import dataclass, field

RUN, TOTAL = "Run", "Total"
WINDOWS = ("Hour", "Day", "Week", "Month", "Quarter", "Year", RUN, TOTAL)
"""The kinds of window a limit may have, shortest first; Run and Total have no end in the calendar."""

WARN, SLOW, DOWNGRADE = "Warn", "Slow", "Downgrade"
REFUSE, THROTTLE, ALLOW, PRICE_AS = "Refuse", "Throttle", "Allow", "PriceAs"
ENFORCE, REPORT = "Enforce", "Report"
FAIL, IGNORE = "Fail", "Ignore"
AUTO, READ_ON, CLOSE = "Auto", "ReadOn", "Close"
"""What becomes of a stream that its client leaves: by what is known of the provider, read to its end, or closed."""
CLAMP, STRICT, ADAPTIVE = "Clamp", "Strict", "Adaptive"
OFF, FLAG = "Off", "Flag"
IN, NOT_IN, EXISTS, DOES_NOT_EXIST = "In", "NotIn", "Exists", "DoesNotExist"


@dataclass(frozen=True, slots=True)
class Notify:
    """Whom to tell when a window reaches a rung; the address may itself be a secret."""

    url: str = ""
    """Empty where the Secret holds it."""
    secret: str = ""
    """The name of a Secret; empty where there is none, and the notice bears no signature."""
    url_key: str = "url"
    """The key of the address within the Secret, read only where ``url`` is empty."""
    signing_key: str = "signing-key"
    """The key within the Secret of what notices are signed with."""


@dataclass(frozen=True, slots=True)
class Rung:
    """One step of a ladder: what changes from a percentage of money spent on."""

    at_percent: int
    action: str
    models: tuple[tuple[str, str], ...] = ()
    """For Downgrade: (pattern of the model asked for, model to use)."""
    rate: int = 0
    """For Slow: nano-USD per hour to pace to; 0 paces what is left over the rest of the window."""
    notify: tuple[Notify, ...] = ()
    mid_conversation: bool = False
    """For Downgrade: whether conversations that have begun change their model too."""

    def reached(self, spent: int, limit: int) -> bool:
        """Whether so much of a limit is spent, both in nano-USD; what ends the money takes no rung back."""
        return spent * 100 >= self.at_percent * limit


@dataclass(frozen=True, slots=True)
class Limit:
    """One amount for one kind of window."""

    window: str
    nanos: int
    ladder: tuple[Rung, ...] | None = None
    """A ladder of its own; None takes the budget's."""
    max_age: float | None = None
    """Seconds after which a run's rows may be forgotten; Run only."""


@dataclass(frozen=True, slots=True)
class Unpriced:
    """What to do with a call whose price is not known."""

    action: str = REFUSE
    input_rate: int = 0
    """PriceAs: nano-USD per million input tokens."""
    output_rate: int = 0
    """PriceAs: nano-USD per million output tokens."""


@dataclass(frozen=True, slots=True)
class Loops:
    """The guard against runs that go round in circles: how far it may go, and from what on."""

    action: str = OFF
    """OFF, FLAG, SLOW or REFUSE: the strictest thing that is done about a loop."""
    cost_multiple: float = 10.0
    """A run that costs this many times the median of its workflow's runs is a loop, whatever its calls look like."""
    minimum_runs: int = 20
    """Runs that must have been seen before their median counts."""
    cooldown: float = 300.0
    """Seconds for which a refused run stays refused before a call is let through to try."""
    usual_run: int = 0
    """Nano-USD that a run is taken to cost until enough were seen; 0 does nothing until then."""
    except_workflows: tuple[str, ...] = ()
    """Workflows that the guard leaves alone."""


@dataclass(frozen=True, slots=True)
class LabelRule:
    """One rule on a label, as Kubernetes means it (LabelSelectorRequirement): NotIn also holds where there is no label."""

    key: str
    operator: str
    values: tuple[str, ...] = ()
    """For In and NotIn."""

    def holds(self, labels: Mapping[str, str]) -> bool:
        """Whether an object with these labels keeps the rule."""
        if self.operator in (IN, NOT_IN):
            return (labels.get(self.key) in self.values) == (self.operator == IN)
        return (self.key in labels) == (self.operator == EXISTS)


@dataclass(frozen=True, slots=True)
class Selector:
    """Which objects are meant, by their labels: those that have all of the labels and keep all of the rules."""

    labels: Mapping[str, str] = field(default_factory=dict)
    rules: tuple[LabelRule, ...] = ()

    def selects(self, labels: Mapping[str, str]) -> bool:
        """Whether an object with these labels is meant; an empty selector means every one."""
        return all(labels.get(k) == v for k, v in self.labels.items()) and all(r.holds(labels) for r in self.rules)


@dataclass(frozen=True, slots=True)
class Budget:
    """One WorkflowBudget; fields as in the kind's schema, money in nano-USD, durations in seconds."""

    namespace: str
    name: str
    match_labels: dict[str, str]
    limits: tuple[Limit, ...]
    time_zone: str = "UTC"
    ladder: tuple[Rung, ...] = ()
    on_exhausted: str = REFUSE
    trickle: int = 0
    """For Throttle: nano-USD per hour beyond the limit."""
    enforcement: str = ENFORCE
    failure_policy: str = FAIL
    output_bound: str = CLAMP
    unpriced: Unpriced = field(default_factory=Unpriced)
    models_allowed: tuple[str, ...] = ()
    models_denied: tuple[str, ...] = ()
    hosted_tools: str = ALLOW
    """Tools that the provider runs itself and bills beside tokens: ALLOW or REFUSE."""
    wait_seconds: float = 30.0
    max_delay_seconds: float = 20.0
    on_disconnect: str = AUTO
    refusal_status: int = 402
    suspend: bool = False
    loops: Loops = field(default_factory=Loops)
    match_rules: tuple[LabelRule, ...] = ()
    """Beside ``match_labels``: what a pod's labels must keep."""
    namespace_selector: Selector = field(default_factory=Selector)
    """A cluster's budget: the namespaces whose pods it is for, by their labels; empty means all."""

    @property
    def key(self) -> str:
        """``namespace/name``, for a cluster's budget ``/name``: the part of a window id that names the budget."""
        return f"{self.namespace}/{self.name}"

    def ladder_of(self, limit: Limit) -> tuple[Rung, ...]:
        """The rungs that count for a limit."""
        return self.ladder if limit.ladder is None else limit.ladder

    @property
    def tells(self) -> bool:
        """Whether a rung names somebody to tell."""
        return any(rung.notify for limit in self.limits for rung in self.ladder_of(limit))

    @property
    def selector(self) -> Selector:
        """Which pods are meant, by their own labels."""
        return Selector(self.match_labels, self.match_rules)

    def matches(self, labels: Mapping[str, str], namespace_labels: Mapping[str, str] | None = None) -> bool:
        """Whether a pod with these labels is within the budget; the name of its namespace is for the caller to compare.

        ``namespace_labels`` are those of the pod's namespace. None is for a pod outside Kubernetes, which has no
        namespace: what the budget asks of namespaces is not asked of it.
        """
        if namespace_labels is not None and not self.namespace_selector.selects(namespace_labels):
            return False
        return self.selector.selects(labels)
