/** Sockets: their peers, and messages between two sockets of the recording. */
import { Sys } from '../../../base/linux.js';
import type { RecordedFile } from '../../../task/recorded-files.js';
import type { ReturnedCall } from './call-memory.js';
import { transferred } from './transfers.js';

const READ_WRITE = 2;
const FLAGS = 0o2004000;
const MSG_PEEK = 2;
const SOL_SOCKET = 1;
const SCM_RIGHTS = 1;
const MAX_ADDRESS = 128;
const Family = { unix: 1, inet: 2, inet6: 10 } as const;

export const messageCalls: ReadonlySet<number> = new Set([
  ...[Sys.socket, Sys.connect, Sys.bind, Sys.listen, Sys.accept, Sys.accept4],
  ...[Sys.sendto, Sys.recvfrom, Sys.sendmsg, Sys.recvmsg],
]);

/** A call of `messageCalls` that succeeded. */
export function noteMessage(call: ReturnedCall): void {
  const { files } = call.task.fds;
  const file = files.find(call.int(0));
  switch (call.number) {
    case Sys.socket:
      return files.opened(call.result, 'socket', 'a socket', READ_WRITE | (call.int(1) & FLAGS));
    case Sys.connect:
      return rename(call, file, `a socket connected to ${address(call, 1, call.int(2))}`);
    case Sys.bind:
      return rename(call, file, `a socket bound to ${address(call, 1, call.int(2))}`);
    case Sys.listen:
      return files.change(call.int(0), { listens: true });
    case Sys.accept:
    case Sys.accept4: {
      const flags = call.number === Sys.accept4 ? call.int(3) & FLAGS : 0;
      const size = call.peek(call.pointer(2), 4)?.getInt32(0, true) ?? 0;
      const peer = call.pointer(1) > 0 && size > 2 ? address(call, 1, size) : 'a client';
      return files.opened(call.result, 'socket', `a connection that ${peer} made`, READ_WRITE | flags);
    }
    default:
      if (file) noteTransfer(call, file);
  }
}

function rename(call: ReturnedCall, file: RecordedFile | null, path: string): void {
  if (file?.kind === 'socket') call.task.fds.files.world.change(file.id, { path });
}

/** struct sockaddr as text. */
function address(call: ReturnedCall, index: number, size: number): string {
  const bytes = call.bytes(call.pointer(index), Math.min(Math.max(0, size), MAX_ADDRESS));
  if (bytes.length < 2) return 'somebody';
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const family = view.getUint16(0, true);
  if (family === Family.unix) {
    const path = Buffer.from(bytes.subarray(2)).toString('latin1').replace(/^\0/, '@').replace(/\0.*$/s, '');
    return path === '' ? 'a socket without a name' : path;
  }
  if (family === Family.inet && bytes.length >= 8)
    return `${bytes.subarray(4, 8).join('.')}:${view.getUint16(2, false)}`;
  if (family === Family.inet6 && bytes.length >= 24) {
    const groups = Array.from({ length: 8 }, (_, n) => view.getUint16(8 + 2 * n, false).toString(16));
    return `[${groups.join(':')}]:${view.getUint16(2, false)}`;
  }
  return `an address of family ${family}`;
}

function noteTransfer(call: ReturnedCall, file: RecordedFile): void {
  const isMessage = call.number === Sys.sendmsg || call.number === Sys.recvmsg;
  const isRead = call.number === Sys.recvfrom || call.number === Sys.recvmsg;
  const flags = call.int(isMessage ? 2 : 3);
  if (isRead && (flags & MSG_PEEK) !== 0) return;
  const header = isMessage ? call.peek(call.pointer(1), 56) : null;
  if (isMessage && !header) return;
  const word = (at: number): number => Number(header?.getBigUint64(at, true) ?? 0n);
  const bytes = header
    ? call.vector(word(16), word(24), call.result)
    : call.bytes(call.pointer(1), call.result);
  transferred(call, file, { isRead, bytes, offset: null, wanted: call.result, seconds: 0 });
  if (header) noteRights(call, file, isRead, word(32), word(40));
}

/** struct cmsghdr: length, level, type, data. Sent descriptors become received ones, in order. */
function noteRights(call: ReturnedCall, file: RecordedFile, isRead: boolean, at: number, size: number): void {
  const { files } = call.task.fds;
  const end = file.state.end ?? 0;
  const way = file.kind === 'pair' ? `${file.path}>${isRead ? 1 - end : end}` : null;
  const control = call.bytes(at, Math.min(size, 4096));
  const view = new DataView(control.buffer, control.byteOffset, control.length);
  for (let part = 0; part + 16 <= control.length;) {
    const length = Number(view.getBigUint64(part, true));
    if (length < 16 || part + length > control.length) return;
    const isRights =
      view.getInt32(part + 8, true) === SOL_SOCKET && view.getInt32(part + 12, true) === SCM_RIGHTS;
    for (let fd = part + 16; isRights && fd + 4 <= part + length; fd += 4) {
      const number = view.getInt32(fd, true);
      if (isRead) received(call, way, number);
      else if (way !== null) files.world.pass(way, files.find(number)?.id ?? 0);
    }
    part += Math.ceil(length / 8) * 8;
  }
}

function received(call: ReturnedCall, way: string | null, fd: number): void {
  const { files } = call.task.fds;
  const id = way === null ? 0 : files.world.passed(way);
  if (id !== 0 && files.world.find(id)) {
    files.set(fd, id);
    files.world.release(id);
  } else files.opened(fd, 'other', 'received from another process', READ_WRITE);
}
