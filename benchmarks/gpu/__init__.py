"""What `make gpu-check` asks of each op: one module an op, which exposes a `PART`."""
