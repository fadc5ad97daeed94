"""Where the ledger writes down what it hands out: a port, and an adapter for SQLite."""
