"""Anomalies of one workflow's spend: what is usual at this hour of the week, what is not, and the likely cause in words.

A workflow is compared with itself alone. What is usual is the median of the same hour of former weeks, or of the same
hour of former days while weeks are few. How far it usually strays is the median deviation of the logarithm, so that one
bad night spoils neither; a quiet quarter of an hour adds the chance of few calls. See judge.
"""

from wfb_core.anomaly.baseline import Baseline, learn
from wfb_core.anomaly.judge import NORMAL, SPIKE, UNKNOWN, Verdict, judge
from wfb_core.anomaly.sums import Sums

__all__ = ["NORMAL", "SPIKE", "UNKNOWN", "Baseline", "Sums", "Verdict", "judge", "learn"]
