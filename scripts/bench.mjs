/**
 * How fast: frames decoded a second, command to first frame, exits a second, microseconds a frame, peak
 * memory; each with its aim beside it. `--machine host|emulated|auto` (default auto).
 */
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { root, say, script, StepFailed } from './lib.mjs';
import { ensureReady } from './setup.mjs';

const machine = process.argv.includes('--machine')
  ? process.argv[process.argv.indexOf('--machine') + 1]
  : 'auto';

/** Runs the command; returns its JSON document and the seconds it took. */
function revenant(args) {
  const begun = performance.now();
  const done = spawnSync(process.execPath, ['bin/revenant', ...args], {
    cwd: root,
    encoding: 'utf8',
    maxBuffer: 1 << 28,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const seconds = (performance.now() - begun) / 1000;
  if (done.status !== 0) throw new StepFailed(`revenant ${args.join(' ')}: ${done.stderr.trim()}`);
  return { seconds, document: done.stdout.startsWith('{') ? JSON.parse(done.stdout) : null };
}

/** The first of these traces that exists: the large ones beside the project, else a sample. */
const traceOf = (...names) =>
  names.map((name) => path.resolve(root, name)).find((name) => fs.existsSync(name));

const rows = [['what', 'measured', 'aim']];
const row = (what, measured, aim = '') => rows.push([what, measured, aim]);

async function decode(trace) {
  const { benchDecode } = await import('../dist/bench/decode.js');
  const { frames, seconds } = benchDecode(trace);
  row(`decode ${path.basename(trace)}`, `${Math.round(frames / seconds)} frames/s`, '300000 frames/s');
}

function start(trace) {
  const runs = [1, 2, 3, 4, 5].map(() =>
    revenant(['replay', trace, '--machine', machine, '--goto', '1', '--json']),
  );
  const best = Math.min(...runs.map((run) => run.seconds));
  row('command to first frame', `${best.toFixed(2)} s`, '0.3 s');
}

function replay(trace) {
  const { document } = revenant(['replay', trace, '--machine', machine, '--json']);
  const name = path.basename(trace);
  row(`replay ${name}`, `${document.microsecondsPerFrame.toFixed(1)} us/frame`, '60 us/frame');
  row(`  frames, exits`, `${document.frames}, ${document.exits}`);
  row(`  exits`, `${Math.round(document.exits / document.seconds)} exits/s`);
  row(`  peak memory`, `${(document.peakResidentBytes / 2 ** 20).toFixed(0)} MiB`);
  return document.machine;
}

await script(async () => {
  await ensureReady();
  const large = traceOf('../shared/traces/zen2/syscalls.20k', 'traces/haswell/faults');
  const medium = traceOf('../shared/traces/zen2/syscalls', 'traces/zen2/hello-static');
  await decode(large);
  say('bench: starting a machine');
  revenant(['replay', traceOf('traces/zen2/hello-static'), '--machine', machine, '--quiet']);
  start(traceOf('traces/zen2/hello-static'));
  replay(medium);
  const used = replay(large);
  const widths = [0, 1, 2].map((at) => Math.max(...rows.map((cells) => cells[at].length)));
  for (const cells of rows) {
    process.stdout.write(
      `${cells
        .map((cell, at) => cell.padEnd(widths[at]))
        .join('  ')
        .trimEnd()}\n`,
    );
  }
  process.stdout.write(`machine: ${used.description}\n`);
});
