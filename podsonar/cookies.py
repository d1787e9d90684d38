"""A cookie jar that keeps nothing, for HTTP clients that talk to one server of ours."""

from http.cookiejar import CookieJar, DefaultCookiePolicy


def no_cookies() -> CookieJar:
    """A jar for a client: a proxy's cookie may hold what no header can, and would then end every later request."""
    return CookieJar(DefaultCookiePolicy(allowed_domains=[]))
