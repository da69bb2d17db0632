"""Device drivers of focusrail: rails, cameras, accelerators. Usable alone on a bench; never imports focusrail."""
