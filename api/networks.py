"""Whom to count a request against that carries no good credential: its network address."""

import ipaddress

from starlette.requests import Request

IPV6_NETWORK_BITS = 64
"""What one IPv6 customer has: single addresses cost them nothing."""


def network_of(request: Request) -> str:
    """The caller's address; of IPv6 the network. Proxies that uvicorn trusts have named it."""
    text = "" if request.client is None else request.client.host
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return text  # a Unix socket, or whatever a proxy said
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return str(address.ipv4_mapped)
        return str(ipaddress.ip_network((int(address), IPV6_NETWORK_BITS), strict=False))
    return str(address)
