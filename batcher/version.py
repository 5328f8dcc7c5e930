"""The version of batcher, in a file of its own: everything may name it, and it names nothing."""

__version__ = "0.1.0"
