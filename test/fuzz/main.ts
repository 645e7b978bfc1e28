import fs from 'node:fs';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { processTarget } from './process-target.js';
import { planTarget, readerTarget } from './targets.js';

/** `npm run fuzz`: see scripts/fuzz.mjs. */

/** An execution that needs more of the processor is reported like a crash. */
const SLOW_SECONDS = 15;
const REPORT_MS = 10_000;
const MAX_CRASHES = 20;

const { values, positionals } = parseArgs({
  options: {
    seconds: { type: 'string', default: '60' },
    seed: { type: 'string', default: '1' },
    count: { type: 'string', default: 'Infinity' },
    traces: { type: 'string', multiple: true, default: [] },
  },
  allowPositionals: true,
});
const [kind = 'reader'] = positionals;
const root = path.resolve(import.meta.dirname, '../../traces');
const samples = fs
  .readdirSync(root, { recursive: true, withFileTypes: true })
  .filter((entry) => entry.name === 'version')
  .map((entry) => entry.parentPath);
const chosen = values.traces.length > 0 ? values.traces : samples;
const targets = { reader: readerTarget, plan: planTarget, process: processTarget };
const target = targets[kind as keyof typeof targets](chosen);

interface Count {
  times: number;
  readonly firstSeed: number;
}

const outcomes = new Map<string, Count>();
let crashes = 0;
let runs = 0;
const begun = performance.now();
const end = begun + Number(values.seconds) * 1000;
let report = begun + REPORT_MS;

function say(text: string): void {
  process.stdout.write(`${text}\n`);
}

function summary(): string {
  const seconds = (performance.now() - begun) / 1000;
  const rate = (runs / seconds).toFixed(0);
  const kinds = [...outcomes].map(([name, { times }]) => `${name} ${times}`).join(', ');
  return `${kind}: ${runs} executions in ${seconds.toFixed(0)} s, ${rate} a second, ${crashes} crashes; ${kinds}`;
}

let seed = Number(values.seed);
for (; runs < Number(values.count) && performance.now() < end && crashes < MAX_CRASHES; seed++, runs++) {
  const started = process.cpuUsage();
  try {
    const outcome = target.run(seed);
    const count = outcomes.get(outcome);
    if (count !== undefined) count.times++;
    else outcomes.set(outcome, { times: 1, firstSeed: seed });
  } catch (error) {
    crashes++;
    const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error;
    const stack = cause instanceof Error ? cause.stack : '';
    say(
      `CRASH seed ${seed}: ${String(error)}\n${stack}\nagain: npm run fuzz ${kind} -- --seed ${seed} --count 1`,
    );
  }
  const { user, system } = process.cpuUsage(started);
  const took = (user + system) / 1e6;
  if (took > SLOW_SECONDS) {
    crashes++;
    say(`SLOW seed ${seed}: ${took.toFixed(1)} s`);
  }
  if (performance.now() < report) continue;
  say(summary());
  report += REPORT_MS * 6;
}
say(summary());
for (const [name, { times, firstSeed }] of outcomes)
  say(`${times} times, first with seed ${firstSeed}: ${name}`);
target.close();
process.exitCode = crashes > 0 ? 1 : 0;
