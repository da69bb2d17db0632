"""Prints the configuration that an installed service begins with: the default one, with a system's folders."""

from __future__ import annotations

import sys
from pathlib import Path

_PLACES = {
    "  root: ~/focusrail": "  root: /var/lib/focusrail",
    "  #socket: /run/focusrail/socket": "  socket: /run/focusrail/socket",
    "    #folder: ~/focusrail/inbound": "    #folder: /var/lib/focusrail/inbound",
}

if __name__ == "__main__":
    text = (Path(__file__).parents[1] / "config" / "focusrail.yaml").read_text(encoding="utf-8")
    for usual, installed in _PLACES.items():
        if text.count(f"\n{usual}\n") != 1:
            sys.exit(f"config/focusrail.yaml has not one line {usual!r}")
        text = text.replace(f"\n{usual}\n", f"\n{installed}\n")
    sys.stdout.write(text)
