"""What belongs to the exporter beside its program: dashboards, rules, runbooks, examples."""
