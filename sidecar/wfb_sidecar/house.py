"""Everything one sidecar is made of, put together once and handed to whoever needs it."""

from dataclasses import dataclass

from mitmproxy import options as mitm_options

from wfb_core.hosts import Hosts
from wfb_sidecar.body_gate import BodyGate
from wfb_sidecar.calls import Calls
from wfb_sidecar.certificates import Certificates
from wfb_sidecar.heap import Heap
from wfb_sidecar.metrics import Metrics
from wfb_sidecar.upstream_tls import UpstreamTls


@dataclass(frozen=True, slots=True)
class House:
    """The parts; no logic."""

    options: mitm_options.Options
    hosts: Hosts
    calls: Calls
    certificates: Certificates
    upstream_tls: UpstreamTls
    gate: BodyGate
    heap: Heap
    metrics: Metrics
    connect_to: dict[tuple[str, int], tuple[str, int]]
    upstream_proxy: tuple[str, tuple[str, int]] | None

    def connect_address(self, address: tuple[str, int]) -> tuple[str, int]:
        """Where to connect for a host and port."""
        return self.connect_to.get((address[0], address[1]), address)
