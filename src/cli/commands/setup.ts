import { installMachineParts, type ImportModule } from '../machine-parts.js';
import type { CommandIo } from '../output.js';

/** `revenant setup`. */
export async function setupCommand(io: CommandIo, importModule: ImportModule): Promise<undefined> {
  const done = await installMachineParts(importModule);
  io.out(done ? 'The emulated machine is installed.\n' : 'Everything is already installed.\n');
}
