"""Names that the injector gives and reads: containers, volumes, labels, annotations, ports and the one user."""

PREFIX = "aifinops.dev/"

INJECT = PREFIX + "inject"
"""Label of a pod or a namespace: "true" asks for the sidecar, "false" on a pod always wins."""
MODE = PREFIX + "mode"
EXCLUDE_PORTS = PREFIX + "exclude-outbound-ports"
EXCLUDE_CIDRS = PREFIX + "exclude-outbound-cidrs"
OVERRIDE_TRUST = PREFIX + "override-trust-env"
EXTRA_CA = PREFIX + "extra-ca-configmap"
JAVA = PREFIX + "java-truststore"
RESOURCES = {
    PREFIX + "sidecar-cpu-request": ("requests", "cpu"),
    PREFIX + "sidecar-memory-request": ("requests", "memory"),
    PREFIX + "sidecar-cpu-limit": ("limits", "cpu"),
    PREFIX + "sidecar-memory-limit": ("limits", "memory"),
}
"""Annotations that size the sidecar, by what they size."""
INJECTED = PREFIX + "injected"
"""Annotation that says what was done: ``{"version": …, "mode": …}``."""

READ = (MODE, EXCLUDE_PORTS, EXCLUDE_CIDRS, OVERRIDE_TRUST, EXTRA_CA, JAVA, *RESOURCES)
"""Annotations that a pod inherits from its namespace unless it has them itself."""

SIDECAR, REDIRECT = "wfb-sidecar", "wfb-redirect"
TRUST, STATE, TOKEN, EXTRA = "wfb-trust", "wfb-state", "wfb-token", "wfb-extra-ca"
CONTAINERS = (REDIRECT, SIDECAR)
VOLUMES = (TRUST, STATE, TOKEN, EXTRA)

TRUST_PATH, STATE_PATH, TOKEN_PATH, EXTRA_PATH = (
    "/var/run/wfb/trust",
    "/var/run/wfb/state",
    "/var/run/wfb/token",
    "/var/run/wfb/extra-ca",
)

UID = 64802
"""The sidecar's user and group: none of those that meshes take (1337 Istio, 2102 Linkerd, 5995 Consul, 100 Vault)."""

TRANSPARENT_PORT, PROXY_PORT, BASE_URL_PORT, HEALTH_PORT = 64811, 64812, 64813, 64814

TRANSPARENT, PROXY_ENV, BASE_URL = "transparent", "proxy-env", "base-url"
MODES = (TRANSPARENT, PROXY_ENV, BASE_URL)

AUDIENCE = "wfb.aifinops.dev"
