"""The command ``python -m crbestim``: its parts, its messages and its exit codes."""

import argparse
import difflib
import re
import sys
import warnings
from contextlib import contextmanager

from .. import __version__
from . import _info_command, _map_command, _phantom_command
from ._usage import UsageError

_PARTS = {"map": _map_command, "info": _info_command, "phantom": _phantom_command}
_INTERRUPTED = 130
# Share of letters that options have in common if one is meant by the other.
_ALIKE = 0.8
# Advice in warnings for which there is no option.
_IN_PYTHON = re.compile(
    r" \(raise it\)|; raise n_starts[^)]*|; see the status that fit_voxels returns"
)


def main(arguments=None):
    """Run the command, and return its exit code.

    It is 0 if all went well, 2 if the command line is wrong, and 1 if something else is.
    """
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    parser = _parser(arguments)
    try:
        options, unknown = parser.parse_known_args(arguments)
        _refuse(unknown, options)
        with _plain_warnings():
            return options.run(options)
    except UsageError as error:
        return _say(error, 2)
    except KeyboardInterrupt:
        return _say("interrupted", _INTERRUPTED)
    except (ValueError, TypeError, OSError, ImportError, MemoryError) as error:
        return _say(error, 1)


def _parser(arguments):
    parser = argparse.ArgumentParser(
        prog="python -m crbestim",
        description="Maps of quantitative MRI, with standard deviations.",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"crbestim {__version__}")
    parts = parser.add_subparsers(required=True, metavar="{" + ",".join(_PARTS) + "}")
    for name, module in _PARTS.items():
        part = parts.add_parser(
            name,
            help=module.__doc__.splitlines()[0],
            description=module.__doc__,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )
        module.add_arguments(part, arguments)
        part.set_defaults(run=module.run, part=part)
    return parser


def _refuse(unknown, options):
    """Refuse arguments that a part does not have, and say which are like them."""
    if not unknown:
        return
    part = options.part
    known = [name for action in part._actions for name in action.option_strings]
    given = unknown[0].partition("=")[0]
    longer = [name for name in known if name.startswith(f"{given}-")]
    like = longer or difflib.get_close_matches(given, known, cutoff=_ALIKE)
    meant = f"; did you mean {' or '.join(like)}?" if like else "."
    raise UsageError(
        f"{given} is no option of {part.prog}{meant} Its --help lists all, with --model "
        "NAME those of a model, too."
    )


def _say(error, code):
    text = str(error) or type(error).__name__
    print(f"crbestim: {text}", file=sys.stderr)
    return code


@contextmanager
def _plain_warnings():
    """Print each warning once, without the line of code, and count those like it."""
    told = {}

    def show(message, category, *place, **more):
        text = _IN_PYTHON.sub("", str(message))
        # The same text with other numbers, of another block, is no news.
        kind = re.sub(r"\d[\d.,e+-]*", "#", text)
        told[kind] = told.get(kind, 0) + 1
        if told[kind] == 1:
            print(f"warning: {text}", file=sys.stderr)

    with warnings.catch_warnings():
        warnings.simplefilter("always", UserWarning)
        warnings.showwarning = show
        try:
            yield
        finally:
            for kind, count in told.items():
                if count > 1:
                    print(
                        f"warning: {count - 1} more like '{kind[:60]}...'", file=sys.stderr
                    )
