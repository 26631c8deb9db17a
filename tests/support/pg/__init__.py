"""A PostgreSQL server of the tests' own, from the machine's package, and databases on it."""
