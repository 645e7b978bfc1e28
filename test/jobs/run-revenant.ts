import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { runProgram, type Finished } from '../run-program.js';

const launcher = path.resolve(import.meta.dirname, '../../bin/revenant');

export type { Finished };

/** Of this process: no result of an earlier run may pass for one of this. */
const cache = fs.mkdtempSync(path.join(os.tmpdir(), 'revenant-cache-'));
process.once('exit', () => fs.rmSync(cache, { recursive: true, force: true }));

/** Runs bin/revenant as users do, in separate processes. */
export function runRevenant(
  args: string[],
  environment: NodeJS.ProcessEnv = {},
  folder = process.cwd(),
): Promise<Finished> {
  return runProgram(process.execPath, [launcher, ...args], {
    env: { ...process.env, GITHUB_ACTIONS: '', XDG_CACHE_HOME: cache, ...environment },
    cwd: folder,
  });
}
