"""Who may read the metrics: whoever has the token of a file, where there is one; it is read anew at each scrape."""

import hmac


class MetricsAccess:
    """A bearer token in a file, which may be replaced while the ledger runs."""

    def __init__(self, path: str) -> None:
        """Raises OSError where the file cannot be read, ValueError where it holds no token."""
        self._path = path
        self._token()

    def allowed(self, authorization: str) -> bool:
        """Whether an Authorization header has the token; nobody's has while the file cannot be read."""
        kind, _, token = authorization.partition(" ")
        try:
            wanted = self._token()
        except (OSError, ValueError):
            return False
        return kind.lower() == "bearer" and hmac.compare_digest(token.strip().encode(), wanted.encode())

    def _token(self) -> str:
        with open(self._path, encoding="ascii") as file:
            token = file.read().strip()
        if not token or any(character.isspace() for character in token):
            raise ValueError("it holds no token: write one line of ASCII without spaces")
        return token
