"""Prometheus exporter for Parsl's monitoring database."""
