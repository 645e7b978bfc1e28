/** The code blocks of a Markdown document, and the remarks about running them. */

export interface Block {
  /** `docs/ci.md:27`. */
  where: string;
  /** After the opening fence. */
  language: string;
  text: string;
  /** Of a comment `<!-- not run: REASON -->` right before, or of the whole document's; null: it is to be run. */
  notRun: string | null;
}

const NOT_RUN = /^<!-- not run: (.+) -->$/;
const NONE_RUN = /^<!-- no block is run: (.+) -->$/m;

/** Every fenced block. */
export function blocksOf(name: string, text: string): Block[] {
  const blocks: Block[] = [];
  const ofAll = NONE_RUN.exec(text)?.[1] ?? null;
  const lines = text.split('\n');
  for (let at = 0; at < lines.length; at++) {
    const fence = /^```(\w*)$/.exec(lines[at]);
    if (!fence) continue;
    const end = lines.indexOf('```', at + 1);
    if (end < 0) throw new Error(`${name}:${at + 1}: a block has no end`);
    const before = lines.slice(0, at).findLast((line) => line !== '') ?? '';
    blocks.push({
      where: `${name}:${at + 1}`,
      language: fence[1],
      text: lines.slice(at + 1, end).join('\n'),
      notRun: NOT_RUN.exec(before)?.[1] ?? ofAll,
    });
    at = end;
  }
  return blocks;
}

/** A command line of a transcript, and its documented output. */
export interface Step {
  command: string;
  output: string;
}

/** The steps of a block that shows `$ command` and output; none if it is of another form. */
export function transcriptOf({ text }: Block): Step[] {
  const steps: Step[] = [];
  for (const line of text.split('\n')) {
    if (line.startsWith('$ ')) steps.push({ command: line.slice(2), output: '' });
    else if (steps.length > 0) steps.at(-1)!.output += `${line}\n`;
  }
  return text.startsWith('$ ') ? steps : [];
}

/**
 * The commands of a block that lists them, each with a remark after two spaces or `#`; none if it is not such a list.
 */
export function listedCommands({ text }: Block): string[] {
  const lines = text.split('\n').filter((line) => line !== '');
  const commands = lines.map((line) => line.split(/ {2,}| # /, 1)[0].trim());
  return commands.every((command) => /^((?:bin\/)?revenant|npm|redis-server|node) /.test(`${command} `))
    ? commands
    : [];
}

/** Progress and remarks on machines: they depend on what else runs. */
const NOISE =
  /^revenant: (starting the emulated machine|waiting for a machine|frame \d+, |[\w/-]+: frame \d+, ).*\n/gm;

/**
 * A pattern for the documented output of a command. Variable parts are written with sample values:
 * durations (any), the machine after `revenant: machine:` and its XCR0, temporary folders; `...` is anything
 * within a line.
 */
export function patternOf(output: string): RegExp {
  const duration = String.raw`\d+(?:\.\d+)? (?:us|ms|s|min|h)(?: \d+ (?:s|min))?`;
  const escaped = output
    .replace(/[.*+?^${}()|[\]\\]/g, '\\$&')
    .replaceAll(String.raw`\.\.\.`, '.*')
    .replace(new RegExp(duration.replace('?:\\.\\d+', '?:\\\\\\.\\d+'), 'g'), duration)
    .replace(/^(revenant: machine: ).*(; XCR0 )/gm, '$1.*$2')
    .replace(/( in the guest, )0x[0-9a-f]+( in the machine)/g, '$10x[0-9a-f]+$2');
  return new RegExp(`^${escaped}$`);
}

export const withoutNoise = (output: string): string => output.replace(NOISE, '');
