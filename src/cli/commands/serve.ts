import type { Logger } from '../../engine/base/log.js';
import { ExitCode, RevenantError } from '../../engine/base/errors.js';
import { DebugServer, isLocal, parseAddress } from '../../debugger/server.js';
import { openSession } from '../../debugger/open.js';
import { gdbScript } from '../../expressions/gdb-scripts.js';
import { debugContext, type DebugOptions } from '../debug-options.js';
import { reportFailure } from '../failure.js';
import { Interrupt, onSignals } from '../interrupt.js';
import type { CommandIo } from '../output.js';

export interface ServeOptions extends DebugOptions {
  /** Where to listen. */
  listen: string;
  /** Allows an address that is reachable from other machines, whose clients can read the whole recording. */
  allowRemote?: boolean;
  /** Exit after the first client disconnects. */
  once?: boolean;
}

/** `revenant serve TRACE`: accepts debuggers, also several at a time, until Ctrl-C. */
export async function serveCommand(
  folder: string,
  options: ServeOptions,
  io: CommandIo,
  log: Logger,
): Promise<number> {
  const address = parseAddress(options.listen);
  if (!isLocal(address) && !options.allowRemote) {
    throw new RevenantError(
      'E_USAGE',
      `${options.listen} is reachable from other machines, whose clients can read everything that was recorded.`,
      'Listen on 127.0.0.1 and use an SSH tunnel, or pass --allow-remote.',
    );
  }
  const interrupt = new Interrupt();
  const note = (text: string): void => io.err(`revenant: ${text}\n`);
  let leave: () => void = () => {};
  let end: (reason: RevenantError) => void = () => {};
  const finished = new Promise<void>((resolve, reject) => {
    leave = resolve;
    end = reject;
  });
  finished.catch(() => {});
  // As after Ctrl-C, sessions are ended and a socket's file is removed.
  const release = onSignals((reason) => end(reason), ['SIGTERM', 'SIGHUP']);
  const server = await DebugServer.listen({
    address,
    once: Boolean(options.once),
    open: () => openSession({ ...debugContext(folder, options, io, log), turns: interrupt, note }),
    onFailure: (error) => void reportFailure(io, error, { json: false, verbose: false }),
    onIdle: () => {
      if (options.once) leave();
    },
  });
  try {
    note(`listening; in gdb: target extended-remote ${server.endpoint}`);
    if (address.kind === 'tcp')
      note(`in LLDB: platform select remote-linux, and then: gdb-remote ${server.endpoint}`);
    note(`for gdb's commands and prompt, before that: source ${gdbScript}`);
    await interrupt.guard(finished);
    return ExitCode.ok;
  } finally {
    await server.close();
    interrupt.dispose();
    release();
  }
}
