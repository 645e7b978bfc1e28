import { main } from '../../src/cli/main.js';
import type { CommandIo } from '../../src/cli/output.js';

export interface CliResult {
  code: number;
  stdout: string;
  stderr: string;
}

/** Runs a command line in this process and captures its output. */
export async function runCli(...argv: string[]): Promise<CliResult> {
  const written: Record<1 | 2, Buffer[]> = { 1: [], 2: [] };
  const bytes = (fd: 1 | 2, data: Uint8Array): void => void written[fd].push(Buffer.from(data));
  const io: CommandIo = {
    out: (text) => bytes(1, Buffer.from(text)),
    err: (text) => bytes(2, Buffer.from(text)),
    bytes,
    isTerminal: () => false,
    columns: () => Infinity,
    now: () => performance.now(),
  };
  const code = await main(argv, io);
  const text = (fd: 1 | 2): string => Buffer.concat(written[fd]).toString('utf8');
  return { code, stdout: text(1), stderr: text(2) };
}
