"""Buttons: one contact that a person closes. What a press means is for whoever waits for it."""
