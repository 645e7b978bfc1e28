import { PAGE_SIZE, USER_END, pageCeil, type Gva, gva, offsetBy } from '../../engine/base/address.js';
import { Madvise, MapFlag, MremapFlag, PROT_GROWSDOWN } from '../../engine/base/linux.js';
import { SharedObject, type Backing } from '../../engine/mm/backing.js';
import { isFree, isReserved } from '../../engine/mm/free.js';
import { Prot, isShared, type MappedFile, type Vma } from '../../engine/mm/vma.js';
import type { AddressSpace } from '../../engine/mm/address-space.js';
import { E, fail } from '../base/errno.js';
import type { OpenFile } from '../files/open-file.js';
import { findGap } from '../base/placement.js';
import type { Call, Handlers } from './dispatch.js';

const PROT_MASK = 7;
const FIXED = 0x10;
const FIXED_NO_REPLACE = 0x10_0000;
const TYPE_MASK = 0xf;
const SHARED_VALIDATE = 3;
const NO_RESERVE = 0x4000;
/** Memory of a machine that could have made the recording, in bytes. */
const MOST_AT_ONCE = 2 ** 40;
/** Lowest address that may be mapped (vm.mmap_min_addr). */
const MIN_ADDRESS = 0x1_0000;
/** vm.max_map_count. */
const MAX_MAPPINGS = 65_530;
const MADV_FREE = 8;
const MADV_WIPE_ON_FORK = 18;
const MADV_HIGHEST = 25;

interface Range {
  readonly start: Gva;
  readonly end: Gva;
}

/** @throws EINVAL unless page-aligned, ENOMEM outside of user space */
function rangeOf(start: number, length: number): Range {
  if (start % PAGE_SIZE !== 0) fail(E.EINVAL);
  const end = pageCeil(start + length);
  if (start < 0 || length < 0 || end > USER_END - PAGE_SIZE) fail(E.ENOMEM);
  return { start: gva(start), end: gva(end) };
}

const spaceOf = (call: Call): AddressSpace => call.thread.task.space;

/**
 * The most that one call may add. As in Linux by default (vm.overcommit_memory is 0), address space
 * is free, and only a single mapping that could never be filled is refused: programs probe for the
 * limit. Pages count when they are touched.
 */
function checkAdded(call: Call, added: number, prot: number, flags: number): void {
  checkCount(call);
  const counts = (prot & Prot.write) !== 0 && (flags & NO_RESERVE) === 0;
  if (counts && added > MOST_AT_ONCE) fail(E.ENOMEM);
}

/** A call may split one mapping in three. */
function checkCount(call: Call): void {
  if (spaceOf(call).vmas.size >= MAX_MAPPINGS) fail(E.ENOMEM);
}

function mmap(call: Call): number {
  const [hint, length, prot, flagBits, fd, offset] = call.args;
  const flags = flagBits >>> 0;
  const space = spaceOf(call);
  if (length <= 0) fail(E.EINVAL);
  if (length > USER_END - MIN_ADDRESS) fail(E.ENOMEM);
  if (offset % PAGE_SIZE !== 0 || offset < 0) fail(E.EINVAL);
  const type = flags & TYPE_MASK;
  if (type < MapFlag.shared || type > SHARED_VALIDATE) fail(E.EINVAL);
  const size = pageCeil(length);
  checkAdded(call, size, prot, flags);
  const file = flags & MapFlag.anonymous ? null : call.thread.process.descriptors.get(fd | 0);
  if (file) checkAccess(file, prot, type !== MapFlag.private);
  const range = placeMapping(space, hint, size, flags);
  const backing = file
    ? backingOf(call, file, type !== MapFlag.private)
    : type === MapFlag.private
      ? null
      : new SharedObject(call.kernel.core.memory, '/dev/zero (deleted)');
  space.map({
    ...range,
    prot: prot & PROT_MASK,
    backing,
    offset: backing === null ? 0 : offset,
    name: file?.path ?? '',
    file: file ? mappedFile(file, offset) : null,
  });
  return range.start;
}

function checkAccess(file: OpenFile, prot: number, shared: boolean): void {
  if (!file.canRead) fail(E.EACCES);
  if (shared && prot & Prot.write && !file.canWrite) fail(E.EACCES);
}

function mappedFile(file: OpenFile, offset: number): MappedFile | null {
  if (!file.content) return null;
  const { device, inode } = file.stat();
  return { path: file.path, device: BigInt(device), inode: BigInt(inode), offset };
}

/** Pages of a file; of /dev/zero they are anonymous. */
function backingOf(call: Call, file: OpenFile, shared: boolean): Backing | null {
  const { content } = file;
  if (!content) return file.path === '/dev/zero' ? null : fail(E.ENODEV);
  if (shared && content.shared) return content.shared();
  return call.kernel.fileBacking(content, file.path);
}

function placeMapping(space: AddressSpace, hint: number, size: number, flags: number): Range {
  if (flags & (FIXED | FIXED_NO_REPLACE)) {
    const range = rangeOf(hint, size);
    if (range.start < MIN_ADDRESS) fail(E.EPERM);
    if (isReserved(space, range.start, range.end)) fail(E.ENOMEM);
    if (flags & FIXED_NO_REPLACE && space.vmas.overlapping(range.start, range.end).length > 0) fail(E.EEXIST);
    return range;
  }
  const wanted = hint <= 0 ? 0 : pageCeil(hint);
  if (wanted >= MIN_ADDRESS && wanted + size <= USER_END - PAGE_SIZE) {
    const range = { start: gva(wanted), end: gva(wanted + size) };
    if (isFree(space, range.start, range.end)) return range;
  }
  const start = findGap(space, size) ?? fail(E.ENOMEM);
  return { start, end: offsetBy(start, size) };
}

function munmap(call: Call): number {
  const [start, length] = call.args;
  if (start % PAGE_SIZE !== 0 || length <= 0) fail(E.EINVAL);
  const end = pageCeil(start + length);
  if (start < 0 || end > USER_END) fail(E.EINVAL);
  checkCount(call);
  spaceOf(call).unmap(gva(start), gva(end));
  return 0;
}

function mprotect(call: Call): number {
  const [first, length, prot] = call.args;
  const space = spaceOf(call);
  const { start, end } = rangeOf(first, length);
  checkCount(call);
  const from = prot & PROT_GROWSDOWN ? Math.min(start, space.vmas.find(start)?.start ?? start) : start;
  if (from === end) return 0;
  let stop = from;
  for (let vma = space.vmas.find(gva(stop)); vma && stop < end; vma = space.vmas.find(gva(stop)))
    stop = vma.end;
  stop = Math.min(stop, end);
  if (stop > from) space.protect(gva(from), gva(stop), prot & PROT_MASK);
  return stop < end ? fail(E.ENOMEM) : 0;
}

function brk(call: Call): number {
  const [wanted] = call.args;
  const space = spaceOf(call);
  if (space.brk === 0) initialBreak(space);
  if (wanted < space.brkStart) return space.brk;
  const [before, after] = [pageCeil(space.brk), pageCeil(wanted)];
  if (after > before) {
    if (after > USER_END - PAGE_SIZE) return space.brk;
    if (!isFree(space, gva(before), gva(after + PAGE_SIZE))) return space.brk;
    const range = { start: gva(before), end: gva(after) };
    space.map({
      ...range,
      prot: Prot.read | Prot.write,
      backing: null,
      offset: 0,
      name: '[heap]',
      file: null,
    });
  } else if (after < before) space.unmap(gva(after), gva(before));
  return (space.brk = wanted);
}

/** No brk was recorded: after the heap, or after the program's last segment. */
function initialBreak(space: AddressSpace): void {
  let end = 0;
  let program: string | null = null;
  for (const vma of space.vmas) {
    program ??= vma.file?.path ?? null;
    if (vma.name === '[heap]' || (program !== null && vma.file?.path === program)) end = vma.end;
  }
  space.brk = space.brkStart = end || MIN_ADDRESS;
}

function mremap(call: Call): number {
  const [from, oldLength, newLength, flags, target] = call.args;
  const space = spaceOf(call);
  if (from % PAGE_SIZE !== 0 || newLength <= 0 || flags & ~7) fail(E.EINVAL);
  const fixed = (flags & (MremapFlag.fixed | MremapFlag.dontUnmap)) !== 0;
  if (fixed && !(flags & MremapFlag.mayMove)) fail(E.EINVAL);
  const [oldSize, newSize] = [pageCeil(oldLength), pageCeil(newLength)];
  const vma = space.vmas.find(gva(from)) ?? fail(E.EFAULT);
  if (oldSize === 0) return duplicate(call, vma, from, newSize, flags, target);
  if (from + oldSize > vma.end) fail(E.EFAULT);
  if (flags & MremapFlag.fixed)
    return moveTo(call, vma, { from, oldSize, newSize }, rangeOf(target, newSize).start, flags);
  if (flags & MremapFlag.dontUnmap) {
    if (oldSize !== newSize) fail(E.EINVAL);
    return moveTo(call, vma, { from, oldSize, newSize }, findGap(space, newSize) ?? fail(E.ENOMEM), flags);
  }
  if (newSize <= oldSize) {
    if (newSize < oldSize) space.unmap(gva(from + newSize), gva(from + oldSize));
    return from;
  }
  checkAdded(call, newSize - oldSize, vma.prot, 0);
  const free = isFree(space, gva(from + oldSize), gva(from + newSize));
  if (from + oldSize === vma.end && free && from + newSize < USER_END) {
    grow(space, vma, from, oldSize, gva(from), newSize);
    return from;
  }
  if (!(flags & MremapFlag.mayMove)) fail(E.ENOMEM);
  return moveTo(call, vma, { from, oldSize, newSize }, findGap(space, newSize) ?? fail(E.ENOMEM), flags);
}

interface Move {
  readonly from: number;
  readonly oldSize: number;
  readonly newSize: number;
}

/** An old size of 0 makes a second mapping of shared memory. */
function duplicate(call: Call, vma: Vma, from: number, size: number, flags: number, target: number): number {
  const space = spaceOf(call);
  if (!isShared(vma)) fail(E.EINVAL);
  const start =
    flags & MremapFlag.fixed ? rangeOf(target, size).start : (findGap(space, size) ?? fail(E.ENOMEM));
  if (isReserved(space, start, offsetBy(start, size))) fail(E.ENOMEM);
  space.map({ ...vma, start, end: offsetBy(start, size), offset: vma.offset + (from - vma.start) });
  return start;
}

function moveTo(call: Call, vma: Vma, { from, oldSize, newSize }: Move, to: Gva, flags: number): number {
  const space = spaceOf(call);
  if (to < from + oldSize && from < to + newSize) fail(E.EINVAL);
  if (isReserved(space, to, offsetBy(to, newSize))) fail(E.ENOMEM);
  const kept = Math.min(oldSize, newSize);
  const keepSource = (flags & MremapFlag.dontUnmap) !== 0;
  space.unmap(to, offsetBy(to, newSize));
  space.move(gva(from), to, kept, keepSource);
  if (newSize < oldSize && !keepSource) space.unmap(gva(from + kept), gva(from + oldSize));
  if (newSize > oldSize) grow(space, vma, from, oldSize, to, newSize);
  return to;
}

/** The part of a grown mapping after `oldSize`, now at `to`. */
function grow(space: AddressSpace, vma: Vma, from: number, oldSize: number, to: Gva, newSize: number): void {
  const continued = from - vma.start + oldSize;
  space.map({
    ...vma,
    start: offsetBy(to, oldSize),
    end: offsetBy(to, newSize),
    offset: vma.backing === null ? 0 : vma.offset + continued,
    file: vma.file && { ...vma.file, offset: vma.file.offset + continued },
  });
}

function madvise(call: Call): number {
  const [first, length, advice] = call.args;
  const space = spaceOf(call);
  if (advice < 0 || (advice > MADV_HIGHEST && advice !== 100 && advice !== 101)) fail(E.EINVAL);
  const { start, end } = rangeOf(first, length);
  switch (advice) {
    case Madvise.dontNeed:
    case Madvise.dontNeedLocked:
      space.dropPages(start, end);
      break;
    case Madvise.remove:
      space.punch(start, end);
      break;
    case Madvise.dontFork:
      space.setDontFork(start, end, true);
      break;
    case Madvise.doFork:
      space.setDontFork(start, end, false);
      break;
    // Freeing later is allowed to be never; wiping is not.
    case MADV_FREE:
      break;
    case MADV_WIPE_ON_FORK:
      return fail(E.EINVAL);
  }
  let at = start as number;
  for (let vma = space.vmas.find(start); vma && at < end; vma = space.vmas.find(gva(at))) at = vma.end;
  return at < end ? fail(E.ENOMEM) : 0;
}

function mincore(call: Call): number {
  const [first, length, vector] = call.args;
  const { start, end } = rangeOf(first, length);
  if (!spaceOf(call).allows(start, end - start, Prot.read)) fail(E.ENOMEM);
  const resident = new Uint8Array(PAGE_SIZE).fill(1);
  for (let at = 0, count = (end - start) / PAGE_SIZE; at < count; at += PAGE_SIZE)
    call.memory.write(vector + at, resident.subarray(0, count - at));
  return 0;
}

const nothing = (): number => 0;

export const memoryCalls: Handlers = {
  mmap,
  munmap,
  mprotect,
  pkey_mprotect: (call) => ((call.args[3] | 0) <= 0 ? mprotect(call) : fail(E.EINVAL)),
  pkey_alloc: () => fail(E.ENOSPC),
  pkey_free: () => fail(E.EINVAL),
  brk,
  mremap,
  madvise,
  mincore,
  msync: nothing,
  mlock: nothing,
  mlock2: nothing,
  munlock: nothing,
  mlockall: nothing,
  munlockall: nothing,
  mbind: nothing,
  get_mempolicy: nothing,
  set_mempolicy: nothing,
  membarrier: (call) => (call.args[0] === 0 ? 0 : nothing()),
};
