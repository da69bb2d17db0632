"""HTTP: what a browser, a script or the command line asks for, and what it is told. Everything is done by the desk."""
