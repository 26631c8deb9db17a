"""What a workflow's own program may use: an exporter beside it, and how its runs fare.

serving   an exporter as a child process
child     that process, and what it does (beside)
shown     the status of runs, for a notebook
database  from a Parsl Config to its database
"""
