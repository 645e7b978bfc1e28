/** The report as one HTML file: style, script and data are embedded. */
import fs from 'node:fs';
import path from 'node:path';
import { invariant } from '../../engine/base/errors.js';
import { projectRoot } from '../../engine/base/native-folder.js';
import { durationText, elapsedText, paceText, shortNumber, sizeText } from '../../engine/base/quantities.js';
import type { StreamFacts } from '../../recording/stream-capture.js';
import type { JobResult } from '../model/result.js';
import { headline } from './problem-text.js';
import type { RunReport } from './run-report.js';
import { countsText } from './run-report.js';

const ASSETS = path.join(projectRoot, 'assets/report');
/** In the order of their imports. */
const SCRIPTS = ['dom.js', 'data.js', 'timeline.js', 'events.js', 'detail.js', 'main.js'];

/** Of a program's output; a report of many traces must stay small. */
const MOST_OUTPUT = 64 * 1024;
const MOST_OUTPUT_OF_PASSED = 8 * 1024;
/** Of packed texts of system calls of a trace that passed. */
const MOST_CALLS_OF_PASSED = 64 * 1024;
/** Embedded in the scripts, so that quantities are formatted the same everywhere. */
const SHARED = { shortNumber, durationText, elapsedText, sizeText, paceText };

export function htmlReport(report: RunReport): string {
  const title = `Replayed traces: ${countsText(report.counts)}`;
  const results = report.results.map(shortened);
  const style = fs.readFileSync(path.join(ASSETS, 'report.css'), 'utf8');
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'">
<link rel="icon" href="data:,">
<title>${escapeText(title)}</title>
<style>
${style}</style>
</head>
<body>
<header></header>
<main><noscript>This report needs JavaScript.</noscript></main>
<script type="application/json" id="run">${inScript({ ...report, results })}</script>
<script>
${joinScripts()}</script>
</body>
</html>
`;
}

const escapeText = (text: string): string => text.replace(/&/g, '&amp;').replace(/</g, '&lt;');

/** JSON that cannot end the script element it is in. */
const inScript = (value: unknown): string => JSON.stringify(value).replace(/</g, '\\u003c');

/**
 * The modules as one script. They import only each other and are in dependency order, so that
 * removing `import` and `export` is sufficient; they share one top-level scope.
 */
function joinScripts(): string {
  const shared = Object.entries(SHARED)
    .map(([name, each]) => {
      invariant(each.name === name, `${name} is called ${each.name} in the bundle`);
      return String(each);
    })
    .join('\n');
  const parts = SCRIPTS.map((name) =>
    fs
      .readFileSync(path.join(ASSETS, name), 'utf8')
      .replace(/^import [^;]*;\n/gm, '')
      .replace(/^export /gm, ''),
  );
  return `(() => {\n'use strict';\n${shared}\n${parts.join('\n')}})();\n`;
}

function shortened(result: JobResult): JobResult & { headline: string } {
  const most = result.state === 'passed' ? MOST_OUTPUT_OF_PASSED : MOST_OUTPUT;
  const short = (stream: StreamFacts | null): StreamFacts | null => {
    const kept = stream && Buffer.from(stream.base64, 'base64');
    if (!stream || !kept || kept.length <= most) return stream;
    return { ...stream, base64: kept.subarray(0, most).toString('base64'), truncated: true };
  };
  const { timeline } = result;
  const keepsCalls = result.state !== 'passed' || (timeline?.calls.length ?? 0) <= MOST_CALLS_OF_PASSED;
  return {
    ...result,
    headline: headline(result),
    timeline: timeline && (keepsCalls ? timeline : { ...timeline, calls: '' }),
    stdout: short(result.stdout),
    stderr: short(result.stderr),
    divergenceText: null,
  };
}
