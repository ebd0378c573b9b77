"""`python -m ftbnn_larq` is the command `ftbnn-larq`."""

from ftbnn_larq.cli import main

if __name__ == "__main__":
    main()
