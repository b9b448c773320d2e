import sys
from pathlib import Path

# Rooms that lend their helpers to other rooms.
for room in ("data", "pruning"):
    sys.path.append(str(Path(__file__).parent / room))
