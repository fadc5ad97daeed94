"""The API of a Kubernetes, however it came to be: kubectl, documents, the official client."""

import json
import os
import re
import shutil
import ssl
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from harness.until import until

from cluster import kubeconfig as kubeconfig_file
from cluster.binaries import find
from cluster.certificates import Authority
from cluster.refusals import NotHereError


@dataclass
class Api:
    """One API server and an administrator's way in."""

    kubeconfig: Path
    """Of an administrator; whole in itself."""
    folder: Path
    """Where files that belong to it may be written."""
    program: Path | None = None
    """The kubectl to use; the one built with the cluster, or else the one on PATH."""
    authority: Authority | None = field(default=None, kw_only=True)
    """Who signs for it, where that is ours."""

    @cached_property
    def _server(self) -> kubeconfig_file.Server:
        return kubeconfig_file.read(self.kubeconfig)

    @property
    def url(self) -> str:
        """Where it listens, such as https://127.0.0.1:40123."""
        return self._server.url

    @cached_property
    def ca(self) -> Path:
        """What its certificate is checked against, as a PEM file."""
        path = self.folder / "server-ca.crt"
        path.write_bytes(self._server.root)
        return path

    def environment(self, env: Mapping[str, str] | None = None) -> dict[str, str]:
        """What a program that talks to the API inherits: KUBECONFIG, and nothing that sends it elsewhere."""
        kept = {key: value for key, value in os.environ.items() if not re.fullmatch("(?i)(https?|all|no)_proxy", key)}
        return {**kept, "KUBECONFIG": str(self.kubeconfig), **(env or {})}

    def run(
        self,
        argv: Sequence[str],
        *,
        input: str | None = None,  # noqa: A002  # as subprocess.run calls it
        check: bool = True,
        timeout: float = 120.0,
        env: Mapping[str, str] | None = None,
    ) -> subprocess.CompletedProcess[str]:
        """Runs a command that is to talk to it; raises AssertionError with what it printed unless it succeeds or `check` is off."""
        done = subprocess.run(
            list(argv),
            input=input,
            stdin=None if input is not None else subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=timeout,
            env=self.environment(env),
        )
        if check and done.returncode:
            shown = " ".join(map(str, argv))
            raise AssertionError(f"{shown}: status {done.returncode}\n{done.stdout[-4000:]}{done.stderr[-4000:]}")
        return done

    def kubectl(
        self,
        *args: str,
        input: str | None = None,  # noqa: A002  # as subprocess.run calls it
        kubeconfig: Path | None = None,
        timeout: float = 120.0,
    ) -> str:
        """What kubectl prints; raises AssertionError with its message where it fails. Another `kubeconfig` is another user."""
        done = self.try_kubectl(*args, input=input, kubeconfig=kubeconfig, timeout=timeout)
        if done.returncode:
            raise AssertionError(f"kubectl {' '.join(args)}: {done.stderr.strip() or done.stdout.strip()}")
        return done.stdout

    def try_kubectl(
        self,
        *args: str,
        input: str | None = None,  # noqa: A002  # as subprocess.run calls it
        kubeconfig: Path | None = None,
        timeout: float = 120.0,
    ) -> subprocess.CompletedProcess[str]:
        """As `kubectl`, but whatever its status: for what must be refused."""
        program = self.program or find("kubectl") or shutil.which("kubectl")
        if not program:
            raise NotHereError("kubectl is not installed: https://kubernetes.io/docs/tasks/tools/")
        command = [str(program), "--cache-dir", str(self.folder / "kubectl-cache"), *args]
        env = {"KUBECONFIG": str(kubeconfig or self.kubeconfig)}
        return self.run(command, input=input, check=False, timeout=timeout, env=env)

    def apply(self, documents: Mapping[str, Any] | Iterable[Mapping[str, Any]], *args: str) -> str:
        """Server-side apply of documents, with conflicts taken over; unknown fields are refused."""
        items = [documents] if isinstance(documents, Mapping) else list(documents)
        text = json.dumps({"apiVersion": "v1", "kind": "List", "items": items})
        common = ("--server-side", "--force-conflicts", "--field-manager=tests", "--validate=strict")
        return self.kubectl("apply", *common, "-f", "-", *args, input=text)

    def get(self, *args: str) -> Any:
        """``kubectl get … -o json``, parsed."""
        return json.loads(self.kubectl("get", *args, "-o", "json"))

    def wait_established(self, *kinds: str) -> None:
        """Until custom resource definitions serve their kinds.

        ``kubectl wait`` fails at once on one whose status has no conditions yet.
        """
        for kind in kinds:
            until(lambda kind=kind: self._established(kind), f"{kind} established", 30)

    def _established(self, kind: str) -> bool:
        conditions = self.get("crd", kind).get("status", {}).get("conditions") or ()
        return any(one["type"] == "Established" and one["status"] == "True" for one in conditions)

    def client(self) -> Any:
        """A new ``kubernetes.client.ApiClient`` of the administrator."""
        from kubernetes import client, config  # takes half a second that few tests need

        settings = client.Configuration()
        config.load_kube_config(str(self.kubeconfig), client_configuration=settings)
        return client.ApiClient(settings)

    def user(self, name: str, groups: Sequence[str] = ()) -> Path:
        """The kubeconfig of a person: RBAC decides what a new name may do, which is nothing."""
        if not self.authority:
            raise NotHereError(f"the cluster of {self.kubeconfig} signs no certificates for tests")
        file = re.sub(r"[^\w.-]", "-", f"user-{name}")
        pair = self.authority.sign(file, name, groups)
        return kubeconfig_file.write(self.folder / f"{file}.kubeconfig", self.url, self.authority.root, pair)

    def answers(self) -> bool:
        """Whether it says that it is ready."""
        context = ssl.create_default_context(cadata=self._server.root.decode()) if self._server.root else None
        try:
            with urllib.request.build_opener(
                urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context)
            ).open(f"{self.url}/readyz", timeout=5) as answer:
                return answer.status == 200
        except (urllib.error.URLError, OSError):
            return False
