import fs from 'node:fs';
import path from 'node:path';
import { annotations, stepSummary } from '../jobs/report/github.js';
import { htmlReport } from '../jobs/report/html.js';
import { junitXml } from '../jobs/report/junit.js';
import type { RunReport } from '../jobs/report/run-report.js';
import { reportJson } from '../jobs/report/run-report.js';
import type { CommandIo } from './output.js';

export interface ReportFiles {
  junit?: string;
  html?: string;
  json?: boolean;
}

/** Writes what was asked for; in GitHub Actions also annotations and the step's summary. */
export function writeReports(
  report: RunReport,
  files: ReportFiles,
  io: CommandIo,
  environment: NodeJS.ProcessEnv,
): void {
  if (files.junit !== undefined) writeFile(files.junit, junitXml(report));
  if (files.html !== undefined) writeFile(files.html, htmlReport(report));
  if (files.json) io.out(`${reportJson(report)}\n`);
  if (environment.GITHUB_ACTIONS !== 'true') return;
  // Commands are read from either stream; standard output may hold the JSON document.
  io.err(annotations(report, environment.GITHUB_WORKSPACE ?? process.cwd()));
  const summary = environment.GITHUB_STEP_SUMMARY;
  if (summary) fs.appendFileSync(summary, stepSummary(report));
}

function writeFile(file: string, text: string): void {
  fs.mkdirSync(path.dirname(path.resolve(file)), { recursive: true });
  fs.writeFileSync(file, text);
}
