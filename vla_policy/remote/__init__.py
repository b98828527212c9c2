"""A policy on another machine: websocket and msgpack, as openpi's servers and clients speak."""
