"""What makes items alike, from who liked what: matrices in, neighbours or weights out."""
