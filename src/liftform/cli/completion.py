"""Shell completion: scripts for bash, zsh and fish, written out from the parsers, so that they never lag behind."""

from __future__ import annotations

import argparse
from collections.abc import Iterator

from . import COMMANDS, module


def script(shell: str) -> str:
    """The completion script of one shell ("bash", "zsh" or "fish")."""
    return {"bash": _bash, "zsh": _zsh, "fish": _fish}[shell]()


def _flags(command: str) -> Iterator[tuple[str, str]]:
    """(flag, help) of a command's own parser."""
    for action in module(command).parser()._actions:
        text = action.help % {"default": action.default} if action.help and action.help is not argparse.SUPPRESS else ""
        yield from ((flag, text) for flag in action.option_strings if flag.startswith("--"))


def _bash() -> str:
    cases = "\n".join(f"    {c}) words='{' '.join(flag for flag, _ in _flags(c))}' ;;" for c in COMMANDS)
    return f"""# liftform completion for bash: eval "$(liftform --completion bash)"
_liftform() {{
  local current="${{COMP_WORDS[COMP_CWORD]}}" words='{" ".join(COMMANDS)} --help --version --completion'
  [ "$COMP_CWORD" -gt 1 ] && case "${{COMP_WORDS[1]}}" in
{cases}
    *) words='{" ".join(flag for flag, _ in _flags("make"))}' ;;
  esac
  COMPREPLY=()
  if [[ "$current" == -* ]] || [ "$COMP_CWORD" -eq 1 ]; then
    mapfile -t COMPREPLY < <(compgen -W "$words" -- "$current")
  fi
}}
complete -o default -F _liftform liftform
"""


def _zsh() -> str:
    cases = "\n".join(
        f"    {c}) _arguments "
        + " ".join(_quoted(f"{flag}[{_bracketed(text)}]") for flag, text in _flags(c))
        + " '*:file:_files' ;;"
        for c in COMMANDS
    )
    commands = " ".join(_quoted(f"{c}:{line}") for c, line in COMMANDS.items())
    return f"""#compdef liftform
# liftform completion for zsh: eval "$(liftform --completion zsh)"
_liftform() {{
  local -a commands=({commands})
  if (( CURRENT == 2 )); then
    _describe command commands
    _files
    return
  fi
  local command="${{words[2]}}"
  shift words
  (( CURRENT-- ))
  case "$command" in
{cases}
    *) _files ;;
  esac
}}
compdef _liftform liftform
"""


def _fish() -> str:
    lines = ["# liftform completion for fish: liftform --completion fish | source"]
    for command, line in COMMANDS.items():
        lines.append(f"complete -c liftform -n __fish_use_subcommand -a {command} -d {_quoted(line)}")
        for flag, text in _flags(command):
            seen = _quoted(f"__fish_seen_subcommand_from {command}")
            lines.append(f"complete -c liftform -n {seen} -l {flag[2:]} -d {_quoted(text)}")
    return "\n".join(lines)


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "’") + "'"


def _bracketed(text: str) -> str:
    """zsh takes brackets and colons in a description for its own."""
    return text.replace("[", "(").replace("]", ")").replace(":", ",")
