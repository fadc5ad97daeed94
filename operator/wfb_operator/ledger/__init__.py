"""The ledger: grants, usage and stages behind a small HTTP service."""
