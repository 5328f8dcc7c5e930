"""The durable truth about runs and rows."""
