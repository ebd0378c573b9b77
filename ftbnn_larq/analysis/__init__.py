"""Questions put to a built model. Nothing here knows a command."""
