/** Whether the emulated machine is installed. Plain node: what runs before a build uses it. */
import { hasCommand } from './lib.mjs';
import { kernelFound } from './setup-kernel.mjs';

/** What is missing, or null. */
export function emulatedProblem() {
  if (!hasCommand('qemu-system-x86_64')) return 'QEMU is not installed';
  return kernelFound() ? null : 'there is no kernel with kvm-amd';
}
