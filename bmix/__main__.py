"""`python -m bmix`: the same as the command `bmix`."""

from bmix.cli import main

if __name__ == "__main__":
    main()
