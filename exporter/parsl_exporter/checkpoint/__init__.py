"""Files in which an exporter keeps what it knows, for the next one: written whole, and believed only when whole."""
