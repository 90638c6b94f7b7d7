import sys
from pathlib import Path

# Test modules of this folder share a toy bench that lies beside them.
sys.path.insert(0, str(Path(__file__).parent))
