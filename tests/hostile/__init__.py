"""Attacks by name, through the command as a process or the real reader, with time and memory bounded."""
