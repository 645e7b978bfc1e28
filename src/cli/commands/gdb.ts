import { spawn } from 'node:child_process';
import type { Logger } from '../../engine/base/log.js';
import { ExitCode, RevenantError } from '../../engine/base/errors.js';
import { programOf } from '../../debugger/program.js';
import { DebugServer, parseAddress } from '../../debugger/server.js';
import { gdbScript } from '../../expressions/gdb-scripts.js';
import { openSession, type DebuggedRecording } from '../../debugger/open.js';
import { gdbSetup, pythonText } from '../../expressions/gdb-setup.js';
import { debugContext, type DebugOptions } from '../debug-options.js';
import { makeSysroot, type Sysroot } from '../../recording/sysroot.js';
import { reportFailure } from '../failure.js';
import { Interrupt, onSignals } from '../interrupt.js';
import type { CommandIo } from '../output.js';

export interface GdbOptions extends DebugOptions {
  /** The debugger to run. */
  gdb: string;
}

/**
 * `revenant gdb TRACE [-- ARGS]`: a server for one gdb and that gdb, connected. Returns gdb's exit code; 11 for its 1.
 * Throws RevenantError where the recording cannot be opened or gdb not be started.
 */
export async function gdbCommand(
  folder: string,
  gdbArguments: readonly string[],
  options: GdbOptions,
  io: CommandIo,
  log: Logger,
): Promise<number> {
  const interrupt = new Interrupt();
  const note = (text: string): void => (options.quiet ? undefined : io.err(`revenant: ${text}\n`));
  let failed: unknown = null;
  let sysroot: Sysroot | null = null;
  // gdb ends by itself (END_WITH_PARENT); the folder is removed when this process ends.
  const release = onSignals(
    (reason) => {
      sysroot?.remove();
      process.exit(reason.exitCode);
    },
    ['SIGTERM', 'SIGHUP'],
  );
  try {
    // Before gdb starts, so that errors of the recording are reported without one.
    const mapped = (file: string): void => sysroot?.add(file);
    const opened = await openSession({
      ...debugContext(folder, options, io, log),
      turns: interrupt,
      note,
      mapped,
    });
    interrupt.dispose();
    sysroot = makeSysroot(opened.programFiles());
    const server = await DebugServer.listen({
      address: parseAddress('127.0.0.1:0'),
      once: true,
      open: () => Promise.resolve(opened),
      onFailure: (error) => (failed = error),
    }).catch((error: unknown) => {
      opened.close();
      throw error;
    });
    try {
      const program = options.asRr ? programCopy(opened) : null;
      const code = await runGdb(options, { endpoint: server.endpoint, program, sysroot }, gdbArguments);
      if (failed !== null) return await reportFailure(io, failed, { json: false, verbose: false });
      return code;
    } finally {
      await server.close();
    }
  } finally {
    release();
    sysroot?.remove();
    interrupt.dispose();
  }
}

/** The trace's copy of the debugged program, which rr opens in gdb, too. Null: there is none. */
function programCopy({ session, programFiles }: DebuggedRecording): string | null {
  const name = programOf(session.target, session.currentTask().pid);
  for (const { recorded, copy } of programFiles()) if (recorded === name) return copy;
  return null;
}

interface Connection {
  readonly endpoint: string;
  /** The program's file; null: gdb finds it by itself. */
  readonly program: string | null;
  /** Files of the recording; null: gdb asks the server for them. */
  readonly sysroot: Sysroot | null;
}

/** Runs gdb on our terminal. gdb handles Ctrl-C: it asks the server to interrupt. */
function runGdb(
  { gdb: command, asRr }: GdbOptions,
  { endpoint, program, sysroot }: Connection,
  more: readonly string[],
): Promise<number> {
  const ours = ['-q', ...gdbSetup(gdbScript, sysroot).flatMap((line) => ['-iex', line])];
  const named = [...(asRr ? ['as_rr=True'] : []), ...(program ? [`program=${pythonText(program)}`] : [])];
  const connect = [
    '-ex',
    `python revenant_gdb.revenant_connect(${[pythonText(endpoint), ...named].join(', ')})`,
  ];
  const ignore = (): void => {};
  process.on('SIGINT', ignore);
  return new Promise<number>((resolve, reject) => {
    const gdb = spawn(command, [...ours, ...connect, ...more], { stdio: 'inherit' });
    gdb.once('error', (error) => {
      const hint = 'Install it (Debian: apt install gdb), or pass another with --gdb PATH.';
      reject(new RevenantError('E_DEBUGGER', `${command} cannot be started: ${error.message}.`, hint));
    });
    // gdb exits with 1 after any failed command; here 1 means that a replay diverged.
    gdb.once('exit', (code) => resolve(code === null || code === 1 ? ExitCode.debugger : code));
  }).finally(() => process.off('SIGINT', ignore));
}
