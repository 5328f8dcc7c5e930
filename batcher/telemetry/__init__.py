"""Events to progress and log lines; no influence on the run."""
