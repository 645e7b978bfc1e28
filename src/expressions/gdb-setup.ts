/** How every gdb of ours begins. */
import type { Sysroot } from '../recording/sysroot.js';

/** A literal of Python: those of JSON are. */
export const pythonText = (text: string): string => JSON.stringify(text);

/** gdb ends with us, however we end: PR_SET_PDEATHSIG with SIGTERM. */
const END_WITH_PARENT = 'python import ctypes; ctypes.CDLL(None).prctl(1, 15)';
/** A gdb that loses terminal and server at once fails inside; nobody wants its core file in the working folder. */
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
