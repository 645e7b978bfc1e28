/**
 * All checks: lint, format, types, unit and machine specs, native tests. Each gate counts as one
 * test; specs count one by one. The last line is `N passed, N failed`, even if something hangs.
 * With `--no-emulated` the emulated machine is not installed where it is missing, and its specs are left out there.
 */
import { spawnSync } from 'node:child_process';
import { root, say, script, StepFailed } from './lib.mjs';
import { emulatedProblem } from './emulated-parts.mjs';
import { nativeTests } from './native-tests.mjs';
import { ensureReady } from './setup.mjs';
import { runSpecs } from './specs.mjs';

/** When everything is given up, so that there is a closing line before CI's own limit of 90 minutes. */
const TOTAL_SECONDS = 80 * 60;
const end = performance.now() + TOTAL_SECONDS * 1000;

/** Milliseconds; a gate that takes long in parallel to others reduces the time for specs. */
const left = () => Math.max(1, end - performance.now());

const node = (...args) =>
  spawnSync(process.execPath, args, { cwd: root, stdio: ['ignore', 2, 2], timeout: Math.ceil(left()) });

function gate(name, ...args) {
  const passed = node(...args).status === 0;
  say(`${passed ? 'pass' : 'FAIL'}  ${name}`);
  return { passed: passed ? 1 : 0, failed: passed ? 0 : 1 };
}

/** A project of vitest.config.ts. */
async function specs(project) {
  const totalSeconds = left() / 1000;
  const { failures, skipped, ...counts } = await runSpecs({ args: ['--project', project], totalSeconds });
  for (const failure of failures) say(`\nFAIL  ${failure}`);
  say(
    `${project} specs: ${counts.passed} passed, ${counts.failed} failed${skipped ? `, ${skipped} skipped` : ''}`,
  );
  return counts;
}

await script(async () => {
  try {
    await ensureReady({ forTests: true, emulated: !process.argv.includes('--no-emulated') });
  } catch (error) {
    if (!(error instanceof StepFailed)) throw error;
    say(error.message);
    process.stdout.write('0 passed, 1 failed\n');
    return 1;
  }
  const counts = [
    gate('lint', 'node_modules/eslint/bin/eslint.js', '.'),
    gate('format', 'scripts/format.mjs', '--check'),
    gate('types', 'node_modules/typescript/bin/tsc', '-p', 'tsconfig.check.json'),
    nativeTests(),
    await specs('unit'),
    await specs('machine'),
    ...(emulatedProblem() === null ? [await specs('emulated')] : []),
  ];
  const sum = (key) => counts.reduce((total, count) => total + count[key], 0);
  process.stdout.write(`${sum('passed')} passed, ${sum('failed')} failed\n`);
  return sum('failed') > 0 ? 1 : 0;
});
