"""batcher: provision Enterprise Router flow logs in bulk."""

__version__ = "0.1.0"
