"""Lanes, attempts and pace: the work on a recorded plan."""
