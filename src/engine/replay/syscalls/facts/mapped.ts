/** What a recording stored in files through shared mappings of them: its memory has it. */
import { PAGE_SIZE, USER_END, type Gva, gva } from '../../../base/address.js';
import type { AddressSpace } from '../../../mm/address-space.js';
import { isShared, type Vma } from '../../../mm/vma.js';
import type { Task } from '../../../task/task.js';
import type { RecordedWorld } from '../../../task/recorded-files.js';

/**
 * Copies the pages of shared mappings in [start, end) into the contents of their files. Called
 * before mappings are removed, and when the contents are needed.
 */
export function noteMappedContents(world: RecordedWorld, space: AddressSpace, start: Gva, end: Gva): void {
  for (const vma of space.vmas) {
    if (vma.start >= end || vma.end <= start || !isShared(vma)) continue;
    if (vma.backing?.kind === 'shared' && vma.file) noteMapping(world, space, vma);
  }
}

/** Before all mappings of a task's space go. */
export const noteAllMapped = ({ space, fds }: Task): void =>
  noteMappedContents(fds.files.world, space, gva(0), gva(USER_END));

function noteMapping(world: RecordedWorld, space: AddressSpace, vma: Vma): void {
  const { backing, file } = vma;
  const id = file ? (world.names.get(file.path) ?? 0) : 0;
  const known = world.contents.get(id);
  if (!file || backing?.kind !== 'shared' || !known) return;
  const size = known.size ?? known.stat?.size ?? Infinity;
  const first = Math.floor(vma.offset / PAGE_SIZE);
  const pages = Math.ceil((vma.end - vma.start) / PAGE_SIZE);
  const bytes = new Uint8Array(PAGE_SIZE);
  for (const index of backing.indices(first, first + pages)) {
    const at = file.offset + (index - first) * PAGE_SIZE;
    const count = Math.min(PAGE_SIZE, size - at);
    if (count <= 0) continue;
    space.read(gva(vma.start + (index - first) * PAGE_SIZE), bytes);
    world.edit(id, (content) => {
      if (!isSame(content, at, bytes.subarray(0, count))) content.write(at, bytes.subarray(0, count));
    });
  }
}

/** Bytes that are already known do not count as a change of the file. */
function isSame(
  content: {
    run: (at: number, most: number) => { isKnown: boolean; length: number };
    read: (at: number, into: Uint8Array) => void;
  },
  at: number,
  bytes: Uint8Array,
): boolean {
  const { isKnown, length } = content.run(at, bytes.length);
  if (!isKnown || length < bytes.length) return false;
  const before = new Uint8Array(bytes.length);
  content.read(at, before);
  return Buffer.from(before).equals(bytes);
}
