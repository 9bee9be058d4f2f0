"""The command line of a benchmark."""

from argparse import ArgumentParser, RawDescriptionHelpFormatter


def command_line(description, **options):
    """Return an argument parser that shows the script's docstring as help."""
    return ArgumentParser(
        description=description, formatter_class=RawDescriptionHelpFormatter, **options
    )
