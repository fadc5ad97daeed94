"""The entry point of ``wfb`` and ``kubectl wfb``: finds the command, and says every error in one way."""

import argparse
import difflib
import os
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

from wfb_operator.cli import report, run
from wfb_operator.cli.budget_file import BudgetFileError
from wfb_operator.cli.child import CommandError
from wfb_operator.cli.plan import EXAMPLE, UsageError
from wfb_operator.cli.processes import StartError, ended_by_signals
from wfb_operator.cli.state import LedgerError, StateError

USAGE_CODE, FAILED_CODE, INTERRUPTED_CODE = 2, 125, 130
"""Exit codes: what was given is wrong; ``wfb`` itself failed; ended by Ctrl-C before there was a command to end."""


class _Parser(argparse.ArgumentParser):
    """argparse that says errors as the rest of ``wfb`` does, and guesses what a wrong command was meant to be."""

    def error(self, message: str) -> NoReturn:
        """Says the error and where help is; exits."""
        sys.stderr.write(f"wfb: {message}\nTry '{self.prog} --help'.\n")
        sys.exit(USAGE_CODE)

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        if isinstance(action, argparse._SubParsersAction) and value not in action.choices:  # noqa: SLF001
            near = difflib.get_close_matches(str(value), list(action.choices), 1)
            hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(action.choices)}"
            self.error(f"there is no command {value!r}: {hint}")
        super()._check_value(action, value)


class _Version(argparse.Action):
    """``--version``; the distribution's data is read only when asked for."""

    def __call__(self, *_: Any, **__: Any) -> NoReturn:
        """Prints the version; exits."""
        from importlib.metadata import PackageNotFoundError, version  # noqa: PLC0415 — 20 ms that no run needs

        try:
            print(f"wfb {version('workflow-budget-operator')}")
        except PackageNotFoundError:
            print("wfb (not installed)")
        sys.exit(0)


def make_parser(prog: str, first: str = "") -> argparse.ArgumentParser:
    """The whole command line; ``first`` is its first word, which may spare us loading another command's parts."""
    parser = _Parser(
        prog=prog,
        description="Dollar budgets for AI workflows, kept before a call is made.",
        epilog=(
            f"examples:\n  {EXAMPLE}\n  wfb report --since 7d --by team\n\n'{prog} COMMAND --help' tells more of each."
        ),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action=_Version, nargs=0, help="print the version")
    commands: Any = parser.add_subparsers(title="commands", metavar="COMMAND", dest="command_name")
    run.add_parser(commands)
    report.add_parser(commands)
    if first not in {"run", "report"}:
        from wfb_operator.cli import (  # noqa: PLC0415 — load rich
            doctor,
            explain,
            inject,
            meter,
            prices,
            reconcile,
            top,
            ui,
            whatif,
        )

        doctor.add_parser(commands)
        explain.add_parser(commands)
        inject.add_parser(commands)
        meter.add_parser(commands)
        prices.add_parser(commands)
        reconcile.add_parser(commands)
        top.add_parser(commands)
        ui.add_parser(commands)
        whatif.add_parser(commands)
    return parser


def split_command(argv: Sequence[str]) -> tuple[list[str], list[str]]:
    """(our own arguments, the command's): the first ``--`` of ``run`` parts them, later ones are the command's."""
    own = list(argv)
    if "run" not in own or "--" not in own[own.index("run") :]:
        return own, []
    at = own.index("--", own.index("run"))
    return own[:at], own[at + 1 :]


def main(argv: Sequence[str] | None = None) -> int:
    """Runs a command line; returns its exit code."""
    prog = "kubectl wfb" if os.path.basename(sys.argv[0]).startswith("kubectl-wfb") else "wfb"
    own, command = split_command(sys.argv[1:] if argv is None else argv)
    parser = make_parser(prog, own[0] if own else "")
    args, unknown = parser.parse_known_args(own)
    if unknown:
        _unknown(parser, args, unknown)
    if args.command_name is None:
        parser.print_help(sys.stderr)
        return USAGE_CODE
    args.command = command
    try:
        with ended_by_signals():
            return int(args.run(args))
    except (UsageError, BudgetFileError, StateError) as error:
        return _fail(error, USAGE_CODE)
    except (CommandError, StartError) as error:
        return _fail(error, error.code)
    except LedgerError as error:
        return _fail(error, USAGE_CODE if error.status == 422 else FAILED_CODE)
    except BrokenPipeError:
        # The reader of our output has left; what is still buffered must not raise once more at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        return INTERRUPTED_CODE


def _unknown(parser: argparse.ArgumentParser, args: argparse.Namespace, unknown: Sequence[str]) -> NoReturn:
    """Says what was not understood: an option that is misspelt, or a command without ``--`` before it."""
    first = unknown[0]
    if args.command_name == "run" and not first.startswith("-"):
        parser.error(f"{first!r} is not an option: put -- before the command, as in: {EXAMPLE}")
    parser.error(f"{first!r} is not an option of {args.command_name or 'wfb'}")


def _fail(error: Exception, code: int) -> int:
    for line in str(error).splitlines():
        sys.stderr.write(f"{'' if line.startswith(' ') else 'wfb: '}{line}\n")
    return code


if __name__ == "__main__":
    sys.exit(main())
