"""Boards: connect to them, describe them, and transfer files to and from them."""
