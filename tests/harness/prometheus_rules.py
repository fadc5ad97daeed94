"""The chart's rules as Prometheus gets them, and stories for ``promtool test rules``."""

import re
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

CHART = Path(__file__).resolve().parents[2] / "helm" / "workflow-budget-operator"
RULES = CHART / "files" / "monitoring" / "rules.yaml"


def rules_text(**thresholds: Any) -> str:
    """The rules with the chart's own thresholds, or others."""
    alerts = yaml.safe_load((CHART / "values.yaml").read_text())["alerts"]
    text = RULES.read_text()
    for name, value in {**alerts["thresholds"], "runbooks": alerts["runbooks"], **thresholds}.items():
        text = text.replace(f"<<{name}>>", str(value))
    head, _, rest = text.partition("\ngroups:")
    assert head.startswith("#")
    assert not re.search("<<.*>>", rest)
    return text


def alerts() -> list[dict[str, Any]]:
    """All alerts."""
    groups = yaml.safe_load(rules_text())["groups"]
    return [rule for group in groups for rule in group["rules"] if "alert" in rule]


def pieces(*parts: tuple[float, float, int]) -> list[float]:
    """Samples of pieces (first, step, number), each beginning with its first value."""
    return [first + step * n for first, step, number in parts for n in range(number)]


def written(values: Iterable[float | str]) -> str:
    """Samples as promtool reads them; "_" is a scrape that failed."""
    return " ".join(v if isinstance(v, str) else f"{v:.9g}" for v in values)


def told(
    folder: Path,
    promtool: str,
    series: Mapping[str, Sequence[float | str]],
    expected: Sequence[tuple[str, str, Sequence[Mapping[str, str]]]],
    values: Sequence[tuple[str, str, float]] = (),
    interval: str = "1m",
) -> str:
    """What promtool says of a story, empty where all is as expected.

    ``expected`` are (time, alert, the labels of those that fire), ``values`` (time, expression, the value of its one series).
    """
    (folder / "rules.yaml").write_text(rules_text())
    severities = {alert["alert"]: alert["labels"]["severity"] for alert in alerts()}
    asked = [{"expr": e, "eval_time": at, "exp_samples": [{"labels": "{}", "value": v}]} for at, e, v in values]
    for at, alert, firing in expected:
        # Annotations hold figures; which alerts fire is asked of the series that Prometheus keeps of them.
        own = {"__name__": "ALERTS", "alertname": alert, "alertstate": "firing", "severity": severities[alert]}
        samples = [{"labels": _labels(own | dict(labels)), "value": 1} for labels in firing]
        expression = f'ALERTS{{alertname="{alert}",alertstate="firing"}}'
        asked.append({"expr": expression, "eval_time": at, "exp_samples": samples})
    story = {
        "interval": interval,
        "input_series": [{"series": name, "values": written(v)} for name, v in series.items()],
        "promql_expr_test": asked,
    }
    document = {"rule_files": ["rules.yaml"], "evaluation_interval": interval, "tests": [story]}
    (folder / "story.yaml").write_text(yaml.safe_dump(document))
    command = [promtool, "test", "rules", "story.yaml"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    return "" if done.returncode == 0 else done.stdout + done.stderr


def _labels(labels: Mapping[str, str]) -> str:
    name = labels["__name__"]
    rest = ",".join(f'{k}="{v}"' for k, v in sorted(labels.items()) if k != "__name__")
    return f"{name}{{{rest}}}"
