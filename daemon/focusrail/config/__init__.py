"""The configuration: its schema, and the loader that names file, line and key of whatever is wrong."""
