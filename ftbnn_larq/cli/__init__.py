"""The command line. Each command's module imports what is heavy only when it runs."""

from __future__ import annotations

import io
import os
import signal
import sys
import threading

import click

from ftbnn_larq import __version__
from ftbnn_larq.cli.analyze import analyze
from ftbnn_larq.cli.benchmark import benchmark
from ftbnn_larq.cli.compare import compare
from ftbnn_larq.cli.convert import convert
from ftbnn_larq.cli.deploy import deploy
from ftbnn_larq.cli.evaluate import evaluate
from ftbnn_larq.cli.list import list_models
from ftbnn_larq.cli.predict import predict
from ftbnn_larq.cli.report import report
from ftbnn_larq.cli.summary import summary
from ftbnn_larq.cli.tool import tool
from ftbnn_larq.cli.train import train
from ftbnn_larq.errors import FtbnnError, one_line


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, prog_name="ftbnn-larq")
def commands():
    """Binary neural networks, from training to a number measured on the board.

    \b
    Example:
      ftbnn-larq train ftbnn_r18
      ftbnn-larq convert --to tflite
      ftbnn-larq benchmark
    """


for command in (
    list_models,
    summary,
    compare,
    train,
    evaluate,
    convert,
    benchmark,
    tool,
    report,
    predict,
    deploy,
    analyze,
):
    commands.add_command(command)


def _is_users(error: BaseException) -> bool:
    """Whether the user can mend it: our own errors, the operating system's, and TensorFlow's about files and data."""
    return isinstance(error, FtbnnError | OSError) or type(error).__module__.startswith("tensorflow.python.framework")


def _message(error: BaseException) -> str:
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    # Ours are cut in the middle, for the advice stands at their end.
    return one_line(error, 2_000) if isinstance(error, FtbnnError) else one_line(error)


def _again(told):
    """For `sys.unraisablehook`: an interruption in a callback, which Python drops, comes again a moment later.

    Of anything else `told` is told.
    """

    def hook(unraisable):
        if issubclass(unraisable.exc_type, KeyboardInterrupt):
            main_thread = threading.main_thread().ident
            threading.Timer(0.1, signal.pthread_kill, [main_thread, signal.SIGTERM]).start()
        else:
            told(unraisable)

    return hook


def main(command: click.Command = commands, name: str = "ftbnn-larq") -> None:
    """Run a command line. Exit status 0; 2 with one line for an error that the user can mend; 130 on Ctrl-C or
    SIGTERM, which clusters and systemd send.

    Arguments:
        name: what people type for `command`.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    in_main_thread = threading.current_thread() is threading.main_thread()
    if in_main_thread and signal.getsignal(signal.SIGTERM) == signal.SIG_DFL:
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        sys.unraisablehook = _again(sys.unraisablehook)
    if isinstance(sys.stdout, io.TextIOWrapper):
        # A path is bytes, and need not be text of any encoding.
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        status = command.main(prog_name=name, standalone_mode=False) or 0
    except (click.exceptions.Abort, KeyboardInterrupt) as error:
        # click turns Ctrl-C into an Abort that carries it.
        interrupt = error if isinstance(error, KeyboardInterrupt) else error.__cause__
        click.echo(f"ftbnn-larq: {str(interrupt) or 'interrupted'}", err=True)
        status = 130
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message())
        status = 2
    except click.ClickException as error:
        click.echo(f"ftbnn-larq: {_message_of_click(error, name)}", err=True)
        status = 2
    except Exception as error:
        if not _is_users(error):
            raise
        click.echo(f"ftbnn-larq: {_message(error)}", err=True)
        status = 2
    sys.exit(status)


def _message_of_click(error: click.ClickException, name: str) -> str:
    path = error.ctx.command_path if isinstance(error, click.UsageError) and error.ctx else name
    return f"{' '.join(error.format_message().split())} (see {path} --help)"
