/** Completion scripts of shells, from the same command line that `--help` prints. They do not run revenant. */
import { flatten, type CommandFacts, type OptionFacts } from './describe.js';

export const SHELLS = ['bash', 'zsh', 'fish'] as const;
export type Shell = (typeof SHELLS)[number];

const makers: Record<Shell, (program: CommandFacts) => string> = { bash, zsh, fish };

/** The script for a shell; its first lines say where to install it. */
export const completionScript = (shell: Shell, program: CommandFacts): string => makers[shell](program);

/** In single quotes for a POSIX shell (and zsh). */
const quoted = (text: string): string => `'${text.replaceAll("'", "'\\''")}'`;
const pathText = (command: CommandFacts): string => command.path.join(' ');
const nameOf = (command: CommandFacts): string => command.path[command.path.length - 1];
const forms = (option: OptionFacts): string[] =>
  [option.short, option.long].filter((form): form is string => form !== null);

/** Candidates for the next word after a command: subcommands, or the choices of its arguments. */
const words = (command: CommandFacts): string[] =>
  command.commands.length > 0
    ? command.commands.map(nameOf)
    : command.arguments.flatMap(({ choices }) => [...choices]);

function bash(program: CommandFacts): string {
  const all = flatten(program);
  const nested = all.filter((command) => command !== program);
  const valued = all.flatMap((command) =>
    command.options
      .filter((option) => option.value !== null)
      .map((option) => {
        const patterns = forms(option)
          .map((form) => quoted(`${pathText(command)} ${form}`))
          .join('|');
        const offer = option.choices.length > 0 ? `words=${quoted(option.choices.join(' '))}` : 'files=1';
        return `    ${patterns}) ${offer} ;;`;
      }),
  );
  const per = all.map((command) => {
    const options = command.options.flatMap(forms).join(' ');
    return `    ${quoted(pathText(command))}) options=${quoted(options)} words=${quoted(words(command).join(' '))} ;;`;
  });
  return `# bash completion of revenant. In ~/.bashrc: eval "$(revenant completion bash)"
_revenant() {
  local current=\${COMP_WORDS[COMP_CWORD]} previous=\${COMP_WORDS[COMP_CWORD-1]}
  local path=revenant options='' words='' files='' i
  # Bash takes --machine=host for three words.
  if [[ $current == '=' ]]; then current=''
  elif [[ $previous == '=' ]]; then previous=\${COMP_WORDS[COMP_CWORD-2]}
  fi
  for ((i = 1; i < COMP_CWORD; i++)); do
    case "$path \${COMP_WORDS[i]}" in
    ${nested.map((command) => quoted(pathText(command))).join('|')}) path="$path \${COMP_WORDS[i]}" ;;
    esac
  done
  case "$path $previous" in
${valued.join('\n')}
  *)
    case "$path" in
${per.join('\n')}
    esac
    [[ $current == -* ]] && words=$options
    ;;
  esac
  COMPREPLY=()
  [[ -z $files ]] && mapfile -t COMPREPLY < <(compgen -W "$words" -- "$current")
}
complete -o bashdefault -o default -F _revenant revenant
`;
}

/** A message of _arguments: brackets and colons end it. */
const zshText = (text: string): string => text.replace(/[\\[\]:]/g, '\\$&');

function zshOption(option: OptionFacts): string[] {
  const what =
    option.value === null
      ? ''
      : `:${zshText(option.value.replace(/[<>[\].]/g, ''))}:${
          option.choices.length > 0 ? `(${option.choices.join(' ')})` : '_files'
        }`;
  return forms(option).map((form) => {
    const joined = option.value !== null && form.startsWith('--') ? `${form}=` : form;
    return quoted(`*${joined}[${zshText(option.description)}]${what}`);
  });
}

function zshFunction(command: CommandFacts): string {
  const name = `_${command.path.join('_')}`;
  const specs = command.options.flatMap(zshOption);
  if (command.commands.length === 0) {
    const rest = command.arguments.map(({ text, choices }) => {
      const message = zshText(text.replace(/[<>[\].]/g, ''));
      return quoted(`*:${message}:${choices.length > 0 ? `(${choices.join(' ')})` : '_files'}`);
    });
    // A second `*:` would replace the first.
    return `${name}() {\n  _arguments -s ${[...specs, ...rest.slice(-1)].join(' \\\n    ')}\n}\n`;
  }
  const named = command.commands.map(
    (sub) => `${nameOf(sub)}\\:${zshText(sub.description).replace(/["\\() ]/g, '\\$&')}`,
  );
  const calls = command.commands.map((sub) => `  ${nameOf(sub)}) _${sub.path.join('_')} ;;`);
  return `${name}() {
  local context state state_descr line
  typeset -A opt_args
  _arguments -C ${[...specs, quoted(`1:command:((${named.join(' ')}))`), quoted('*::argument:->rest')].join(' \\\n    ')}
  [[ $state == rest ]] || return
  case $line[1] in
${calls.join('\n')}
  esac
}
`;
}

function zsh(program: CommandFacts): string {
  const functions = flatten(program).reverse().map(zshFunction).join('\n');
  return `#compdef revenant
# zsh completion of revenant. In ~/.zshrc, after compinit: source <(revenant completion zsh)
${functions}
if [[ $funcstack[1] == _revenant ]]; then _revenant "$@"; else compdef _revenant revenant; fi
`;
}

/** In single quotes for fish, where a backslash and a quote are escaped. */
const fishText = (text: string): string => `'${text.replace(/[\\']/g, '\\$&')}'`;

function fish(program: CommandFacts): string {
  const lines: string[] = [];
  for (const command of flatten(program)) {
    const above = command.path.slice(1);
    const below = command.commands.map(nameOf);
    const seen = above.map((name) => `__fish_seen_subcommand_from ${name}`);
    const first = [
      ...seen,
      ...(below.length > 0 ? [`not __fish_seen_subcommand_from ${below.join(' ')}`] : []),
    ];
    const head = (conditions: string[]): string =>
      `complete -c revenant${conditions.length > 0 ? ` -n ${fishText(conditions.join('; and '))}` : ''}`;
    for (const sub of command.commands)
      lines.push(`${head(first)} -f -a ${nameOf(sub)} -d ${fishText(sub.description)}`);
    for (const { choices } of command.arguments)
      if (choices.length > 0) lines.push(`${head(first)} -f -a ${fishText(choices.join(' '))}`);
    for (const option of command.options) {
      const names = [
        option.short === null ? null : `-s ${option.short.slice(1)}`,
        `-l ${option.long.replace(/^--/, '')}`,
        option.value === null ? null : '-r',
        option.choices.length > 0 ? `-f -a ${fishText(option.choices.join(' '))}` : null,
      ].filter((part) => part !== null);
      lines.push(`${head(first)} ${names.join(' ')} -d ${fishText(option.description)}`);
    }
  }
  return `# fish completion of revenant: revenant completion fish > ~/.config/fish/completions/revenant.fish
${lines.join('\n')}
`;
}
