/** Workflow commands of GitHub Actions: annotations on standard output, and the job's summary as Markdown. */
import path from 'node:path';
import { durationText } from '../../engine/base/quantities.js';
import type { JobResult } from '../model/result.js';
import { headline, problemLines } from './problem-text.js';
import type { RunReport } from './run-report.js';
import { countsText } from './run-report.js';

/** GitHub shows ten annotations of a kind and step. */
const MOST_ANNOTATIONS = 10;

const data = (text: string): string =>
  text.replaceAll('%', '%25').replaceAll('\r', '%0D').replaceAll('\n', '%0A');
const property = (text: string): string => data(text).replaceAll(':', '%3A').replaceAll(',', '%2C');

/**
 * `::error file=...::...` lines for failures, `::warning` for what was skipped or passed only when tried again.
 * @param root folder that GitHub takes file names relative to
 */
export function annotations(report: RunReport, root: string): string {
  const of = (level: string, results: JobResult[], text: (result: JobResult) => string): string[] => {
    const shown = results.slice(0, MOST_ANNOTATIONS - 1);
    const lines = shown.map((result) => annotation(level, result, text(result), root));
    const left = results.length - shown.length;
    if (left > 0) lines.push(`::${level} title=revenant::${left} more; see the report`);
    return lines;
  };
  const { results } = report;
  const bad = results.filter(({ state }) => state === 'failed' || state === 'error');
  const skipped = results.filter(({ state }) => state === 'skipped');
  const flaky = results.filter((result) => result.flaky);
  const lines = [
    ...of('error', bad, (result) => result.problems.flatMap(problemLines).join('\n')),
    ...of(report.strict ? 'error' : 'warning', skipped, (result) => `Skipped: ${headline(result)}`),
    ...of('warning', flaky, ({ attempts }) => `Passed only at attempt ${attempts}.`),
  ];
  return lines.map((line) => `${line}\n`).join('');
}

function annotation(level: string, result: JobResult, text: string, root: string): string {
  const { source } = result;
  const file = source ? path.relative(root, source.file) : null;
  const where = file === null || file.startsWith('..') ? '' : `file=${property(file)},line=${source!.line},`;
  return `::${level} ${where}title=${property(result.name)}::${data(text)}`;
}

const cell = (text: string): string => text.replace(/[|\\`<>]/g, (c) => `\\${c}`).replaceAll('\n', ' ');

/** For $GITHUB_STEP_SUMMARY. */
export function stepSummary(report: RunReport): string {
  const rows = report.results
    .filter(({ state, flaky }) => state !== 'passed' || flaky)
    .map(
      (result) =>
        `| ${cell(result.name)} | ${result.flaky ? 'flaky' : result.state} | ${cell(headline(result))} | ${durationText(result.seconds)} |`,
    );
  const table =
    rows.length === 0 ? [] : ['', '| trace | state | why | time |', '| --- | --- | --- | --- |', ...rows];
  return [`### Replayed traces: ${countsText(report.counts)}`, ...table, '', ''].join('\n');
}
