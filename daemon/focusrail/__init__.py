"""focusrail: a service for unattended macro photography."""

__version__ = "0.1.0"
