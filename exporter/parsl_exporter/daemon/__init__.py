"""All sources of a configuration, each in a thread, and the page of them."""
