/** revenant(1), from the same command line that `--help` prints. */
import { flatten, type CommandFacts, type OptionFacts } from './describe.js';

export interface ManualFacts {
  program: CommandFacts;
  version: string;
  exits: readonly { code: number; meaning: string }[];
  /** Variables of the environment that the program reads. */
  environment: readonly { name: string; meaning: string }[];
}

/** Text that roff prints literally (groff_char(7)): hyphens are minus signs, so that options can be copied. */
function escaped(text: string): string {
  return text
    .replaceAll('\\', '\\e')
    .replaceAll('-', '\\-')
    .replaceAll("'", '\\(aq')
    .replaceAll('`', '\\(ga')
    .replace(/^\./gm, '\\&.');
}

const bold = (text: string): string => `\\fB${escaped(text)}\\fR`;
const italic = (text: string): string => `\\fI${escaped(text)}\\fR`;

function sentence(text: string): string {
  const plain = text.replaceAll('`', '');
  return escaped(/[.!?]$/.test(plain) ? plain : `${plain}.`);
}

function optionText(option: OptionFacts): string {
  const names = [option.short, option.long].filter((name) => name !== null).map(bold);
  const head = names.join(', ') + (option.value === null ? '' : ` ${italic(option.value)}`);
  const notes = [
    option.choices.length > 0 ? `One of: ${option.choices.join(', ')}.` : null,
    option.default === null ? null : `Default: ${option.default}.`,
  ].filter((note) => note !== null);
  return ['.TP', head, sentence(option.description), ...notes.map(escaped)].join('\n');
}

function commandText(command: CommandFacts): string {
  const own = command.options.filter((option) => option.long !== '--help');
  const usage = [
    bold(command.path.join(' ')),
    own.length > 0 ? '[\\fIoptions\\fR]' : null,
    ...command.arguments.map((argument) => italic(argument.text)),
  ];
  return [
    `.SS ${escaped(command.path.slice(1).join(' '))}`,
    usage.filter((part) => part !== null).join(' '),
    '.PP',
    sentence(command.description),
    ...command.arguments
      .filter((argument) => argument.description !== '')
      .map((argument) => ['.TP', italic(argument.text), sentence(argument.description)].join('\n')),
    ...own.map(optionText),
  ].join('\n');
}

/** The page's source for man(1). */
export function manPage({ program, version, exits, environment }: ManualFacts): string {
  const commands = flatten(program).filter(
    (command) => command !== program && (command.commands.length === 0 || command.arguments.length > 0),
  );
  const name = program.path[0];
  return `${[
    `.TH ${name.toUpperCase()} 1 "" "${name} ${escaped(version)}" "User Commands"`,
    '.SH NAME',
    `${escaped(name)} \\- replay rr traces on machines where rr cannot`,
    '.SH SYNOPSIS',
    `${bold(name)} \\fIcommand\\fR [\\fIoptions\\fR] [\\fIarguments\\fR]`,
    '.SH DESCRIPTION',
    sentence(program.description),
    '.SH OPTIONS',
    ...program.options.map(optionText),
    '.SH COMMANDS',
    ...commands.map(commandText),
    '.SH EXIT STATUS',
    ...exits.map(({ code, meaning }) => ['.TP', bold(String(code)), sentence(meaning)].join('\n')),
    '.SH ENVIRONMENT',
    ...environment.map((entry) => ['.TP', bold(entry.name), sentence(entry.meaning)].join('\n')),
    '.SH SEE ALSO',
    '\\fBrr\\fR(1), \\fBgdb\\fR(1)',
  ].join('\n')}\n`;
}
