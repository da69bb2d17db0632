"""What focusrail tells of itself: logs, figures and the notes to systemd."""
