/**
 * Runs vitest in a separate process and counts the results. A spec file in which no test ends for a
 * while is killed, reported by name as a failure, and the others continue: vitest's own time limits
 * do not work for a test that blocks the event loop.
 */
import { fork } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { root, say } from './lib.mjs';
import { patientClock } from './patience.mjs';

const VITEST = path.join(root, 'node_modules/vitest/vitest.mjs');
const REPORTER = path.join(root, 'scripts/spec-reporter.mjs');
/** Longer than any test takes on a slow machine, in fair seconds (patience.mjs). */
const SILENCE_SECONDS = 240;

/** @typedef {{passed: number, failed: number, skipped: number, failures: string[]}} Counts */

/**
 * Runs the spec files that `args` (vitest's) choose.
 * @param {{args: string[], silenceSeconds?: number, totalSeconds?: number, output?: 'ignore' | 2}}
 * options without a result for `silenceSeconds` (load-scaled) a file counts as hung; after
 * `totalSeconds` of the clock everything is ended
 * @returns {Promise<Counts>} `failures` has a line
 * or more for each failure
 */
export async function runSpecs({
  args,
  silenceSeconds = SILENCE_SECONDS,
  totalSeconds = Infinity,
  output = 2,
}) {
  const counts = { passed: 0, failed: 0, skipped: 0, failures: [] };
  const end = Date.now() + totalSeconds * 1000;
  const queue = [[]];
  while (queue.length > 0) {
    const files = queue.shift();
    const result = await runOnce([...args, ...files], silenceSeconds, end, output);
    const hung = result.files.filter((file) => file.tests && !file.over);
    const left = result.files.filter((file) => !file.tests && !file.over).map(({ name }) => name);
    const alone = hung.length > 1 && !result.outOfTime;
    // Files that ran in parallel: each again, alone, to identify the cause.
    if (alone) queue.push(...hung.map(({ name }) => [name]));
    for (const file of result.files) if (file.over || !alone) add(counts, file, result.ending);
    if (left.length === 0) addRun(counts, result, hung.length > 0);
    else if (!result.outOfTime && result.files.length > left.length) queue.push(left);
    else fail(counts, `not run (${result.outOfTime ? 'out of time' : 'vitest ended'}): ${left.join(', ')}`);
  }
  return counts;
}

function fail(counts, text) {
  counts.failed++;
  counts.failures.push(text);
}

function add(counts, file, ending) {
  if (!file.tests) return;
  const name = path.relative(root, file.name);
  const failedBefore = counts.failed;
  for (const test of file.tests) {
    if (test.state === 'failed') fail(counts, `${name} > ${test.name}\n${test.errors?.join('\n') ?? ''}`);
    else counts[test.state]++;
  }
  if (!file.over) {
    const last = file.tests.at(-1);
    const where = last ? `the last test that ended is '${last.name}'` : 'no test of it ended';
    fail(counts, `${name}: ${ending}; ${where}`);
  } else if (file.errors.length > 0 && counts.failed === failedBefore) {
    fail(counts, `${name}\n${file.errors.join('\n')}`);
  }
}

/**
 * A worker waits a minute by the clock for an answer to its news: a busy machine takes longer. Nothing is hidden by passing
 * over it: a file whose results did not come is not over.
 */
const LATE_NEWS = /\[vitest-worker\]: Timeout calling "(onTaskUpdate|onCollected|snapshotSaved)"/;

/** What belongs to no file: errors outside of tests, and a vitest that failed without output. */
function addRun(counts, { errors, status, files }, isHung) {
  for (const error of errors) if (!LATE_NEWS.test(error)) fail(counts, `outside of any test\n${error}`);
  const failed = files.some(
    (file) => file.errors.length > 0 || file.tests?.some(({ state }) => state === 'failed'),
  );
  if (status !== 0 && !failed && errors.length === 0 && !isHung) fail(counts, `vitest ended with ${status}`);
}

/** One run of vitest, until it ends or has been silent for too long. */
function runOnce(args, silenceSeconds, end, output) {
  const files = new Map();
  const fileOf = (name) => {
    if (!files.has(name)) files.set(name, { name, tests: null, over: false, errors: [] });
    return files.get(name);
  };
  const result = { errors: [], status: null, outOfTime: false, ending: 'vitest ended in it' };
  const take = {
    run: (message) => message.files.forEach(fileOf),
    file: (message) => void (fileOf(message.file).tests ??= []),
    test: (message) => (fileOf(message.file).tests ??= []).push(message),
    end: (message) => {
      const file = fileOf(message.file);
      file.tests ??= [];
      Object.assign(file, { over: true, errors: message.errors });
    },
    over: (message) => void (result.errors = message.errors),
  };
  return new Promise((resolve) => {
    const child = fork(VITEST, ['run', '--reporter=default', `--reporter=${REPORTER}`, ...args], {
      cwd: root,
      stdio: ['ignore', output, output, 'ipc'],
    });
    let silence = patientClock();
    const watch = setInterval(() => {
      result.outOfTime = Date.now() > end;
      if (!result.outOfTime && silence() < silenceSeconds) return;
      clearInterval(watch);
      result.ending = result.outOfTime
        ? 'killed, out of time'
        : `hung, killed after ${silenceSeconds} s without news`;
      say(`FAIL  vitest is ${result.ending}`);
      killTree(child.pid);
    }, 250);
    child.on('message', (message) => {
      silence = patientClock();
      take[message.kind]?.(message);
    });
    child.on('close', (code, signal) => {
      clearInterval(watch);
      resolve({ ...result, files: [...files.values()], status: signal ?? code });
    });
  });
}

/** Kills a process and its descendants of the same session; kept machines have sessions of their own. */
function killTree(pid) {
  const processes = fs.readdirSync('/proc').flatMap((name) => {
    if (!/^\d+$/.test(name)) return [];
    try {
      const stat = fs.readFileSync(`/proc/${name}/stat`, 'latin1');
      const [, parent, , session] = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
      return [{ pid: Number(name), parent: Number(parent), session }];
    } catch {
      return []; // ended meanwhile
    }
  });
  const session = processes.find((one) => one.pid === pid)?.session;
  const doomed = [pid];
  for (const one of doomed) {
    doomed.push(...processes.filter((p) => p.parent === one && p.session === session).map((p) => p.pid));
  }
  for (const one of doomed) {
    try {
      process.kill(one, 'SIGKILL');
    } catch {
      // already ended
    }
  }
}
