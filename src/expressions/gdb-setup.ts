/** Start-up commands of every gdb that we start. */
import type { Sysroot } from '../recording/sysroot.js';

/** A Python literal: JSON strings are. */
export const pythonText = (text: string): string => JSON.stringify(text);

/** gdb gets SIGTERM when this process dies in any way: PR_SET_PDEATHSIG. */
const END_WITH_PARENT = 'python import ctypes; ctypes.CDLL(None).prctl(1, 15)';
/**
 * A gdb that loses terminal and server at the same time has an internal error; its core file must not be written to the
 * working folder.
 */
const LEAVE_NO_CORE = 'maintenance set internal-error corefile no';

/**
 * Commands for gdb before it connects.
 * @param sysroot files of the recording; null: gdb asks the server for them
 */
export function gdbSetup(script: string, sysroot: Sysroot | null): string[] {
  const commands = [END_WITH_PARENT, LEAVE_NO_CORE, `source ${script}`, 'set remotetimeout 600'];
  if (sysroot)
    commands.push(
      `python revenant_gdb.revenant_sysroot(${pythonText(sysroot.folder)}, ${pythonText(sysroot.names)})`,
    );
  return [...commands, 'python revenant_gdb.rust_printers()'];
}
