"""The tables of usage that are coarser than minutes, and how far each reaches; a step of the schema, never edited once released."""

_COARSE_COUNTS = """
        calls INTEGER NOT NULL,
        refused INTEGER NOT NULL,
        input_tokens INTEGER NOT NULL,
        cache_read_tokens INTEGER NOT NULL,
        cache_write_tokens INTEGER NOT NULL,
        output_tokens INTEGER NOT NULL,
        reasoning_tokens INTEGER NOT NULL,
        nanos INTEGER NOT NULL,
        list_nanos INTEGER NOT NULL"""


def _coarse(table: str, unit: str, run: str, run_type: str) -> str:
    """A table of usage that is coarser than minutes: ``run`` names its column for the run, or for whether there was one."""
    return f"""CREATE TABLE {table} (
        {unit} INTEGER NOT NULL,
        namespace TEXT NOT NULL,
        team TEXT NOT NULL,
        feature TEXT NOT NULL,
        workflow TEXT NOT NULL,
        {run} {run_type} NOT NULL,
        agent TEXT NOT NULL,
        provider TEXT NOT NULL,
        model TEXT NOT NULL,
        served_model TEXT NOT NULL,
        outcome TEXT NOT NULL,
        estimated INTEGER NOT NULL,
        prices TEXT NOT NULL,{_COARSE_COUNTS},
        PRIMARY KEY ({unit}, namespace, team, feature, workflow, {run}, agent, provider, model, served_model, outcome,
                     estimated, prices)
    ) STRICT, WITHOUT ROWID"""


ROLL_UPS = (
    _coarse("usage_hour", "hour", "has_run", "INTEGER"),
    _coarse("usage_day", "day", "has_run", "INTEGER"),
    _coarse("usage_run", "hour", "run", "TEXT"),
    """CREATE TABLE usage_marks (
        one INTEGER PRIMARY KEY CHECK (one = 1),
        minutes_to INTEGER NOT NULL,
        hours_to INTEGER NOT NULL,
        minutes_from INTEGER NOT NULL,
        hours_from INTEGER NOT NULL,
        days_from INTEGER NOT NULL,
        runs_from INTEGER NOT NULL,
        CHECK (minutes_from <= minutes_to AND hours_from <= hours_to AND hours_to * 60 <= minutes_to)
    ) STRICT""",
    "INSERT INTO usage_marks VALUES (1, 0, 0, 0, 0, 0, 0)",
)
"""The statements of the step."""
