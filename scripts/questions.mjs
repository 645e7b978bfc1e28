// npm run questions: what gdb answers of programs that run here and of their recordings, as a table.
import { spawnSync } from 'node:child_process';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '..');
const viteNode = path.join(root, 'node_modules/.bin/vite-node');
const run = spawnSync(viteNode, [path.join(root, 'test/questions/main.ts')], { cwd: root, stdio: 'inherit' });
process.exit(run.status ?? 1);
