/** Runs the C++ tests (CTest), with their output only where one fails. */
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { buildStale, locked } from './build.mjs';
import { root, say, script } from './lib.mjs';

/** Runs them; returns how many passed and failed. */
export function nativeTests() {
  const folder = path.join(root, 'build/native');
  if (!fs.existsSync(path.join(folder, 'CTestTestfile.cmake'))) {
    say('FAIL  native tests: not built');
    return { passed: 0, failed: 1 };
  }
  const done = spawnSync('ctest', ['--test-dir', folder, '--output-on-failure', '--timeout', '1200'], {
    encoding: 'utf8',
  });
  const output = `${done.stdout ?? ''}${done.stderr ?? ''}`;
  const [, failed, total] = /(\d+) tests? failed out of (\d+)/.exec(output) ?? [];
  if (total === undefined || done.status !== 0) process.stdout.write(output);
  if (total === undefined) return { passed: 0, failed: 1 };
  say(`native tests: ${total - failed} passed, ${failed} failed`);
  return { passed: total - failed, failed: Number(failed) };
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  await script(async () => {
    await locked(() => buildStale({ forTests: true }));
    return nativeTests().failed > 0 ? 1 : 0;
  });
}
