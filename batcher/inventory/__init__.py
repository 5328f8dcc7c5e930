"""Bytes of an inventory file to raw rows with their line numbers."""
