"""What could be wrong with machine, rig and installation: looked at without moving or changing anything."""
