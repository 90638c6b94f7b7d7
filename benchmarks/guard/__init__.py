"""The regression guard: two revisions of Headrace, built side by side, measured in turns."""
