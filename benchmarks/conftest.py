"""What the suite needs before torch loads."""

import os

# As the command line does: threads of one library that spin while another's compute spoil both.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
