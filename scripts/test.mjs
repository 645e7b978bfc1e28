/**
 * Everything that must hold: lint, format, types, unit and machine specs, native tests. Each gate
 * counts as one test; specs count one by one. The last line is `N passed, N failed`.
 */
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { root, say, script, StepFailed } from './lib.mjs';
import { nativeTests } from './native-tests.mjs';
import { ensureReady } from './setup.mjs';

const node = (...args) =>
  spawnSync(process.execPath, args, { cwd: root, stdio: ['ignore', 'inherit', 'inherit'] });

function gate(name, ...args) {
  const passed = node(...args).status === 0;
  say(`${passed ? 'pass' : 'FAIL'}  ${name}`);
  return { passed: passed ? 1 : 0, failed: passed ? 0 : 1 };
}

/** Counts come from vitest's own report; a file that could not be loaded counts as one failure. */
function specs() {
  const report = path.join(root, 'build/specs.json');
  fs.rmSync(report, { force: true });
  const { status } = node(
    'node_modules/vitest/vitest.mjs',
    'run',
    '--reporter=dot',
    '--reporter=json',
    `--outputFile.json=${report}`,
  );
  if (!fs.existsSync(report)) return { passed: 0, failed: 1 };
  const result = JSON.parse(fs.readFileSync(report, 'utf8'));
  const broken = result.testResults.filter(
    (file) => file.status === 'failed' && file.assertionResults.length === 0,
  );
  const failed = result.numFailedTests + broken.length;
  const skipped = result.numPendingTests > 0 ? `, ${result.numPendingTests} skipped` : '';
  say(`specs: ${result.numPassedTests} passed, ${failed} failed${skipped}`);
  return { passed: result.numPassedTests, failed: failed === 0 && status !== 0 ? 1 : failed };
}

await script(async () => {
  try {
    await ensureReady();
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
    specs(),
  ];
  const sum = (key) => counts.reduce((total, count) => total + count[key], 0);
  process.stdout.write(`${sum('passed')} passed, ${sum('failed')} failed\n`);
  return sum('failed') > 0 ? 1 : 0;
});
