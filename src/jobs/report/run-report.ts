/** What a whole run was: the JSON document, and what every other report is made from. */
import { type JobResult, type JobState, wasInterrupted } from '../model/result.js';

export interface RunReport {
  version: 1;
  /** Of Revenant. */
  revenant: string;
  /** When it began, ISO 8601. */
  started: string;
  /** Of the whole run. */
  seconds: number;
  /** The manifest or folder, as given. */
  target: string;
  strict: boolean;
  host: { name: string; processor: string; cores: number; memoryBytes: number; node: string };
  /** Jobs at the same time; 0 with a queue. */
  parallel: number;
  counts: Record<JobState, number> & { cached: number; flaky: number; total: number };
  /** Jobs that `--changed-since` left out. */
  unchanged: number;
  results: JobResult[];
}

export function countStates(results: readonly JobResult[]): RunReport['counts'] {
  const count = (test: (result: JobResult) => boolean): number => results.filter(test).length;
  return {
    passed: count(({ state }) => state === 'passed'),
    failed: count(({ state }) => state === 'failed'),
    error: count(({ state }) => state === 'error'),
    skipped: count(({ state }) => state === 'skipped'),
    cached: count(({ cached }) => cached),
    flaky: count(({ flaky }) => flaky),
    total: results.length,
  };
}

/** `56 passed, 1 failed, 2 skipped (3 from the cache)`. */
export function countsText(counts: RunReport['counts']): string {
  const parts = [
    `${counts.passed} passed`,
    ...(counts.failed ? [`${counts.failed} failed`] : []),
    ...(counts.error ? [`${counts.error} with errors`] : []),
    ...(counts.skipped ? [`${counts.skipped} skipped`] : []),
  ];
  const notes = [
    ...(counts.cached ? [`${counts.cached} from the cache`] : []),
    ...(counts.flaky ? [`${counts.flaky} passed only when tried again`] : []),
  ];
  return parts.join(', ') + (notes.length > 0 ? ` (${notes.join(', ')})` : '');
}

/** The document for `--json`: without the drawings' data. */
export function reportJson(report: RunReport): string {
  return JSON.stringify(report, (key, value: unknown) => (key === 'timeline' ? undefined : value), 2);
}

/** The slowest, with their seconds in the worker; without cached results and those that were not run. */
export function slowest(results: readonly JobResult[], count: number): JobResult[] {
  return [...results]
    .filter((result) => !result.cached && !wasInterrupted(result))
    .sort((a, b) => b.seconds - a.seconds)
    .slice(0, count);
}
