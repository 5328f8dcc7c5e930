"""The socket beside the ledger through which a run at work is asked and changed."""
