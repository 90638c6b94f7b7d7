"""What every test shares."""

import os

from hypothesis import settings

# As the command line does: spinning threads cost several times the work on a busy machine.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

# Timings are never assertions, not even a property test's.
settings.register_profile("headrace", deadline=None)
settings.load_profile("headrace")
