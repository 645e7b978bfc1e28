import type { JobResult, Problem } from '../model/result.js';

/** A problem as lines: message, expected and found, hint. */
export function problemLines(problem: Problem): string[] {
  const { message, expected, found, hint } = problem;
  return [
    ...message.split('\n'),
    ...(expected === null ? [] : labelled('expected:', expected)),
    ...(found === null ? [] : labelled('found:   ', found)),
    ...(hint === null ? [] : [hint]),
  ];
}

function labelled(label: string, text: string): string[] {
  const [first, ...rest] = text.replace(/\n$/, '').split('\n');
  return [`  ${label} ${first}`, ...rest.map((line) => `  ${' '.repeat(label.length)} ${line}`)];
}

/** Everything there is to say of a result that did not pass, for logs and reports. */
export function resultText(result: JobResult): string {
  const lines = result.problems.flatMap((problem) =>
    problem.kind === 'divergence' && result.divergenceText !== null
      ? result.divergenceText.trimEnd().split('\n')
      : problemLines(problem),
  );
  const artifacts = result.artifacts.map(({ kind, path }) => `${kind}: ${path}`);
  const { reproduce, debug } = result;
  return [
    ...lines,
    ...artifacts,
    `To see it again: ${reproduce}`,
    ...(debug === null ? [] : [`To debug it, in the folder of artifacts: ${debug}`]),
  ].join('\n');
}

/** Characters of an expected or found value within a line. */
const MOST_IN_LINE = 60;

/** One line: the first problem's first line, with what was expected and found. */
export function headline({ problems }: JobResult): string {
  const [first] = problems;
  if (first === undefined) return '';
  const { message, expected, found } = first;
  const text = message.split('\n', 1)[0];
  if (expected === null || found === null || (text.includes(expected) && text.includes(found))) return text;
  return `${text.replace(/\.$/, '')}: expected ${inLine(expected)}, found ${inLine(found)}`;
}

/** A text of any length and number of lines in one line. */
function inLine(text: string): string {
  const line = text.trimEnd().replaceAll('\n', '\\n');
  return line.length > MOST_IN_LINE ? `${line.slice(0, MOST_IN_LINE - 1)}…` : line;
}
