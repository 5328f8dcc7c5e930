"""Hostile input for every reader: whatever bytes come, only our own errors leave, and only sound values.

A file here is a reader. Its `check(data)` gives the bytes to the real reader and raises on anything that is neither a
deliberate error with a bounded message nor a sound value; `SEEDS` are good and bad inputs to start from, `TOKENS`
words that a mutation is unlikely to find. pytest tries the seeds and some random inputs (`test_readers.py`). A long
search that is led by the coverage of `batcher` is a command, and needs the extra `fuzz`:

    python -m tests.fuzz csv --inputs 100000
    python -m tests.fuzz all --inputs 100000
"""
