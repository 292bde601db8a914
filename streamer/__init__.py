"""Grab frames, run them through detection and tracking, and hand the results on."""
