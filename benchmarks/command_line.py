"""The command line of a benchmark."""

from argparse import ArgumentParser, RawDescriptionHelpFormatter


def command_line(description, **options):
    """Return a parser of a script's options, whose help is the script's own docstring."""
    return ArgumentParser(
        description=description, formatter_class=RawDescriptionHelpFormatter, **options
    )
