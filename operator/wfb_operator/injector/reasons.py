"""What became of a pod, why, and what its owner is told: reasons are data, and a warning names its way out."""

from dataclasses import dataclass

INJECTED, UNCHANGED, SKIPPED, DENIED = "injected", "unchanged", "skipped", "denied"
OUTCOMES = (INJECTED, UNCHANGED, SKIPPED, DENIED)

REASONS = {
    "Injected": "The pod gets the sidecar.",
    "AlreadyInjected": "The pod has the sidecar as it should be.",
    "NotAsked": "Neither the pod nor its namespace asks for the sidecar.",
    "OptedOut": "The pod says aifinops.dev/inject=false.",
    "HostNetwork": "The pod uses the node's network, whose traffic is not its own to redirect: its calls are not counted.",
    "Windows": "The pod is for Windows nodes, for which there is no sidecar: its calls are not counted.",
    "MirrorPod": "The pod is a node's own (a mirror of a static pod) and cannot be changed.",
    "OurUser": "A container would run as the sidecar's user, whose traffic passes uncounted.",
    "OurName": "A container or volume has a name of the sidecar's and is not the sidecar's.",
    "SharedProcesses": "The pod shares one process namespace: any container could read the sidecar's memory.",
    "UnknownMode": "The mode is none that there is.",
    "BadAnnotation": "An annotation's value means nothing.",
}
"""A sentence for each reason."""

PROXY_INSTEAD = "ProxyInstead"
KEPT_VARIABLE = "KeptVariable"
KEPT_PROXY = "KeptProxy"


@dataclass(frozen=True, slots=True)
class Warned:
    """Something that the owner should know: what was found, and the way out."""

    name: str
    message: str


@dataclass(frozen=True, slots=True)
class Report:
    """What became of one pod."""

    outcome: str
    reason: str
    message: str = ""
    warnings: tuple[Warned, ...] = ()
    mode: str = ""

    def __post_init__(self) -> None:
        assert self.reason in REASONS, self.reason

    @property
    def sentence(self) -> str:
        """The reason's sentence, with what is special here."""
        return f"{REASONS[self.reason]} {self.message}".strip()
