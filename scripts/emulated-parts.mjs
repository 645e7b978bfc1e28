/** Whether the emulated machine is installed. Plain node: what runs before a build uses it. */
import { hasCommand } from './lib.mjs';

/** What is missing, or null. */
export const emulatedProblem = () => (hasCommand('qemu-system-x86_64') ? null : 'QEMU is not installed');
