/** prettier over TypeScript and scripts, clang-format over C++: `--check` (default) or `--write`. */
import { filesBelow, hasCommand, root, run, say, script } from './lib.mjs';
import fs from 'node:fs';
import path from 'node:path';

await script(() => {
  const write = process.argv.includes('--write');
  run(process.execPath, [
    'node_modules/prettier/bin/prettier.cjs',
    write ? '--write' : '--check',
    '--log-level',
    'warn',
    '.',
  ]);
  const native = filesBelow(['native', 'test'], (name) => /\.(cc|c|h)$/.test(name));
  if (native.length === 0 || !fs.existsSync(path.join(root, '.clang-format'))) return;
  if (!hasCommand('clang-format')) {
    say('clang-format is not installed; C++ formatting was not looked at (apt install clang-format)');
    return;
  }
  run('clang-format', write ? ['-i', ...native] : ['--dry-run', '-Werror', ...native]);
});
