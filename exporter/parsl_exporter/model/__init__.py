"""The run model: rows in, facts out. Pure: no I/O, no clock, no SQL, no Prometheus."""
