"""Projections of the ledger that people and programs read."""
