"""Random worlds in which a plan is held to the run that follows it, and to that run's report."""
