"""What the tests share: rows, harnesses and a fake clock, the oracle, servers, programs."""
