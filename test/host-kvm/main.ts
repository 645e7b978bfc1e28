/** `npm run host-kvm`: see scripts/host-kvm.mjs. */
import fs from 'node:fs';
import path from 'node:path';
import process from 'node:process';
import { findTraces } from '../../src/jobs/manifest/find-traces.js';
import { checks, replayOf, type Check, type Result } from './checks.js';
import { whyNoComputer } from './computer.js';
import { runChecks } from './run.js';

const words = process.argv.slice(2).filter((word) => !word.endsWith('main.ts'));
const verifyTicks = words.includes('--verify-ticks');
const folders = words.filter((word) => !word.startsWith('--')).map((word) => path.resolve(word));

const root = path.resolve(import.meta.dirname, '../..');
const larger = path.join(path.resolve(root, process.env.REVENANT_SHARED ?? '../shared'), 'traces');

const chosen = (): Check[] =>
  folders.length === 0
    ? checks(fs.existsSync(larger) ? larger : null).tried
    : folders.flatMap((folder) =>
        findTraces(folder).map((trace) => ({ ...replayOf(trace, path.relative('.', trace)), verifyTicks })),
      );

function print({ name, ok, problem, told, seconds }: Result): void {
  const state = ok ? 'pass' : 'FAIL';
  const more = ok ? JSON.stringify(told ?? {}) : (problem ?? '');
  process.stdout.write(`${state}  ${seconds.toFixed(1).padStart(7)} s  ${name}  ${more}\n`);
}

async function main(): Promise<number> {
  const problem = whyNoComputer();
  if (problem !== null) throw new Error(problem);
  const tried = chosen();
  const run = runChecks(tried);
  let failed = 0;
  try {
    for (const { name } of tried) {
      const result = await run.result(name);
      if (!result.ok) failed++;
      print(result);
    }
  } finally {
    await run.close();
  }
  process.stdout.write(`${tried.length - failed} passed, ${failed} failed\n`);
  return failed > 0 ? 1 : 0;
}

process.exitCode = await main();
