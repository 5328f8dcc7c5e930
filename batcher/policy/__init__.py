"""Pure decisions: values in, a value out; no await, clock, chance or files."""
