"""What holds for all tests: none of them is timed, also not an example of Hypothesis."""

from hypothesis import settings

settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")
