"""What batcher adds to inventory rows that it gives back: why each is there. It is ignored when it is read."""

REMARK_COLUMNS = ("batcher.outcome", "batcher.error_code", "batcher.error_message")
"""The last columns of `failed.csv` and `pending.csv`."""
