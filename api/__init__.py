"""The hub: HTTP and WebSocket handlers that translate, and decide nothing."""
