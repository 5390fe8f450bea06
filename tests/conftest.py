"""No example of hypothesis has to be quick: machines differ, and are busy at times."""

from hypothesis import settings

settings.register_profile("any machine", deadline=None)
settings.load_profile("any machine")
