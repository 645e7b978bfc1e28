import { offsetBy } from '../../base/address.js';
import { Sys } from '../../base/linux.js';
import { Reg, getSigned, setSigned } from '../../base/registers.js';
import type { Task } from '../../task/task.js';
import type { ReplayCore } from '../state/core.js';
import { performCloned } from '../program/cloned-data.js';
import { BufferRecord } from '../../guest/rr-abi.js';
import { isNotedInBuffer, noteFiles } from '../syscalls/facts/files.js';
import { trackDescriptors } from '../syscalls/io.js';
import { adviseRegisters, mprotect } from '../syscalls/memory.js';
import { takeName } from '../syscalls/process.js';

/**
 * A system call of the preload library without a frame, whose effect is needed (rr-traces.md 7.4): the result does
 * not matter, the library replaces it by the recorded one.
 * @returns false for a call that the library does not make there: the replay has diverged
 */
export function performUntraced(core: ReplayCore, task: Task): boolean {
  const registers = core.registers(task);
  const number = getSigned(registers, Reg.rax);
  let result = performCloned(core, task, number);
  if (result === null) {
    switch (number) {
      case Sys.mprotect:
        result = mprotect(task.space, registers);
        break;
      case Sys.madvise:
        result = adviseRegisters(task.space, registers);
        break;
      default:
        return false;
    }
  }
  setSigned(registers, Reg.rax, result);
  core.canonicaliseSyscall(registers);
  return true;
}

/**
 * A buffered call, which leaves no frame (rr-traces.md 7.4): its record is in the buffer already, and the library takes the
 * result from there.
 */
export function noteBuffered(core: ReplayCore, task: Task): void {
  const registers = core.registers(task);
  const number = getSigned(registers, Reg.rax);
  const isNoted = core.notesFiles && isNotedInBuffer(number);
  const record = isNoted || task.fds.unframed ? currentRecord(core, task) : null;
  if (record) {
    const result = Number(record.getBigInt64(BufferRecord.result, true));
    const isOfCall = record.getUint16(BufferRecord.number, true) === number;
    // First: it closes what a new descriptor replaces.
    if (task.fds.unframed && isOfCall && result >= 0)
      trackDescriptors(core, task, number, registers, result, { kind: 'none' });
    if (isNoted) noteFiles(core, task, number, registers, result, core.recordedSec, true);
  }
  setSigned(registers, Reg.rax, 0);
  core.canonicaliseSyscall(registers);
}

/** The record that is about to be committed. */
function currentRecord(core: ReplayCore, task: Task): DataView | null {
  const header = task.syscallbuf;
  if (header === 0) return null;
  const committed = task.space.readU32(header, 'the syscall buffer header');
  if (committed > task.syscallbufSize) return null;
  const at = offsetBy(header, core.header.syscallbufHdrSize + committed);
  const record = task.space.readExactly(at, BufferRecord.extra, 'a syscall buffer record');
  return new DataView(record.buffer, record.byteOffset);
}

/**
 * The preload library stops here for a buffered call whose effect on replay is more than its recorded
 * data: the record that is about to be committed says which call and what it returned (rr-traces.md 7.9).
 */
export function assistReplay(core: ReplayCore, task: Task): void {
  const view = currentRecord(core, task);
  if (!view) return;
  const result = Number(view.getBigInt64(BufferRecord.result, true));
  if (result < 0) return;
  const number = view.getUint16(BufferRecord.number, true);
  const registers = core.registers(task);
  if (number === Sys.prctl) takeName(task, registers);
  else trackDescriptors(core, task, number, registers, result, { kind: 'none' });
}
