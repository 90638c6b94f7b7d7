"""What every test shares."""

import os

# As the command line does: spinning threads cost several times the work on a busy machine.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
