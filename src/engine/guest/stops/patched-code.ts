import { PAGE_SIZE, type Gva, gva } from '../../base/address.js';
import type { AddressSpace } from '../../mm/address-space.js';
import { STUBS_NAME } from '../../mm/vma.js';

/** JMP rel32 and its length; rr fills what is left of the instructions that it replaces with NOP. */
const JMP = 0xe9;
const JMP_LENGTH = 5;
const NOP = 0x90;
/** A SYSCALL and the longest instruction after or before it (rr: `syscall_patch_hook`). */
const MAX_PATCH = 17;

/** The recorder's library, and the page with its system call instructions. */
const RECORDER_FILE = /\/librr(preload|page)[^/]*\.so$/;

/** Code that the recorder has replaced by a jump to a stub, which does the same and comes back to `end`. */
export interface Patch {
  readonly start: Gva;
  readonly end: Gva;
}

/** The patch that begins at an address or has it in its middle, or null. */
export function patchAround(space: AddressSpace, address: Gva): Patch | null {
  if (space.patches === 0) return null;
  return findPatch(space, address, (end) => address < end);
}

/** The patch from whose stub control comes back to an address, or null. */
export function patchBefore(space: AddressSpace, address: Gva): Patch | null {
  if (space.patches === 0) return null;
  return findPatch(space, address, (end) => address === end);
}

/** True if the code at an address is the recorder's: a stub or its library. */
export function isRecorders(space: AddressSpace, address: Gva): boolean {
  const vma = space.vmas.find(address);
  return vma?.name === STUBS_NAME || RECORDER_FILE.test(vma?.file?.path ?? '');
}

function findPatch(space: AddressSpace, address: Gva, fits: (end: number) => boolean): Patch | null {
  const first = Math.max(0, address - MAX_PATCH);
  const code = new Uint8Array(2 * MAX_PATCH);
  const skipped = readAround(space, first, address, code);
  for (let start = address as number; start >= first + skipped; start--) {
    const at = start - first;
    if (code[at] !== JMP || !isStub(space, start + JMP_LENGTH + int32(code, at + 1))) continue;
    let end = at + JMP_LENGTH;
    while (end < at + MAX_PATCH && code[end] === NOP) end++;
    if (fits(first + end)) return { start: gva(start), end: gva(first + end) };
  }
  return null;
}

/** @returns how many bytes from `first` on there are not */
function readAround(space: AddressSpace, first: number, address: number, into: Uint8Array): number {
  if (space.read(gva(first), into) > address - first) return 0;
  const skipped = address - (address % PAGE_SIZE) - first;
  if (skipped > 0) space.read(gva(first + skipped), into.subarray(skipped));
  return Math.max(0, skipped);
}

function isStub(space: AddressSpace, target: number): boolean {
  return target >= 0 && space.vmas.find(gva(target))?.name === STUBS_NAME;
}

const int32 = (bytes: Uint8Array, at: number): number =>
  bytes[at] | (bytes[at + 1] << 8) | (bytes[at + 2] << 16) | (bytes[at + 3] << 24);
