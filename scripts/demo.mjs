/**
 * Shows what Revenant does: sets everything up, replays the sample traces and prints what rr says of each beside it,
 * calls functions of a recorded program, goes backwards in one.
 */
import { spawnSync } from 'node:child_process';
import path from 'node:path';
import { hasCommand, root, say, script, StepFailed } from './lib.mjs';
import { ensureReady } from './setup.mjs';

const revenant = (args, stderr = 'inherit') =>
  spawnSync(process.execPath, ['bin/revenant', ...args], {
    cwd: root,
    encoding: 'utf8',
    maxBuffer: 1 << 28,
    stdio: ['ignore', 'pipe', stderr],
  });

const print = (text) => process.stdout.write(`${text}\n`);

/** What rr itself says: `replays`, or why not, in its own words. */
function whatRrSays(trace) {
  const rr = spawnSync('rr', ['--suppress-environment-warnings', 'replay', '-a', trace], {
    cwd: root,
    encoding: 'utf8',
    input: '',
    timeout: 30_000,
    killSignal: 'SIGKILL',
  });
  if (rr.error?.code === 'ETIMEDOUT') return 'no answer in 30 s';
  if (rr.status === 0) return 'replays';
  const lines = rr.stderr
    .split('\n')
    .map((line) => line.replace(/^\[(FATAL|WARN|ERROR)[^\]]*\]\s*/, '').trim());
  const at = lines.findIndex((line) =>
    /XCR0 value|different CPUID|mismatch|wrong size|not supported/.test(line),
  );
  const words = lines.slice(Math.max(at, 0)).filter((line) => line !== '');
  const end = words.findIndex((line) => /[.;!]$/.test(line));
  return words.slice(0, end < 0 ? 2 : end + 1).join(' ') || `exit status ${rr.status ?? rr.signal}`;
}

const CALLS = ['--at', 'insert:10', '--at', 'exit', '(int)tree_sum(root)', '(char*)describe(root)'];

/** What a process cannot carry, where nothing else is installed. */
const needsEmulated = ({ code }) => code === 'E_MACHINE_START';

/** The table; rr's sentences are long and few, so they are printed below it. */
async function showReplays(traces) {
  // Built by now, as this script's own imports need not be.
  const { formatTable, hang } = await import('../dist/cli/table.js');
  const { shortProcessorName } = await import('../dist/recording/processor.js');
  const { durationText } = await import('../dist/engine/base/quantities.js');
  const width = process.stdout.columns ?? 80;
  const rows = [['trace', 'recorded on', 'XCR0', 'rr', 'Revenant']];
  const sentences = [];
  const rrCell = (trace) => {
    if (!hasCommand('rr')) return 'not installed';
    const words = whatRrSays(trace);
    if (words === 'replays') return words;
    if (!sentences.includes(words)) sentences.push(words);
    return `fails [${sentences.indexOf(words) + 1}]`;
  };
  for (const trace of traces) {
    rows.push([
      path.relative(path.join(root, 'traces'), path.resolve(root, trace.trace)),
      shortProcessorName(trace.recordedOn),
      trace.xcr0.recorded,
      rrCell(trace.trace),
      trace.problem === null
        ? `replays in ${durationText(trace.seconds)}`
        : needsEmulated(trace)
          ? 'needs the emulated machine'
          : trace.problem.split('\n', 1)[0],
    ]);
  }
  process.stdout.write(formatTable(rows, { width }));
  const here = [...new Set(traces.map(({ xcr0 }) => xcr0.machine).filter(Boolean))].join(', ');
  print(hang('', `XCR0 is that of the recording machine; the one that replays has ${here}.`, width));
  sentences.forEach((words, at) => print(hang(`[${at + 1}] `, `rr says: ${words}`, width)));
}

/** Runs a command as a user would type it. Throws StepFailed if it fails. */
function show(command, ...args) {
  const quoted = args.map((arg) => (/[^\w./:=-]/.test(arg) ? `'${arg}'` : arg));
  print(`\n$ ${[command, ...quoted].join(' ')}`);
  const program = command === 'node' ? [] : [command];
  const { status } = spawnSync(process.execPath, [...program, ...args], {
    cwd: root,
    stdio: ['ignore', 'inherit', 'inherit'],
  });
  if (status !== 0) throw new StepFailed(`demo: ${command} ${args[0]} failed`);
}

await script(async () => {
  await ensureReady();
  const before = JSON.parse(revenant(['machine', 'status', '--json']).stdout);
  try {
    say('demo: replaying the sample traces');
    const { stdout } = revenant(['replay', '--all', 'traces', '--json']);
    const result = JSON.parse(stdout);
    print('');
    await showReplays(result.traces);
    // Programs that print what they see of the processor.
    show('bin/revenant', 'replay', 'traces/haswell/xcr0probe');
    show('bin/revenant', 'replay', 'traces/noavx/xcr0probe');
    print('\nFunctions of a recorded program, called where it was stopped:');
    show('bin/revenant', 'call', 'traces/skylake-pku/tree', ...CALLS);
    print('\nWho wrote that? Backwards from the end, by a script:');
    show('node', 'examples/who-wrote.mjs');
    print(
      '\nEach program ran again in a guest with the XCR0 and CPUID of the processor that\n' +
        'it was recorded on, every frame compared with the recording, without a\n' +
        'performance counter.',
    );
    print(`${result.passed} of ${result.traces.length} sample traces replayed as recorded.`);
    const left = result.traces.filter(needsEmulated).length;
    if (left > 0) print(`${left} need the emulated machine, which \`npm run setup -- --emulated\` installs.`);
    return result.failed > left ? 1 : 0;
  } finally {
    // What was running before belongs to another user. One that is in use by now stays.
    if (before.machines.length === 0) revenant(['machine', 'stop'], 'ignore');
  }
});
