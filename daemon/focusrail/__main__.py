"""`focusrail` and `python -m focusrail`."""

from __future__ import annotations

from focusrail.cli import main

__all__ = ["main"]

if __name__ == "__main__":
    main()
