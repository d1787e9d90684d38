"""How long a connection of HTTP is kept without a request: a client gives it up well before the server closes it.

A request that meets the end of its connection has no response, and its sender cannot know whether it was carried out
(RFC 9112, 9.3.1). Where a server refuses a body unread, its response announces the end (`manager/http/connections.py`).
"""

SERVER_IDLE_SECONDS = 10
CLIENT_IDLE_SECONDS = 5.0
