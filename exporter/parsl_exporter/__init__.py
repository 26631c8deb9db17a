"""Prometheus exporter for Parsl's monitoring database."""


def __getattr__(name: str) -> str:
    """`__version__`, looked up when it is asked for: signals come before that takes its tenth of a second."""
    if name == "__version__":
        from parsl_exporter.base.release import VERSION  # noqa: PLC0415  # as said above

        return VERSION
    raise AttributeError(name)
