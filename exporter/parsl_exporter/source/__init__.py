"""One database: polled, its faults told, what is known of its runs drawn."""
