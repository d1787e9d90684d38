"""A probe that sends one HTTP request and compares status or body; every try ends by one deadline. No redirects."""

import ssl
from urllib.parse import urlsplit

import httpcore

from chaos.probes.attempt import Attempt
from chaos.probes.comparator import ComparisonError, meets
from chaos.task_action import Comparator, HttpInputs, HttpMethod
from delivery.deadline_stream import Deadline, DeadlineBackend

BODY_BYTES = 64 << 10
FAILURES = (httpcore.TimeoutException, httpcore.NetworkError, httpcore.ProtocolError, OSError)


def tls_context(inputs: HttpInputs) -> ssl.SSLContext:
    """The TLS settings; with `insecureSkipVerify` any certificate is taken."""
    context = ssl.create_default_context()
    if inputs.insecure_skip_verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def send(inputs: HttpInputs, method: str, expected: HttpMethod, seconds: float) -> tuple[int, str]:
    """The status and the beginning of the body."""
    deadline = Deadline()
    deadline.start(seconds)
    headers = {"User-Agent": "podsonar", "Accept": "*/*"}
    content = b""
    if method == "POST":
        content = expected.body.encode()
        headers |= {"Content-Type": expected.content_type, "Content-Length": str(len(content))}
    context = tls_context(inputs) if inputs.url.startswith("https:") else None
    backend = DeadlineBackend(deadline)
    with httpcore.ConnectionPool(ssl_context=context, keepalive_expiry=0.0, network_backend=backend) as pool:
        url = httpcore.URL(inputs.url)
        port = url.port
        headers["Host"] = url.host.decode() if port is None else f"{url.host.decode()}:{port}"
        fields = [(name.encode(), value.encode()) for name, value in headers.items()]
        response = pool.handle_request(httpcore.Request(method, url, headers=fields, content=content))
        try:
            body = bytearray()
            for piece in response.iter_stream():
                body += piece
                if len(body) >= BODY_BYTES:
                    break
        finally:
            response.close()
    return response.status, bytes(body[:BODY_BYTES]).decode("utf-8", "replace")


def try_http(inputs: HttpInputs, seconds: float) -> Attempt:
    """One try of an httpProbe."""
    method, expected = ("POST", inputs.method.post) if inputs.method.post else ("GET", inputs.method.get)
    try:
        parts = urlsplit(inputs.url)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and inputs.url.isascii()
    except ValueError:
        usable = False
    if not usable or expected is None:
        return Attempt("Error", "url: expected http:// or https:// with a host, and one method")
    try:
        status, body = send(inputs, method, expected, seconds)
    except FAILURES as error:
        text, plain = (f"{method} {name}: {type(error).__name__}" for name in (inputs.url[:200], parts.hostname))
        return Attempt("Failed", text, plain=plain)
    except (ValueError, UnicodeError) as error:
        text, plain = (f"{method} {name}: {type(error).__name__}" for name in (inputs.url[:200], parts.hostname))
        return Attempt("Error", text, plain=plain)
    by_body = bool(expected.response_body)
    wanted = expected.response_body if by_body else expected.response_code
    comparator = Comparator("string" if by_body else "int", expected.criteria, wanted)
    try:
        met = meets(body if by_body else str(status), comparator)
    except ComparisonError as error:
        return Attempt("Error", f"unable to compare: {error}", plain="unable to compare")
    text = f"{method} answered {status}, expected {expected.criteria} {wanted}"
    plain = f"{method} answered {status}, its body {'is' if met else 'is not'} as expected"
    return Attempt("Passed" if met else "Failed", text, plain=plain if by_body else "")
