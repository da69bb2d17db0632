"""The words of the field as frozen values that check themselves. Standard library only."""
