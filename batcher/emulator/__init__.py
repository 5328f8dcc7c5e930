"""A local Enterprise Router API to rehearse against; imports nothing of batcher."""
