"""A local Enterprise Router API to rehearse against, with what it needs of IAM and LTS; imports nothing of batcher."""
