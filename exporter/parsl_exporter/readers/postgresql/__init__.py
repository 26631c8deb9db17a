"""Reads PostgreSQL servers."""
