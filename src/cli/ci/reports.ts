import fs from 'node:fs';
import path from 'node:path';
import type { RevenantError } from '../../engine/base/errors.js';
import { makeFolder } from '../../engine/base/folders.js';
import { unwritable } from '../../engine/base/system-errors.js';
import { annotations, stepSummary } from '../../jobs/report/github.js';
import { htmlReport } from '../../jobs/report/html.js';
import { junitXml } from '../../jobs/report/junit.js';
import type { RunReport } from '../../jobs/report/run-report.js';
import { reportJson } from '../../jobs/report/run-report.js';
import type { CommandIo } from '../output.js';

export interface ReportFiles {
  junit?: string;
  html?: string;
  json?: boolean;
}

/** Writing reports during a run takes at most 1/N of the time. */
const SHARE = 20;

/**
 * The reports of a run: files that are rewritten as results arrive, so that results so far survive
 * a crash, and output that is written at the end. A report that cannot be written does not prevent
 * the others.
 */
export class Reports {
  private readonly writers: [what: string, file: string, text: (report: RunReport) => string][] = [];
  private readonly failures = new Map<string, RevenantError>();
  /** When the reports were last written, and how long that took. */
  private last = -Infinity;
  private cost = 0;
  private timer: NodeJS.Timeout | null = null;

  /**
   * @param soFar the current results; unfinished jobs are included as not run
   * @param complain called once for each report that cannot be written
   */
  constructor(
    private readonly files: ReportFiles,
    private readonly io: CommandIo,
    private readonly soFar: () => RunReport,
    private readonly complain: (text: string) => void,
  ) {
    if (files.junit !== undefined) this.writers.push(['the JUnit report', files.junit, junitXml]);
    if (files.html !== undefined) this.writers.push(['the report', files.html, htmlReport]);
  }

  /** Called for each result and before the first: writes the current results, now or soon. */
  update(): void {
    if (this.writers.length === 0) return;
    const wait = this.last + this.cost * SHARE - this.io.now();
    if (wait <= 0) this.writeFiles(this.soFar());
    else this.timer ??= setTimeout(() => this.writeFiles(this.soFar()), wait).unref();
  }

  /**
   * Writes everything: the files, the document on standard output; in GitHub Actions annotations and the step's summary.
   * Returns what could not be written and was not reported yet. Throws OutputClosed, after all else is written.
   */
  finish(report: RunReport, environment: NodeJS.ProcessEnv): RevenantError[] {
    this.failures.clear();
    this.writeFiles(report, false);
    if (environment.GITHUB_ACTIONS === 'true') {
      // Commands are read from either stream; standard output may hold the JSON document.
      this.io.err(annotations(report, environment.GITHUB_WORKSPACE ?? process.cwd()));
      const summary = environment.GITHUB_STEP_SUMMARY;
      if (summary)
        this.attempt("the step's summary", summary, () => fs.appendFileSync(summary, stepSummary(report)));
    }
    if (this.files.json) this.io.out(`${reportJson(report)}\n`);
    return [...this.failures.values()];
  }

  private writeFiles(report: RunReport, says = true): void {
    if (this.timer) clearTimeout(this.timer);
    this.timer = null;
    const begun = this.io.now();
    for (const [what, file, text] of this.writers) {
      if (says && this.failures.has(file)) continue;
      this.attempt(what, file, () => replaceFile(file, text(report)));
      const failure = this.failures.get(file);
      if (failure && says) this.complain(failure.message);
    }
    this.last = this.io.now();
    this.cost = this.last - begun;
  }

  private attempt(what: string, file: string, write: () => void): void {
    try {
      write();
    } catch (error) {
      this.failures.set(file, unwritable(`${what} ${file}`, error));
    }
  }
}

/** Replaces the file atomically; anything but a regular file (a pipe) is written to. */
function replaceFile(file: string, text: string): void {
  const folder = path.dirname(path.resolve(file));
  makeFolder(folder);
  const stat = fs.statSync(file, { throwIfNoEntry: false });
  if (stat && !stat.isFile()) return fs.writeFileSync(file, text);
  const target = stat ? fs.realpathSync(file) : path.resolve(file);
  // A name of the same length: one of maximum length has no room for a suffix.
  const unfinished = path.join(path.dirname(target), `.revenant-${process.pid}`);
  try {
    fs.writeFileSync(unfinished, text);
    fs.renameSync(unfinished, target);
  } catch (error) {
    fs.rmSync(unfinished, { force: true });
    // A writable file in a folder that is not writable.
    if (!stat || !['EACCES', 'EPERM', 'EROFS'].includes((error as NodeJS.ErrnoException).code ?? ''))
      throw error;
    fs.writeFileSync(target, text);
  }
}
