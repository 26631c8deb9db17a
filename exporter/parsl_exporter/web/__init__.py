"""The HTTP side of the exporter: serves what a `Site` gives it and knows nothing of databases.

server      listening sockets and the thread with the event loop
connection  how long a client may take, and what happens when it takes longer
app         the endpoints
negotiation which format and coding a client asks for
landing     the page at `/`, and that of a run
listen      addresses and their sockets
configuration, security, tls, authentication: the web configuration file and what it demands
"""
