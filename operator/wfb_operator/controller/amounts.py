"""How a status writes money and moments."""

from datetime import UTC, datetime


def cents(usd: str) -> str:
    """An amount with two decimals at least, and more only where there are more."""
    whole, _, decimals = usd.partition(".")
    return f"{whole}.{decimals.rstrip('0').ljust(2, '0')}"


def rfc3339(moment: float) -> str:
    """A moment as the API writes it, whole seconds in UTC."""
    return datetime.fromtimestamp(int(moment), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
