"""Families: what is published of a run, and how it is written down."""
