import {
  PAGE_SIZE,
  USER_END,
  hex,
  pageCeil,
  pageFloor,
  type Gva,
  gva,
  offsetBy,
} from '../../base/address.js';
import { RevenantError } from '../../base/errors.js';
import { Madvise, MapFlag, MremapFlag, PROT_GROWSDOWN } from '../../base/linux.js';
import { Reg, getSigned, getUnsigned, type RegisterWords } from '../../base/registers.js';
import type { Backing } from '../../mm/backing.js';
import { Prot, STUBS_NAME, isShared, type Vma } from '../../mm/vma.js';
import type { AddressSpace } from '../../mm/address-space.js';
import type { Task } from '../../task/task.js';
import type { TraceFrame } from '../../trace/frame.js';
import type { MMapRecord } from '../../trace/records.js';
import type { ReplayCore } from '../state/core.js';
import { mappedFile, rangeOf } from '../program/exec.js';

const PROT_MASK = Prot.read | Prot.write | Prot.exec;
const SHM_RDONLY = 0o10000;
const SHM_EXEC = 0o100000;

/** A checked page range from arguments of a system call that the recording kernel accepted. */
export function userRange(
  frame: TraceFrame,
  start: number,
  length: number,
  what: string,
): { start: Gva; end: Gva } {
  const end = pageCeil(start + length);
  if (start % PAGE_SIZE !== 0 || start < 0 || end > USER_END) {
    throw new RevenantError(
      'E_TRACE_CORRUPT',
      `Frame ${frame.frameTime}: ${what} of ${hex(start)}, length ${hex(length)}, succeeded, but that is not a range of user pages.`,
    );
  }
  return { start: gva(start), end: gva(end) };
}

/** mmap at the recorded address; exactly one record (rr-traces.md 6.3). */
export function mmap(core: ReplayCore, task: Task, frame: TraceFrame): void {
  const record = core.requireMapping(frame, 'mmap');
  const registers = frame.registers;
  const length = getUnsigned(registers, Reg.rsi);
  const range = userRange(frame, getUnsigned(registers, Reg.rax), length, 'mmap');
  const prot = registers[2 * Reg.rdx] & PROT_MASK;
  const flags = registers[2 * Reg.r10];
  if (range.start === range.end) {
    throw new RevenantError('E_TRACE_CORRUPT', `Frame ${frame.frameTime}: an mmap of no bytes succeeded.`);
  }
  core.onWrite?.(task, range.start, range.end - range.start);
  const source = record.source.kind;
  const base = { ...range, prot, name: record.fsname, file: mappedFile(record) };

  if (source === 'file') return mapFileRange(core, task.space, base, record, length);
  if (flags & MapFlag.shared && (source === 'trace' || flags & MapFlag.anonymous)) {
    const offset = source === 'trace' ? record.fileOffsetBytes : 0;
    return task.space.map({ ...base, backing: core.sharedObjectOf(record), offset });
  }
  task.space.map({ ...base, backing: null, offset: 0 });
}

type Placed = Omit<Vma, 'backing' | 'offset'>;

/** The part with file content comes from the file; the rest is zeros (the kernel's SIGBUS there is in the trace). */
function mapFileRange(
  core: ReplayCore,
  space: AddressSpace,
  placed: Placed,
  record: MMapRecord,
  length: number,
): void {
  const offset = record.fileOffsetBytes;
  const content = Math.max(0, Math.min(pageCeil(record.statSize) - offset, pageCeil(length)));
  const split = gva(Math.min(placed.end, placed.start + content));
  if (split > placed.start) space.map({ ...placed, end: split, backing: core.fileOf(record), offset });
  if (split < placed.end) space.map({ ...placed, start: split, backing: null, offset: 0 });
}

export function munmap(core: ReplayCore, task: Task, frame: TraceFrame): void {
  const { start, end } = userRange(
    frame,
    getUnsigned(frame.registers, Reg.rdi),
    getUnsigned(frame.registers, Reg.rsi),
    'munmap',
  );
  core.onWrite?.(task, start, end - start);
  task.space.unmap(start, end);
}

const ENOMEM = -12;
const EACCES = -13;
const EINVAL = -22;

/**
 * Executed even if it failed: a failing mprotect may have changed leading pages (rr-traces.md 6.2).
 * EACCES is caused by a shared mapping of a file that was opened for reading; pages before it were
 * changed. Other failures except ENOMEM occur before any change.
 */
export function mprotectFrame(_core: ReplayCore, task: Task, frame: TraceFrame): void {
  const result = getSigned(frame.registers, Reg.rax);
  if (result < 0 && result !== ENOMEM && result !== EACCES) return;
  mprotect(task.space, frame.registers, result === EACCES);
}

/**
 * mprotect with the arguments in `registers`; returns 0 or -errno as the kernel would.
 * @param upToShared it failed at the first shared mapping
 */
export function mprotect(space: AddressSpace, registers: RegisterWords, upToShared = false): number {
  let start = getUnsigned(registers, Reg.rdi);
  const end = pageCeil(start + getUnsigned(registers, Reg.rsi));
  const prot = registers[2 * Reg.rdx];
  if (start % PAGE_SIZE !== 0) return EINVAL;
  if (end > USER_END || end < start) return ENOMEM;
  if (end === start) return 0;
  if (prot & PROT_GROWSDOWN) start = growableStart(space, start);
  let stop = firstGap(space, start, end);
  if (upToShared) stop = space.vmas.overlapping(gva(start), gva(stop)).find(isShared)?.start ?? stop;
  if (stop > start) space.protect(gva(start), gva(stop), prot & PROT_MASK);
  return stop < end ? ENOMEM : 0;
}

/**
 * Where a growing mapping begins that contains `start`: its grown parts are VMAs of their own here, and one
 * in the kernel.
 */
function growableStart(space: AddressSpace, start: number): number {
  let lowest = space.vmas.find(gva(start));
  for (let below = lowest; lowest && below;) {
    below = lowest.start > 0 ? space.vmas.find(offsetBy(lowest.start, -1)) : null;
    if (!below || below.backing || below.prot !== lowest.prot || below.name !== lowest.name) break;
    lowest = below;
  }
  return Math.min(start, lowest?.start ?? start);
}

/** End of the mapped run that begins at `start`, at most `end`. */
function firstGap(space: AddressSpace, start: number, end: number): number {
  let at = start;
  while (at < end) {
    const vma = space.vmas.find(gva(at));
    if (!vma) break;
    at = vma.end;
  }
  return Math.min(at, end);
}

/** The record, if there is one, is the added or removed range; a record without size is a brk that changed nothing. */
export function brk(core: ReplayCore, task: Task, frame: TraceFrame): void {
  const record = core.trace.nextMapping(frame.frameTime);
  if (!record || record.start === record.end) return;
  const range = rangeOf(record);
  if (record.flags === 0) return task.space.unmap(range.start, range.end);
  task.space.map({
    ...range,
    prot: record.prot & PROT_MASK,
    backing: null,
    offset: 0,
    name: '[heap]',
    file: null,
  });
}

/** Move or resize; the first record (the moved range) is redundant, a second one is a file's grown part. */
export function mremap(core: ReplayCore, task: Task, frame: TraceFrame): void {
  const registers = frame.registers;
  core.requireMapping(frame, 'mremap');
  const grown = core.trace.nextMapping(frame.frameTime);
  const from = userRange(frame, getUnsigned(registers, Reg.rdi), getUnsigned(registers, Reg.rsi), 'mremap');
  const to = userRange(frame, getUnsigned(registers, Reg.rax), getUnsigned(registers, Reg.rdx), 'mremap');
  const oldSize = from.end - from.start;
  const newSize = to.end - to.start;
  const space = task.space;
  const vma = space.vmas.find(from.start);
  if (!vma) {
    throw new RevenantError(
      'E_TRACE_CORRUPT',
      `Frame ${frame.frameTime}: mremap of ${hex(from.start)}, which is not mapped.`,
    );
  }
  if (oldSize === 0) {
    // Duplicates a shared mapping (mm/mremap.c: old_len == 0).
    return space.map({ ...vma, ...to, offset: vma.offset + (from.start - vma.start) });
  }
  const kept = Math.min(oldSize, newSize);
  if (to.start !== from.start) {
    core.onWrite?.(task, from.start, oldSize);
    core.onWrite?.(task, to.start, newSize);
  } else if (newSize !== oldSize) core.onWrite?.(task, from.start + kept, Math.abs(newSize - oldSize));
  const keepSource = (registers[2 * Reg.r10] & MremapFlag.dontUnmap) !== 0;
  if (to.start !== from.start) space.move(from.start, to.start, kept, keepSource);
  if (newSize < oldSize && !keepSource) space.unmap(offsetBy(from.start, kept), from.end);
  if (newSize > oldSize) growMapping(core, space, vma, from.start, to, kept, grown);
}

function growMapping(
  core: ReplayCore,
  space: AddressSpace,
  vma: Vma,
  from: Gva,
  to: { start: Gva; end: Gva },
  kept: number,
  grown: MMapRecord | null,
): void {
  const start = offsetBy(to.start, kept);
  const continued = vma.offset + (from - vma.start) + kept;
  let backing: Backing | null = null;
  let offset = 0;
  if (isShared(vma)) {
    backing = vma.backing;
    offset = continued;
  } else if (grown?.source.kind === 'file') {
    backing = core.fileOf(grown);
    offset = grown.fileOffsetBytes;
  }
  space.map({
    ...vma,
    start,
    end: to.end,
    backing,
    offset,
    file: vma.file && { ...vma.file, offset: continued },
  });
}

/** Only advice that changes content or inheritance acts; a failed call acts on the recorded ranges (rr-traces.md 6.2). */
export function madvise(_core: ReplayCore, task: Task, frame: TraceFrame, failed: boolean): void {
  const advice = frame.registers[2 * Reg.rdx];
  if (failed) {
    if (frame.extra.kind !== 'madviseRanges') return;
    for (const { start, end } of frame.extra.ranges) {
      if (end <= BigInt(USER_END) && start < end)
        adviseRange(task.space, gva(Number(start)), gva(Number(end)), advice);
    }
    return;
  }
  const { start, end } = userRange(
    frame,
    getUnsigned(frame.registers, Reg.rdi),
    getUnsigned(frame.registers, Reg.rsi),
    'madvise',
  );
  adviseRange(task.space, start, end, advice);
}

/** madvise on a range for the preload library's own calls; returns 0 or -errno. */
export function adviseRegisters(space: AddressSpace, registers: RegisterWords): number {
  const start = getUnsigned(registers, Reg.rdi);
  const end = pageCeil(start + getUnsigned(registers, Reg.rsi));
  if (start % PAGE_SIZE !== 0 || end > USER_END) return -22;
  adviseRange(space, gva(start), gva(end), registers[2 * Reg.rdx]);
  return 0;
}

function adviseRange(space: AddressSpace, start: Gva, end: Gva, advice: number): void {
  switch (advice) {
    case Madvise.dontNeed:
    case Madvise.dontNeedLocked:
      return space.dropPages(start, end);
    case Madvise.remove:
      return space.punch(start, end);
    case Madvise.dontFork:
      return space.setDontFork(start, end, true);
    case Madvise.doFork:
      return space.setDontFork(start, end, false);
  }
}

export function shmat(core: ReplayCore, task: Task, frame: TraceFrame): void {
  const record = core.requireMapping(frame, 'shmat');
  const range = rangeOf(record);
  const flags = frame.registers[2 * Reg.rdx];
  const prot = Prot.read | (flags & SHM_RDONLY ? 0 : Prot.write) | (flags & SHM_EXEC ? Prot.exec : 0);
  if (range.start === range.end) return;
  task.space.map({
    ...range,
    prot,
    backing: core.sharedObjectOf(record),
    offset: 0,
    name: record.fsname,
    file: null,
  });
  task.space.shmLengths.set(range.start, range.end - range.start);
}

export function shmdt(_core: ReplayCore, task: Task, frame: TraceFrame): void {
  const start = gva(getUnsigned(frame.registers, Reg.rdi));
  const length = task.space.shmLengths.get(start);
  if (length === undefined) return;
  task.space.shmLengths.delete(start);
  task.space.unmap(start, offsetBy(start, length));
}

/** The newly added part of a stack or other growing mapping (rr-traces.md 5.6). */
export function growMap(core: ReplayCore, task: Task, frame: TraceFrame): void {
  const record = core.requireMapping(frame, 'a growing mapping');
  const range = rangeOf(record);
  if (range.start === range.end) return;
  task.space.map({
    ...range,
    prot: record.prot & PROT_MASK,
    backing: null,
    offset: 0,
    name: record.fsname || (task.space.vmas.find(range.end)?.name ?? ''),
    file: null,
  });
}

/** Before code is patched: the anonymous page for stubs that a patch frame may bring. */
export function mapPatchPages(core: ReplayCore, task: Task, frame: TraceFrame): void {
  task.space.patches++;
  for (;;) {
    const record = core.trace.nextMapping(frame.frameTime);
    if (!record) return;
    const range = rangeOf(record);
    if (range.start === range.end) continue;
    task.space.map({
      ...range,
      prot: record.prot & PROT_MASK,
      backing: null,
      offset: 0,
      name: STUBS_NAME,
      file: null,
    });
  }
}

/** Drops the mapped part of a range; used when a task releases its recorder areas. */
export function unmapArea(space: AddressSpace, start: Gva, end: Gva): void {
  if (end > start) space.unmap(pageFloor(start), pageCeil(end));
}
