"""Prometheus exporter for Parsl's monitoring database.

serve   start an exporter beside a workflow
status  say how the runs of a workflow fare
"""

TYPE_CHECKING = False  # typing's takes longer to import than signals may wait to be noted
if TYPE_CHECKING:
    from parsl_exporter.workflow.serving import Serving, serve
    from parsl_exporter.workflow.shown import Status, status

    __version__: str
else:
    _PLACES = {
        "__version__": ("base.release", "VERSION"),
        "Serving": ("workflow.serving", "Serving"),
        "serve": ("workflow.serving", "serve"),
        "Status": ("workflow.shown", "Status"),
        "status": ("workflow.shown", "status"),
    }

    def __getattr__(name):
        """Look it up when it is asked for: each takes a tenth of a second or more to import."""
        from importlib import import_module  # noqa: PLC0415

        try:
            module, attribute = _PLACES[name]
        except KeyError:
            raise AttributeError(name) from None
        return getattr(import_module(f"{__name__}.{module}"), attribute)


__all__ = ["Serving", "Status", "__version__", "serve", "status"]
