"""Arguments and the YAML file as checked, frozen settings."""
