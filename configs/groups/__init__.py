"""The settings of :mod:`configs.schema`, a file a group."""
