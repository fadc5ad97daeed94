"""Metering recorded traffic: files in, one row an exchange out. Data flows har | flow -> exchange -> measure -> row -> totals."""
