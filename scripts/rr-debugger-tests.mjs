// npm run rr-debugger-tests -- --rr-source DIR --recordings DIR [--only NAME...] [--limit SECONDS] [--jobs N] [--logs DIR]
// Runs rr's own debugger tests (src/test/*.py of a source tree of rr) against `revenant gdb`, on recordings that
// scripts/rr-debugger-tests/record.sh made. Prints a table; exits with 0 only if every session passed.
import { spawn } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { root, say, script, StepFailed } from './lib.mjs';
import { patientClock } from './patience.mjs';

const rr = path.join(root, 'scripts/rr-debugger-tests/rr.mjs');

/** Lines of a file that may be missing. */
const linesOf = (file) => (fs.existsSync(file) ? fs.readFileSync(file, 'utf8').trim().split('\n') : []);

/** Variables of a file of NAME=VALUE, each with a zero behind it, which may be missing. */
const environmentOf = (file) => {
  const text = fs.existsSync(file) ? fs.readFileSync(file, 'utf8') : '';
  const entries = text.split('\0').filter((entry) => entry.includes('='));
  return Object.fromEntries(
    entries.map((entry) => [entry.slice(0, entry.indexOf('=')), entry.slice(entry.indexOf('=') + 1)]),
  );
};

/** Every session that a recorded test would have started, those of one test in their order. */
function sessions(recordings, only) {
  const found = [];
  for (const name of fs.readdirSync(recordings).sort()) {
    const folder = path.join(recordings, name);
    if ((only.length > 0 && !only.includes(name)) || !fs.existsSync(path.join(folder, 'done'))) continue;
    const files = fs.readdirSync(folder).filter((file) => /^\d+\.session$/.test(file));
    for (const file of files.sort((a, b) => parseInt(a) - parseInt(b))) {
      const [source, , ...args] = fs.readFileSync(path.join(folder, file), 'utf8').trimEnd().split('\n');
      const input = path.join(folder, file.replace('.session', '.input'));
      const test = source.replace(/^.*\/src\/test\//, '');
      const options = args.slice(args.indexOf('replay') + 1).filter((option) => !option.startsWith('-o'));
      found.push({
        name,
        test,
        args,
        options,
        number: parseInt(file),
        input: fs.existsSync(input) ? input : null,
        environment: environmentOf(path.join(folder, file.replace('.session', '.environment'))),
        folder: linesOf(path.join(folder, 'folder'))[0],
        uptime: Number(linesOf(path.join(folder, 'uptime'))[0]),
        trace: path.join(folder, 'trace'),
      });
    }
  }
  return found;
}

/**
 * Where a test compares the recording's CLOCK_MONOTONIC with now: what runs a program with that clock going on where it stood
 * when the test was recorded (needs the superuser and a kernel with time namespaces).
 */
function clockOfRecording({ test, uptime }, tests) {
  const comparesClocks = /\btime\.monotonic\b/.test(fs.readFileSync(path.join(tests, test), 'utf8'));
  if (!comparesClocks || Number.isNaN(uptime)) return [];
  return [
    'unshare',
    '--time',
    `--monotonic=${Math.ceil(uptime - os.uptime())}`,
    '--fork',
    '--kill-child',
    '--',
  ];
}

/** Runs one session. Returns null if it passed, else why not. */
function runSession(session, source, limit, logs) {
  const tests = path.join(source, 'src/test');
  const cwd = fs.mkdtempSync(path.join(os.tmpdir(), 'rr-debugger-test-'));
  // Diversions search the recorded working folder on this machine.
  const made = session.folder && fs.mkdirSync(session.folder, { recursive: true });
  const args = session.args.map((arg) => arg.replace(/^-o.*\/src\/test\//, `-o${tests}/`));
  const stdin = session.input ? fs.openSync(session.input, 'r') : 'ignore';
  return new Promise((resolve) => {
    const python = ['python3', path.join(tests, session.test), rr, ...args];
    const [command, ...rest] = [...clockOfRecording(session, tests), ...python];
    const child = spawn(command, rest, {
      cwd,
      stdio: [stdin, 'pipe', 'pipe'],
      env: {
        ...process.env,
        ...session.environment,
        RR_TEST_TRACE: session.trace,
        TESTDIR: tests,
        TESTNAME: session.name,
        PYTHONDONTWRITEBYTECODE: '1',
      },
    });
    let said = '';
    for (const stream of [child.stdout, child.stderr]) stream.on('data', (text) => (said += text));
    let late = false;
    const taken = patientClock();
    const timer = setInterval(() => {
      late = taken() > limit;
      if (late) child.kill('SIGTERM'); // pexpect's terminal closes with it, and what runs on it ends
    }, 1000);
    child.once('close', (code) => {
      clearInterval(timer);
      const log = path.join(cwd, 'gdb_rr.log');
      const text = fs.existsSync(log) ? fs.readFileSync(log, 'utf8') : '';
      if (logs)
        fs.writeFileSync(path.join(logs, `${session.name}.${session.number}.log`), `${text}\n${said}`);
      for (const folder of [cwd, made]) if (folder) fs.rmSync(folder, { recursive: true });
      if (code === 0 && !late && !/FAILED/.test(said)) resolve(null);
      else
        resolve(
          `${late ? `not through after ${limit} s` : said.trim().split('\n')[0]}; last: ${text.slice(-160).replace(/\s+/g, ' ')}`,
        );
    });
  });
}

await script(async () => {
  const { values } = parseArgs({
    options: {
      'rr-source': { type: 'string' },
      recordings: { type: 'string' },
      only: { type: 'string', multiple: true, default: [] },
      limit: { type: 'string', default: '120' },
      jobs: { type: 'string', default: '1' },
      logs: { type: 'string' },
    },
  });
  const { 'rr-source': source, recordings, only, limit, jobs, logs } = values;
  if (!source || !recordings)
    throw new StepFailed(
      'usage: npm run rr-debugger-tests -- --rr-source DIR --recordings DIR [--only NAME...] [--limit SECONDS] [--jobs N] [--logs DIR]',
    );
  if (logs) fs.mkdirSync(logs, { recursive: true });
  const all = sessions(path.resolve(recordings), only);
  let passed = 0;
  const waiting = [...all];
  const work = async () => {
    for (let session = waiting.shift(); session; session = waiting.shift()) {
      const begun = Date.now();
      const why = await runSession(session, path.resolve(source), Number(limit), logs && path.resolve(logs));
      if (why === null) passed++;
      const seconds = ((Date.now() - begun) / 1000).toFixed(1);
      process.stdout.write(
        `| ${session.name} | ${session.test} ${session.options.join(' ')} | ${why ?? 'pass'} | ${seconds} |\n`,
      );
    }
  };
  await Promise.all(Array.from({ length: Number(jobs) }, work));
  say(`${passed} of ${all.length} passed`);
  return passed === all.length ? 0 : 1;
});
