import sys
from pathlib import Path

# Rooms that lend their helpers to other rooms.
sys.path.append(str(Path(__file__).parent / "data"))
