/** The real gdb, for specs: commands in, everything it says out. */
import { spawn } from 'node:child_process';
import { patientClock } from '../../scripts/patience.mjs';

export interface GdbResult {
  readonly text: string;
  readonly code: number | null;
}

/** gdb's own start-up files and the terminal must not matter. */
const QUIET = ['-nx', '-q', '-batch', '-iex', 'set debuginfod enabled off', '-iex', 'set width 0'];

/**
 * Runs gdb in batch mode with these commands; its standard output and error together.
 * @param seconds fair ones, after which it is killed, and the result has `code` null
 * @param env what its environment has besides
 */
export function runGdb(
  commands: readonly string[],
  seconds = 240,
  env: NodeJS.ProcessEnv = {},
): Promise<GdbResult> {
  const flags = commands.flatMap((command) => ['-ex', command]);
  return new Promise((resolve, reject) => {
    // Both on one pipe: from two, what gdb said would come in pieces in another order.
    const gdb = spawn('sh', ['-c', 'exec gdb "$@" 2>&1', 'gdb', ...QUIET, ...flags], {
      stdio: ['ignore', 'pipe', 'inherit'],
      env: { ...process.env, ...env },
    });
    const parts: Buffer[] = [];
    gdb.stdout.on('data', (bytes: Buffer) => parts.push(bytes));
    const taken = patientClock();
    const timer = setInterval(() => taken() > seconds && gdb.kill('SIGKILL'), 500);
    gdb.once('error', reject);
    gdb.once('close', (code) => {
      clearInterval(timer);
      resolve({ text: Buffer.concat(parts).toString('utf8'), code });
    });
  });
}
