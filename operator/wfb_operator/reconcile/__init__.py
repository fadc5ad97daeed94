"""A provider's own export of usage or cost against our books: what drifts, by day and model, and the likely reasons."""
