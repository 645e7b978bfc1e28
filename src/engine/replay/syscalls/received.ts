import { Sys } from '../../base/linux.js';
import type { RegisterWords } from '../../base/registers.js';
import type { Task } from '../../task/task.js';
import type { ReplayCore } from '../state/core.js';
import { RrCall } from '../../guest/rr-abi.js';
import { ReturnedCall } from './facts/call-memory.js';

/** struct msghdr: where the control messages are, and how long. */
const Header = { size: 56, control: 32, controlLength: 40 } as const;
/** struct cmsghdr: length, level, type. */
const CONTROL_HEADER = 16;
const MAX_CONTROL = 4096;
const SOL_SOCKET = 1;
const SCM_RIGHTS = 1;

/**
 * Descriptors that were received over a socket: a buffered call may have sent them, so their target
 * is unknown. Examined after the recorded memory writes. rr's library reports those that a buffered
 * call received.
 */
export function warnOfReceived(core: ReplayCore, task: Task, number: number, registers: RegisterWords): void {
  const isNotice = number === core.header.rrcallBase + RrCall.notifyControlMessage;
  if (number !== Sys.recvmsg && !isNotice) return;
  const call = new ReturnedCall(task, number, registers, 0);
  const header = call.peek(call.pointer(isNotice ? 0 : 1), Header.size);
  if (!header || !holdsRights(call, header)) return;
  core.warnOnce(
    'received descriptors',
    `Task ${task.tid} received descriptors over a socket: writes to those that refer to the program's output are not shown.`,
  );
}

function holdsRights(call: ReturnedCall, header: DataView): boolean {
  const at = Number(header.getBigUint64(Header.control, true));
  const size = Math.min(Number(header.getBigUint64(Header.controlLength, true)), MAX_CONTROL);
  const control = call.bytes(at, size);
  const view = new DataView(control.buffer, control.byteOffset, control.length);
  for (let part = 0; part + CONTROL_HEADER <= control.length;) {
    if (view.getInt32(part + 8, true) === SOL_SOCKET && view.getInt32(part + 12, true) === SCM_RIGHTS)
      return true;
    const length = Number(view.getBigUint64(part, true));
    if (length < CONTROL_HEADER) return false;
    part += Math.ceil(length / 8) * 8;
  }
  return false;
}
