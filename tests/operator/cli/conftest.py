"""`wfb` as a new user starts it: a process with a clean environment and a state folder of its own."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

KEPT = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "PYTHONPATH", "VIRTUAL_ENV", "LD_LIBRARY_PATH")

PYTHON = sys.executable


@dataclass
class Wfb:
    """The command line, with everything it keeps below one folder."""

    folder: Path
    env: dict[str, str] = field(default_factory=dict)

    @property
    def state(self) -> Path:
        """The state folder that is used where no other is given."""
        return self.folder / "xdg" / "wfb"

    def environment(self, **more: str) -> dict[str, str]:
        """What a `wfb` process is started with."""
        clean = {name: os.environ[name] for name in KEPT if name in os.environ}
        return {**clean, "XDG_STATE_HOME": str(self.folder / "xdg"), **self.env, **more}

    def run(self, *arguments: str, stdin: str = "", **env: str) -> subprocess.CompletedProcess[str]:
        """Runs it to its end."""
        return subprocess.run(
            self.command(*arguments),
            check=False,
            cwd=self.folder,
            env=self.environment(**env),
            input=stdin,
            capture_output=True,
            text=True,
            timeout=90,
        )

    def start(self, *arguments: str, **options: Any) -> subprocess.Popen[str]:
        """Starts it; its standard output and error are pipes unless told otherwise."""
        streams = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        return subprocess.Popen(
            self.command(*arguments), cwd=self.folder, env=self.environment(), text=True, **(streams | options)
        )

    def command(self, *arguments: str) -> list[str]:
        """The command line."""
        return [PYTHON, "-m", "wfb_operator.cli.main", *map(str, arguments)]

    def budget(self, file: str = "budget.yaml", name: str = "triage", usd: str = "5.00", **spec: Any) -> Path:
        """Writes a file with one budget of workflow `triage` in namespace `billing`; JSON is YAML too."""
        document = {
            "apiVersion": "aifinops.dev/v1alpha1",
            "kind": "WorkflowBudget",
            "metadata": {"name": name, "namespace": "billing"},
            "spec": {
                "selector": {"matchLabels": {"aifinops.dev/workflow": "triage"}},
                "limits": [{"window": "Day", "usd": usd}],
                **spec,
            },
        }
        path = self.folder / file
        part = path.with_suffix(".part")
        part.write_text(json.dumps(document, indent=1))
        part.replace(path)
        return path


@pytest.fixture
def wfb(tmp_path):
    """The command line, alone in a folder."""
    return Wfb(tmp_path)
