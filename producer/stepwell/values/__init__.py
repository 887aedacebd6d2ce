"""Conversion of logged values."""
