"""Cases, clocks, ceilings and result rows: what every benchmark is made of."""
