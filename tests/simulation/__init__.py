"""Whole nights in virtual time, one for each seed; `night.py` draws them, `judge.py` says what must be true of them."""
