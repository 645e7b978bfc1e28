/** prettier over TypeScript and scripts, clang-format over C++: `--check` (default) or `--write`. */
import { spawnSync } from 'node:child_process';
import { filesBelow, hasCommand, root, run, say, script } from './lib.mjs';
import fs from 'node:fs';
import path from 'node:path';

/** Debian 12's. Other versions lay the same style out otherwise. */
const CLANG_FORMAT = 14;

/** clang-format's major version, or null where it is not installed. */
function clangFormatVersion() {
  if (!hasCommand('clang-format')) return null;
  const { stdout } = spawnSync('clang-format', ['--version'], { encoding: 'utf8' });
  return Number(/version (\d+)\./.exec(stdout)?.[1]);
}

await script(() => {
  const write = process.argv.includes('--write');
  run(process.execPath, [
    'node_modules/prettier/bin/prettier.cjs',
    write ? '--write' : '--check',
    '--log-level',
    'warn',
    '.',
  ]);
  // Not test/guests: recordings name lines of those sources.
  const native = filesBelow(['native', 'test/native'], (name) => /\.(cc|c|h)$/.test(name));
  if (native.length === 0 || !fs.existsSync(path.join(root, '.clang-format'))) return;
  const version = clangFormatVersion();
  if (version !== CLANG_FORMAT) {
    const found = version === null ? 'is not installed' : `is version ${version}, not ${CLANG_FORMAT}`;
    say(`clang-format ${found}; C++ formatting was not checked (apt install clang-format-${CLANG_FORMAT})`);
    return;
  }
  run('clang-format', write ? ['-i', ...native] : ['--dry-run', '-Werror', ...native]);
});
