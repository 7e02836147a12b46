"""Addresses of servers: checked, without what must not be shown, and whether they lead to this machine.

An address that a pair or a variable names is taken apart once, and each request is built from the checked parts. So no
two libraries can disagree about the host that it names, and no message holds more of it than host and path.
"""

import ipaddress
import os
import re
import socket
from dataclasses import dataclass, field, replace
from urllib.parse import urlsplit

from embalign.embeddings.answers import shown
from embalign.errors import SourceError
from embalign.lazy import lazy

proxies_of_environment = lazy("requests.utils").get_environ_proxies
proxy_of = lazy("requests.utils").select_proxy

HIDDEN = "***"
LONGEST = 2000
PORTS = {"http": 80, "https": 443}
# In a URL only these may stand as they are (RFC 3986); letters of other alphabets are left to the library.
_FORBIDDEN = re.compile(r'[\x00-\x20\x7f-\x9f\ud800-\udfff\\<>"^`{|}\s]')
_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*://", re.IGNORECASE | re.ASCII)
_NO_PORT = re.compile(r"(://[^/:\[]*:)(?!\d+(?:/|$))[^/]+")
_USER_INFO = re.compile(r"([\w+.-]*:)?//[^\s/]*@|(?<!\S)[^\s/@]+:[^\s@]+@", re.ASCII)
_PARAMETER = re.compile(
    r"""(?ix) (?<![a-z]) ( (?: [a-z]+[_-] )? (?: (?:api|access)?key | token | secret | passw(?:or)?d | pwd | sig ) = )
    [^\s&"'<>]+"""
)
_SECRET_NAME = re.compile(r"(?i)key|token|secret|passw|pwd|auth|sig\b|signature|credential")

IP = ipaddress.IPv4Address | ipaddress.IPv6Address


@dataclass(frozen=True)
class Address:
    """A server's address in checked parts; `host` is lower-case and without brackets, `path` has no final slash.

    `query` and `user_info` go with each request and are never shown. `origin` says where the address comes from.
    """

    scheme: str
    host: str
    port: int | None
    path: str
    origin: str
    query: str = field(default="", repr=False)
    user_info: str = field(default="", repr=False)

    @property
    def server(self) -> str:
        """Scheme, host and port, fit to be shown."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}" + ("" if self.port is None else f":{self.port}")

    @property
    def shown(self) -> str:
        """The address without query, parameters and user, fit to be shown and stored."""
        return self.server + re.split("[;&]", self.path, maxsplit=1)[0]

    def under(self, path: str) -> "Address":
        """Return the same server's address with another path."""
        return replace(self, path=path)

    @property
    def is_local(self) -> bool:
        """Whether requests stay on this machine."""
        return is_local(self.host)

    @property
    def query_is_secret(self) -> bool:
        """Whether a parameter of the query looks like a key by its name."""
        return any(_SECRET_NAME.search(part.partition("=")[0]) for part in self.query.split("&"))

    def proxies(self) -> dict[str, str]:
        """Return the proxies that the environment names for this address; none for this machine."""
        return {} if self.is_local else dict(proxies_of_environment(self.server))

    def proxy(self) -> str:
        """Return the proxy that requests go through, as the environment spells it, or an empty string."""
        return str(proxy_of(self.server, self.proxies()) or "")


def parse_address(url: str, origin: str) -> Address:
    """Return the parts of a URL; a bind address becomes loopback.

    Raises SourceError, with nothing in it that might be a password, for what is no URL of http or https.
    """
    try:
        parts = urlsplit(url.strip())
        host, port = parts.hostname or "", parts.port
    except ValueError:
        raise _refused(url, origin, "its host is malformed, or its port not one from 1 to 65535") from None
    if url.count("@") > 1 or ("@" in url and "@" not in parts.netloc):
        raise _refused(url, origin, "in a user name, password or path write @ as %40, / as %2F and ? as %3F")
    if len(url) > LONGEST:
        raise _refused(url, origin, f"it is longer than {LONGEST} characters")
    if _FORBIDDEN.search(url.strip()) or not (_is_host(host) or host == ""):
        raise _refused(url, origin, "it contains a character that no address has; in a path write it as %XX")
    if parts.scheme not in PORTS or not (host or port) or port == 0:
        raise _refused(url, origin, "it lacks http:// or https://, a host, or a port from 1 to 65535")
    return Address(
        parts.scheme,
        connectable(host.rstrip(".") or host),
        port,
        parts.path.rstrip("/"),
        origin,
        parts.query,
        parts.netloc.rpartition("@")[0],
    )


def _is_host(host: str) -> bool:
    return re.fullmatch(r"[\w.-]+", host) is not None or (":" in host and _ip(host.replace("%25", "%")) is not None)


def _refused(url: str, origin: str, reason: str) -> SourceError:
    return SourceError(f"'{shown(without_credentials(url))}' (from {origin}) must look like http://host:port; {reason}")


def without_credentials(url: str) -> str:
    """Return a URL, or what was meant as one, without user name, password, query and fragment.

    >>> without_credentials("http://user:pa@ss/word@host/v1?key=secret")
    'http://host/v1'
    """
    scheme = _SCHEME.match(url)
    start = scheme.group() if scheme else ""
    # Whatever stands before the last @ may be part of a password, also another ://.
    clean = start + re.split("[?#;&]", url.removeprefix(start).rpartition("@")[2], maxsplit=1)[0]
    return _NO_PORT.sub(rf"\1{HIDDEN}", clean)  # nor may a password that stands where a port should


def without_shapes(text: str) -> str:
    """Return a text in which everything that looks like a user in a URL, or like a key among parameters, is hidden.

    >>> without_shapes("asked http://user:pw@host/?api_key=abc&x=1")
    'asked http://***@host/?api_key=***&x=1'
    """
    text = _USER_INFO.sub(lambda found: f"{found[1] or ''}//{HIDDEN}@" if "//" in found[0] else f"{HIDDEN}@", text)
    return _PARAMETER.sub(rf"\1{HIDDEN}", text)


def connectable(host: str) -> str:
    """Return a host that can be connected to: for none, and for one that only a server can bind, this machine.

    >>> connectable("0.0.0.0"), connectable("::"), connectable(""), connectable("box")
    ('127.0.0.1', '::1', '127.0.0.1', 'box')
    """
    if not host:
        return "127.0.0.1"
    ip = _ip(host)
    if ip is None or not (mapped(ip) or ip).is_unspecified:
        return host
    return "127.0.0.1" if isinstance(mapped(ip) or ip, ipaddress.IPv4Address) else "::1"


def is_local(host: str) -> bool:
    """Return whether a host is this machine: by loopback address or name, by its own name, or by an address it has.

    No name is looked up: whoever answers for it could say today that it is this machine, and tomorrow another one.
    """
    ip = _ip(host)
    if ip is None:
        own = socket.gethostname().lower()
        return host == "localhost" or host.endswith(".localhost") or host in {own, own.partition(".")[0]} - {""}
    plain = mapped(ip) or ip
    return plain.is_loopback or plain.is_unspecified or _is_own(plain)


def mapped(ip: IP) -> ipaddress.IPv4Address | None:
    """Return the IPv4 address inside an IPv6 address like ::ffff:127.0.0.1, or None."""
    return ip.ipv4_mapped if isinstance(ip, ipaddress.IPv6Address) else None


def _ip(host: str) -> IP | None:
    """Return the address that a host spells, also in the short forms that the system's resolver takes (127.1)."""
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        pass
    if re.fullmatch(r"(0x[0-9a-f]*|\d+)(\.(0x[0-9a-f]*|\d+)){0,3}", host, re.ASCII):
        try:
            return ipaddress.IPv4Address(socket.inet_aton(host))
        except OSError:
            pass
    return None


def _is_own(ip: IP) -> bool:
    """Whether an interface of this machine has the address: the system then chooses it as the sender's too."""
    family = socket.AF_INET if ip.version == 4 else socket.AF_INET6
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect((str(ip), 9))  # sends nothing
            return ipaddress.ip_address(probe.getsockname()[0]) == ip
    except (OSError, ValueError):
        return False


def variable_of_proxy(proxy: str) -> str:
    """Return the environment variable that names a proxy, for messages."""
    names = (name for name, value in os.environ.items() if name.lower().endswith("_proxy") and value == proxy)
    return next(names, "the environment")
