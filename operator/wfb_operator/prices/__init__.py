"""Prices: public price data compiled into the snapshot that sidecars and ledger read."""
