"""Reads databases without harm: fetch, end the transaction, hand on."""
