"""`canary completion`: what the Tab key adds to a command line."""

from __future__ import annotations

import argparse
from importlib import import_module

from canary.cli.exits import Exit

_BASH = """\
_canary() {
  local word=${COMP_WORDS[COMP_CWORD]} words
  if [ "$COMP_CWORD" -eq 1 ]; then
    words="%(commands)s"
  elif [[ $word != -* ]]; then
    COMPREPLY=( $(compgen -f -- "$word") )
    return
  else
    case ${COMP_WORDS[1]} in
%(cases)s
    esac
  fi
  COMPREPLY=( $(compgen -W "$words" -- "$word") )
}
complete -o filenames -F _canary canary kubectl-canary
"""
_ZSH = "autoload -U +X bashcompinit && bashcompinit\n"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `canary completion`."""
    parser.description = 'Print a script that completes commands, options and files: eval "$(canary completion bash)".'
    parser.add_argument("shell", choices=("bash", "zsh"), help="the shell that is to read it")


def main(args: argparse.Namespace) -> int:
    """Print the script and return the exit code."""
    print((_ZSH if args.shell == "zsh" else "") + script(), end="")
    return Exit.YES


def script() -> str:
    """Return the script for bash, which zsh understands too."""
    from canary.cli import COMMANDS

    cases = [f'      {name}) words="{" ".join(_options(name, module))}" ;;' for name, (module, _) in COMMANDS.items()]
    return _BASH % {"commands": " ".join(COMMANDS), "cases": "\n".join(cases)}


def _options(name: str, module: str) -> list[str]:
    parser = argparse.ArgumentParser(prog=f"canary {name}")
    import_module(module).add_arguments(parser)
    return sorted(option for action in parser._actions for option in action.option_strings if option.startswith("--"))
