"""Raw rows to a recorded plan."""
