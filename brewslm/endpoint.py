"""Which server a URL leads to, read so that no client finds another one."""

import re
from urllib.parse import unquote

_SERVER_PARAMETERS = {"host", "hostaddr", "port", "service", "servicefile"}
"""Parameters by which a URL names a server in its query, as libpq reads them."""


def server_in(url: str) -> str:
    """Return the scheme and server of a URL, or an empty text if a secret holds the URL.

    A URL in which clients may find different servers comes back as a text that matches no server:
    one with characters that end the server for some of them, with a second @ or one after a
    question mark, or with a server in its query.
    """
    scheme, _, rest = url.partition("://")
    if scheme == "secret":
        return ""
    authority, _, path = rest.partition("/")
    server = authority.partition("?")[0]
    names = {unquote(item.partition("=")[0]) for item in re.split("[?&]", rest)[1:]}
    is_plain = authority.count("@") == server.count("@") <= 1 and not set("#\\") & set(authority)
    if not is_plain or names & _SERVER_PARAMETERS:
        return f"{scheme.lower()}://{authority}?{path.partition('?')[2]}"
    return f"{scheme.lower()}://{server.rpartition('@')[2].lower()}"
