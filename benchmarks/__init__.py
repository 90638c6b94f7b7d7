"""Headrace beside what people use today, measured on this machine."""
