"""The variables by which programs find what to trust: combined roots where a variable replaces, ours alone where it adds.

Sources: research of each runtime's own documentation: OpenSSL and Go (SSL_CERT_FILE), requests and curl (…_CA_BUNDLE),
botocore (AWS_CA_BUNDLE), gRPC C-core (GRPC_DEFAULT_SSL_ROOTS_FILE_PATH), git, Node and Deno. SSL_CERT_DIR is never set:
then OpenSSL and Go still read the image's own directory.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from wfb_operator.injector.names import OVERRIDE_TRUST, TRUST_PATH
from wfb_operator.injector.reasons import KEPT_VARIABLE, Warned

BUNDLE, LONE, JAVA_STORE = f"{TRUST_PATH}/ca-bundle.pem", f"{TRUST_PATH}/ca.pem", f"{TRUST_PATH}/truststore.p12"

VARIABLES = {
    "SSL_CERT_FILE": BUNDLE,
    "REQUESTS_CA_BUNDLE": BUNDLE,
    "CURL_CA_BUNDLE": BUNDLE,
    "AWS_CA_BUNDLE": BUNDLE,
    "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH": BUNDLE,
    "GIT_SSL_CAINFO": BUNDLE,
    "NODE_EXTRA_CA_CERTS": LONE,
    "DENO_CERT": LONE,
}
JAVA_OPTIONS = (
    f"-Djavax.net.ssl.trustStore={JAVA_STORE} -Djavax.net.ssl.trustStoreType=PKCS12"
    " -Djavax.net.ssl.trustStorePassword=changeit"
)
"""The password is Java's own default and no secret: the store holds certificates alone."""


def trusting(
    container: Mapping[str, Any], annotations: Mapping[str, str], *, java: bool
) -> tuple[list[dict[str, Any]], list[Warned]]:
    """A container's environment with the variables that it lacks, and a warning for each that it sets itself.

    What a user set stays, unless the annotation says to override it: a private root in it would be lost in silence.
    """
    environment = [dict(entry) for entry in container.get("env") or ()]
    override = annotations.get(OVERRIDE_TRUST) == "true"
    warnings: list[Warned] = []
    for name, value in VARIABLES.items():
        found = next((entry for entry in environment if entry["name"] == name), None)
        if found is None:
            environment.append({"name": name, "value": value})
        elif found.get("value") == value:
            continue
        elif override:
            environment[environment.index(found)] = {"name": name, "value": value}
        else:
            warnings.append(_kept(container, name))
    if java:
        environment = _with_java(environment)
    return environment, warnings


def _kept(container: Mapping[str, Any], name: str) -> Warned:
    return Warned(
        KEPT_VARIABLE,
        f"container {container.get('name')} sets {name} itself, so programs that read it will not trust the sidecar and"
        f" fail on calls to providers: take it away and name your roots in aifinops.dev/extra-ca-configmap, or set"
        f' {OVERRIDE_TRUST}: "true"',
    )


def _with_java(environment: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Appended to what is there: a second variable of one name would hide the first."""
    name = "JAVA_TOOL_OPTIONS"
    found = next((entry for entry in environment if entry["name"] == name), None)
    if found is None:
        return [*environment, {"name": name, "value": JAVA_OPTIONS}]
    if "value" not in found or JAVA_OPTIONS in found["value"]:
        return list(environment)
    changed = {"name": name, "value": f"{found['value']} {JAVA_OPTIONS}".strip()}
    return [changed if entry is found else entry for entry in environment]
