import { spawn } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';

const launcher = path.resolve(import.meta.dirname, '../../bin/revenant');

export interface Finished {
  code: number | null;
  stdout: string;
  stderr: string;
}

/** Of this process: no result of an earlier run may pass for one of this. */
const cache = fs.mkdtempSync(path.join(os.tmpdir(), 'revenant-cache-'));
process.once('exit', () => fs.rmSync(cache, { recursive: true, force: true }));

/** Runs bin/revenant as users do: with processes of its own. */
export async function runRevenant(
  args: string[],
  environment: NodeJS.ProcessEnv = {},
  folder = process.cwd(),
): Promise<Finished> {
  const child = spawn(process.execPath, [launcher, ...args], {
    env: { ...process.env, GITHUB_ACTIONS: '', XDG_CACHE_HOME: cache, ...environment },
    cwd: folder,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const text = { stdout: '', stderr: '' };
  child.stdout.on('data', (bytes: Buffer) => (text.stdout += bytes.toString('utf8')));
  child.stderr.on('data', (bytes: Buffer) => (text.stderr += bytes.toString('utf8')));
  const [code] = (await once(child, 'close')) as [number | null];
  return { code, ...text };
}
