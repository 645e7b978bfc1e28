import { installMachineParts } from '../machine-parts.js';
import type { CommandIo } from '../output.js';

/** `revenant setup`. */
export async function setupCommand(io: CommandIo): Promise<undefined> {
  const done = await installMachineParts();
  io.out(done ? 'The emulated machine is installed.\n' : 'Everything is already installed.\n');
}
