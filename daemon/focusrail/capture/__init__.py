"""Capture control: plan, preflight, carriage and the engine that runs a shoot."""
