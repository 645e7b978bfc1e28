/** The real LLDB, for specs: commands in, everything it says out. */
import { spawn, spawnSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { patientClock } from '../../scripts/patience.mjs';

/** Debian's package `lldb`, or one of the versioned packages. */
const NAMES = ['lldb', 'lldb-14', 'lldb-16', 'lldb-19'];

/** What runs LLDB, or null where there is none. */
export const lldb: string | null =
  NAMES.find((name) => spawnSync(name, ['--version'], { stdio: 'ignore' }).status === 0) ?? null;

/**
 * Runs LLDB with these commands, each to its end, whether they succeed or not; returns its standard output and error
 * together.
 * @param seconds fair ones, after which it is killed, which fails
 */
export async function runLldb(commands: readonly string[], seconds = 240): Promise<string> {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'revenant-lldb-'));
  const file = path.join(folder, 'commands');
  fs.writeFileSync(file, commands.map((command) => `${command}\n`).join(''));
  const batch = ['--no-lldbinit', '--no-use-colors', '--batch', '-o', `command source -e false ${file}`];
  try {
    const { text, code } = await run(batch, seconds);
    if (code === null) throw new Error(`LLDB did not end:\n${text}`);
    return text;
  } finally {
    fs.rmSync(folder, { recursive: true });
  }
}

function run(options: readonly string[], seconds: number): Promise<{ text: string; code: number | null }> {
  return new Promise((resolve, reject) => {
    const child = spawn('sh', ['-c', 'exec "$@" 2>&1', 'sh', lldb ?? 'lldb', ...options], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const parts: Buffer[] = [];
    child.stdout.on('data', (bytes: Buffer) => parts.push(bytes));
    const taken = patientClock();
    const timer = setInterval(() => taken() > seconds && child.kill('SIGKILL'), 500);
    child.once('error', reject);
    child.once('close', (code) => {
      clearInterval(timer);
      resolve({ text: Buffer.concat(parts).toString('utf8'), code });
    });
  });
}

/** The output of each command: LLDB echoes each after its prompt. */
export function answers(text: string, commands: readonly string[]): string[] {
  let at = 0;
  const starts = commands.map((command) => {
    const found = text.indexOf(`(lldb) ${command}\n`, at);
    if (found < 0) throw new Error(`LLDB did not come to ${JSON.stringify(command)}:\n${text}`);
    at = found + `(lldb) ${command}\n`.length;
    return { found, at };
  });
  return starts.map((start, index) => text.slice(start.at, starts.at(index + 1)?.found));
}
