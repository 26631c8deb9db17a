"""What everything else stands on: errors, log lines, the tables, columns of rows."""
