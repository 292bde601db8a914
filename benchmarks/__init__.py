"""Measurements of the product as its users run it: quality and speed."""
