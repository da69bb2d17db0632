"""Names of keys, as linux/input-event-codes.h and evtest have them. Any other key can be given by its number."""

from __future__ import annotations

_ROWS = (
    (1, "ESC 1 2 3 4 5 6 7 8 9 0 MINUS EQUAL BACKSPACE TAB Q W E R T Y U I O P LEFTBRACE RIGHTBRACE ENTER LEFTCTRL"),
    (30, "A S D F G H J K L SEMICOLON APOSTROPHE GRAVE LEFTSHIFT BACKSLASH Z X C V B N M COMMA DOT SLASH RIGHTSHIFT"),
    (55, "KPASTERISK LEFTALT SPACE CAPSLOCK F1 F2 F3 F4 F5 F6 F7 F8 F9 F10 NUMLOCK SCROLLLOCK KP7 KP8 KP9 KPMINUS"),
    (75, "KP4 KP5 KP6 KPPLUS KP1 KP2 KP3 KP0 KPDOT"),
    (87, "F11 F12"),
    (96, "KPENTER RIGHTCTRL KPSLASH SYSRQ RIGHTALT LINEFEED HOME UP PAGEUP LEFT RIGHT END DOWN PAGEDOWN INSERT DELETE"),
    (113, "MUTE VOLUMEDOWN VOLUMEUP POWER KPEQUAL KPPLUSMINUS PAUSE"),
    (125, "LEFTMETA RIGHTMETA COMPOSE STOP"),
    (163, "NEXTSONG PLAYPAUSE PREVIOUSSONG STOPCD RECORD"),
    (183, "F13 F14 F15 F16 F17 F18 F19 F20 F21 F22 F23 F24"),
    (212, "CAMERA"),
)
_BUTTONS = (
    (0x100, "0 1 2 3 4 5 6 7 8 9"),
    (0x110, "LEFT RIGHT MIDDLE SIDE EXTRA FORWARD BACK TASK"),
    (0x120, "TRIGGER THUMB THUMB2 TOP TOP2 PINKIE BASE BASE2 BASE3 BASE4 BASE5 BASE6"),
    (0x130, "SOUTH EAST C NORTH WEST Z TL TR TL2 TR2 SELECT START MODE THUMBL THUMBR"),
)
CODES = {
    f"{kind}_{name}": first + place
    for kind, rows in (("KEY", _ROWS), ("BTN", _BUTTONS))
    for first, names in rows
    for place, name in enumerate(names.split())
}
_NAMES = {code: name for name, code in CODES.items()}


def key_name(code: int) -> str:
    """The name of a key; its number where it has none here."""
    return _NAMES.get(code, str(code))
