/** JUnit XML in the form that Jenkins, GitLab and GitHub's reporters read (the schema of Jenkins' xUnit plug-in). */
import type { StreamFacts } from '../../recording/stream-capture.js';
import type { JobResult } from '../model/result.js';
import { headline, resultText } from './problem-text.js';
import type { RunReport } from './run-report.js';

/** Characters that XML 1.0 does not allow, not even escaped; names and outputs may contain them. */
const FORBIDDEN = /[^\t\n\r\u{20}-\u{d7ff}\u{e000}-\u{fffd}\u{10000}-\u{10ffff}]/gu;

const clean = (text: string): string => text.replace(FORBIDDEN, '\ufffd');
const escape = (text: string): string =>
  clean(text).replace(/&/g, '&amp;').replace(/</g, '&lt;').replace(/>/g, '&gt;').replace(/"/g, '&quot;');
const attribute = (text: string): string => escape(text).replace(/[\n\r\t]/g, (c) => `&#${c.charCodeAt(0)};`);

const MOST_OUTPUT = 64 * 1024;

/**
 * The whole file. A run is one suite, a job one case; its class is the folder, so that viewers group by it.
 *
 * Restricted to both schemas in use, Jenkins' and that of Ant's tasks: no attributes of the root,
 * one child per case (so the program's output is in the failure's text), output elements of the
 * suite although empty.
 */
export function junitXml(report: RunReport): string {
  const { counts, results, seconds, started, host } = report;
  const attributes = {
    name: 'revenant',
    package: 'revenant',
    id: '0',
    tests: String(counts.total),
    failures: String(counts.failed),
    errors: String(counts.error),
    skipped: String(counts.skipped),
    time: seconds.toFixed(3),
    timestamp: started.replace(/(\.\d+)?Z$/, ''),
    hostname: host.name || 'localhost',
  };
  const properties = [
    ['revenant.version', report.revenant],
    ['revenant.target', report.target],
    ['host.processor', host.processor],
  ].map(([name, value]) => `      <property ${attributeList({ name, value })}/>`);
  return [
    '<?xml version="1.0" encoding="UTF-8"?>',
    '<testsuites>',
    `  <testsuite ${attributeList(attributes)}>`,
    '    <properties>',
    ...properties,
    '    </properties>',
    ...results.map(testCase),
    '    <system-out></system-out>',
    '    <system-err></system-err>',
    '  </testsuite>',
    '</testsuites>',
    '',
  ].join('\n');
}

const attributeList = (attributes: Record<string, string>): string =>
  Object.entries(attributes)
    .map(([name, value]) => `${name}="${attribute(value)}"`)
    .join(' ');

function testCase(result: JobResult): string {
  const { name, seconds } = result;
  const at = name.lastIndexOf('/');
  const classname = at < 0 ? 'revenant' : name.slice(0, at).replaceAll('/', '.');
  const head = attributeList({ name: name.slice(at + 1), classname, time: seconds.toFixed(3) });
  const inner = verdict(result);
  return inner === null
    ? `    <testcase ${head}/>`
    : `    <testcase ${head}>\n      ${inner}\n    </testcase>`;
}

function verdict(result: JobResult): string | null {
  const [first] = result.problems;
  const head = attributeList({ message: headline(result), type: first?.code ?? first?.kind ?? 'unknown' });
  switch (result.state) {
    case 'passed':
      return null;
    case 'skipped':
      return `<skipped ${attributeList({ message: headline(result) })}/>`;
    case 'failed':
      return `<failure ${head}>${escape(fullText(result))}</failure>`;
    case 'error':
      return `<error ${head}>${escape(fullText(result))}</error>`;
  }
}

/** With the program's output and the position in the manifest. */
function fullText(result: JobResult): string {
  const { source, stdout, stderr } = result;
  const output = (name: string, stream: StreamFacts | null): string[] =>
    stream && stream.bytes > 0
      ? ['', `${name}:`, Buffer.from(stream.base64, 'base64').subarray(0, MOST_OUTPUT).toString('utf8')]
      : [];
  return [
    resultText(result),
    ...(source ? [`Defined in ${source.file}:${source.line}`] : []),
    ...output('stdout', stdout),
    ...output('stderr', stderr),
  ].join('\n');
}
