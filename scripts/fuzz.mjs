// npm run fuzz reader|plan|process [-- --seconds N --seed S --count N --traces FOLDER...]
//   reader  damaged files, read by the trace reader
//   plan    changed frames and records, planned and performed against a machine without a processor
//   process the same, replayed in the process machine
// Every execution is a function of its seed; a crash is printed with the command that repeats it.
import { spawnSync } from 'node:child_process';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '..');
const [kind = '', ...options] = process.argv.slice(2);
if (!['reader', 'plan', 'process'].includes(kind)) {
  process.stderr.write(
    'usage: npm run fuzz reader|plan|process [-- --seconds N --seed S --count N --traces FOLDER...]\n',
  );
  process.exit(2);
}
const viteNode = path.join(root, 'node_modules/.bin/vite-node');
const run = spawnSync(viteNode, [path.join(root, 'test/fuzz/main.ts'), kind, ...options], {
  cwd: root,
  stdio: 'inherit',
});
process.exit(run.status ?? 1);
