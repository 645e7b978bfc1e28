/** gdb as the oracle: it debugs programs that run on this machine. */
import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';

const source = path.join(import.meta.dirname, 'extended-state.c');

/** A gdb for live programs needs this. */
export interface LiveGdb {
  /** What the environment of gdb has besides. */
  readonly env: { readonly LD_PRELOAD: string };
  /** Keeps it from the program, which gdb starts with its own environment. */
  readonly commands: readonly string[];
  close(): void;
}

/** Makes what lets gdb write registers where the processor has AMX: see extended-state.c. Throws where `cc` fails. */
export function prepareLiveGdb(): LiveGdb {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'live-gdb-'));
  const library = path.join(folder, 'extended-state.so');
  execFileSync('cc', ['-O1', '-Wall', '-shared', '-fPIC', '-o', library, source, '-ldl']);
  return {
    env: { LD_PRELOAD: library },
    commands: ['unset environment LD_PRELOAD'],
    close: () => fs.rmSync(folder, { recursive: true }),
  };
}
