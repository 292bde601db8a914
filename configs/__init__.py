"""The typed schema of every setting, and the YAML presets."""
