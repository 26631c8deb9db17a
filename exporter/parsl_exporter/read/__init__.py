"""Readers: SQL in, rows out. They know nothing of Prometheus."""
