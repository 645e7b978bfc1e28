/** The command line as plain data: the source of the manual page and the shells' completions. */
import type { Argument, Command, Option } from 'commander';

export interface OptionFacts {
  /** With its dashes, such as `-V`; null without a short form. */
  short: string | null;
  /** With its dashes, such as `--json`. */
  long: string;
  /** What follows it, as `--help` writes it (`<kind>`); null for a switch. */
  value: string | null;
  description: string;
  /** The allowed values; empty if any is. */
  choices: readonly string[];
  /** The default in words, or null. */
  default: string | null;
}

export interface CommandFacts {
  /** From the program on: `revenant machine start` is ['revenant', 'machine', 'start']. */
  path: readonly string[];
  description: string;
  /** As `--help` writes them: `<trace>`, `[range]`, `<expression...>`. */
  arguments: readonly { text: string; description: string; choices: readonly string[] }[];
  options: readonly OptionFacts[];
  commands: readonly CommandFacts[];
}

function optionFacts(option: Option): OptionFacts {
  const value = /[<[].*$/.exec(option.flags)?.[0] ?? null;
  const { defaultValue } = option as { defaultValue: unknown };
  const written = typeof defaultValue === 'string' || typeof defaultValue === 'number';
  return {
    short: option.short ?? null,
    long: option.long ?? option.flags,
    value,
    description: option.description,
    choices: option.argChoices ?? [],
    default: option.defaultValueDescription ?? (written ? String(defaultValue) : null),
  };
}

function argumentText(argument: Argument): string {
  const name = argument.name() + (argument.variadic ? '...' : '');
  return argument.required ? `<${name}>` : `[${name}]`;
}

/** All of a program or of one of its commands, with `--help`; commands and options that help hides are left out. */
export function describe(command: Command, above: readonly string[] = []): CommandFacts {
  const path = [...above, command.name()];
  const help = command.createHelp();
  return {
    path,
    description: command.description(),
    arguments: command.registeredArguments.map((argument) => ({
      text: argumentText(argument),
      description: argument.description,
      choices: argument.argChoices ?? [],
    })),
    options: help.visibleOptions(command).map(optionFacts),
    commands: help
      .visibleCommands(command)
      .filter((sub) => sub.name() !== 'help')
      .map((sub) => describe(sub, path)),
  };
}

/** A command and everything below it, in order. */
export function flatten(command: CommandFacts): CommandFacts[] {
  return [command, ...command.commands.flatMap(flatten)];
}
