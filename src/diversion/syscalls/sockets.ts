import { E, fail } from '../base/errno.js';
import { QuietSocket } from '../devices/event-files.js';
import { HostSocket } from '../files/host-socket.js';
import { Mode, Open } from '../files/node.js';
import type { OpenFile } from '../files/open-file.js';
import { makeSocketPair, SocketEnd } from '../files/pipe.js';
import type { Call, Handlers, Outcome } from './dispatch.js';
import { fileOf, nonblocking, now, readPieces, writePieces } from './io.js';

const Domain = { unix: 1, inet: 2, inet6: 10 } as const;
const TYPE_MASK = 0xf;
const SOCK_STREAM = 1;
const SOCK_DGRAM = 2;
const MAX_ADDRESS = 128;
const SCM_RIGHTS = 1;
const CONTROL_HEADER = 16;
const MAX_CONTROL = 4096;
const MSG_CTRUNC = 8;
const MSG_DONTWAIT = 0x40;
const MSG_CMSG_CLOEXEC = 0x4000_0000;
const SOL_SOCKET = 1;
const SO_TYPE = 3;
/** SO_TYPE, SO_ERROR, SO_PROTOCOL, SO_DOMAIN. */
const KNOWN_OPTIONS: readonly number[] = [SO_TYPE, 4, 38, 39];

/** Clients of the internet families, where the policy allows them; everything else is not there. */
function socket(call: Call): number {
  const [domain, type, protocol] = call.args;
  const { kernel, thread } = call;
  const kind = type & TYPE_MASK;
  const internet = domain === Domain.inet || domain === Domain.inet6;
  if (!internet || (kind !== SOCK_STREAM && kind !== SOCK_DGRAM)) {
    if (domain !== Domain.unix) fail(E.EAFNOSUPPORT);
  } else if (kernel.policy.allowNet) {
    const file = HostSocket.open(domain, kind, protocol, type & Open.nonblock);
    return thread.process.descriptors.add(file, (type & Open.closeOnExec) !== 0);
  }
  kernel.warnOnce('socket', { domain }, 'a socket is refused: the diversion has no network (--allow-net)');
  return fail(E.EACCES);
}

function socketOf(call: Call): HostSocket {
  const file = fileOf(call);
  return file instanceof HostSocket ? file : fail(E.ENOTSOCK);
}

function connect(call: Call): Outcome {
  const file = socketOf(call);
  const [, at, size] = call.args;
  if (size < 0 || size > MAX_ADDRESS) fail(E.EINVAL);
  if (file.connect(call.memory.bytes(at, size)) === 'connected') return 0;
  if (nonblocking(file)) fail(E.EINPROGRESS);
  return now(file, 'connecting', () => file.connected());
}

/** A socket address, as much of it as fits; the length is in and out. */
function storeAddress(call: Call, at: number, sizeAt: number, address: Uint8Array): void {
  const room = call.memory.u32(sizeAt);
  call.memory.write(at, address.subarray(0, room));
  call.memory.setU32(sizeAt, address.length);
}

const AF_UNIX_UNNAMED = Uint8Array.of(1, 0);

const name =
  (which: 'getsockname' | 'getpeername') =>
  (call: Call): number => {
    const file = fileOf(call);
    if (file instanceof HostSocket) storeAddress(call, call.args[1], call.args[2], file.name(which));
    else if ((file.stat().mode & Mode.typeMask) === Mode.socket)
      storeAddress(call, call.args[1], call.args[2], AF_UNIX_UNNAMED);
    else fail(E.ENOTSOCK);
    return 0;
  };

/** Messages come only from the connected peer: resolvers compare its address. */
function receivedFrom(call: Call, outcome: Outcome, store: (address: Uint8Array) => void): Outcome {
  const file = fileOf(call);
  if (!(file instanceof HostSocket)) return outcome;
  const done = (result: number): number => {
    if (result > 0) store(file.name('getpeername'));
    return result;
  };
  if (typeof outcome === 'number') return done(outcome);
  if (outcome === null) return null;
  const { poll } = outcome;
  return {
    ...outcome,
    poll: () => {
      const result = poll();
      return result === null ? null : done(result);
    },
  };
}

function recvfrom(call: Call): Outcome {
  const [, , , , at, sizeAt] = call.args;
  return receivedFrom(
    call,
    readPieces(call, fileOf(call), plain(call), (call.args[3] & MSG_DONTWAIT) !== 0),
    (address) => {
      if (at !== 0 && sizeAt !== 0) storeAddress(call, at, sizeAt, address);
    },
  );
}

/** struct msghdr: name, namelen, …, control at 32, controllen at 40, flags at 48. */
function recvmsg(call: Call): Outcome {
  const [, header] = call.args;
  const file = fileOf(call);
  // Files that came with bytes that were read otherwise are lost.
  if (file instanceof SocketEnd) for (const stale of file.takeFiles()) stale.release();
  const outcome = readPieces(call, file, messagePieces(call), (call.args[2] & MSG_DONTWAIT) !== 0);
  if (file instanceof SocketEnd) return then(outcome, () => storeRights(call, file, header));
  return receivedFrom(call, outcome, (address) => {
    const at = call.memory.word(header);
    if (at !== 0) storeAddress(call, at, header + 8, address);
    call.memory.setU64(header + 40, 0n);
    call.memory.setU32(header + 48, 0);
  });
}

/** SCM_RIGHTS: files become descriptors, as far as there is room for them. */
function storeRights(call: Call, socket: SocketEnd, header: number): void {
  const [at, room] = [call.memory.word(header + 32), call.memory.word(header + 40)];
  const files = socket.takeFiles();
  const fits = Math.max(0, Math.min(files.length, Math.floor((room - CONTROL_HEADER) / 4)));
  const { descriptors } = call.thread.process;
  const closes = (call.args[2] & MSG_CMSG_CLOEXEC) !== 0;
  const numbers = files.slice(0, fits).map((file) => descriptors.add(file, closes));
  for (const file of files) file.release();
  call.memory.setU32(header + 48, fits < files.length ? MSG_CTRUNC : 0);
  const length = fits === 0 ? 0 : CONTROL_HEADER + 4 * fits;
  call.memory.setU64(header + 40, BigInt(length));
  if (fits === 0) return;
  const control = new Uint8Array(length);
  const view = new DataView(control.buffer);
  view.setBigUint64(0, BigInt(length), true);
  view.setInt32(8, SOL_SOCKET, true);
  view.setInt32(12, SCM_RIGHTS, true);
  numbers.forEach((number, index) => view.setInt32(CONTROL_HEADER + 4 * index, number, true));
  call.memory.write(at, control);
}

/** struct cmsghdr: length, level, type, data. */
function sendmsg(call: Call): Outcome {
  const file = fileOf(call);
  const undo = file instanceof SocketEnd ? file.send(rightsOf(call)) : null;
  try {
    return writePieces(call, file, messagePieces(call));
  } catch (error) {
    undo?.();
    throw error;
  }
}

function rightsOf(call: Call): OpenFile[] {
  const [, header] = call.args;
  const [at, size] = [call.memory.word(header + 32), call.memory.word(header + 40)];
  if (at === 0 || size < CONTROL_HEADER) return [];
  const control = call.memory.view(at, Math.min(size, MAX_CONTROL));
  const files: OpenFile[] = [];
  for (let part = 0; part + CONTROL_HEADER <= control.byteLength;) {
    const length = Number(control.getBigUint64(part, true));
    if (length < CONTROL_HEADER || part + length > control.byteLength) fail(E.EINVAL);
    const isRights =
      control.getInt32(part + 8, true) === SOL_SOCKET && control.getInt32(part + 12, true) === SCM_RIGHTS;
    for (let fd = part + CONTROL_HEADER; isRights && fd + 4 <= part + length; fd += 4)
      files.push(call.thread.process.descriptors.get(control.getInt32(fd, true)));
    part += Math.ceil(length / 8) * 8;
  }
  return files;
}

/** Does something when the call has its result. */
function then(outcome: Outcome, work: () => void): Outcome {
  if (outcome === null) return null;
  if (typeof outcome === 'number') return (work(), outcome);
  const { poll } = outcome;
  return {
    ...outcome,
    poll: () => {
      const result = poll();
      if (result !== null) work();
      return result;
    },
  };
}

/** Options of SOL_SOCKET that clients use; others are unsupported. */
function getsockopt(call: Call): number {
  const [, level, option, at, sizeAt] = call.args;
  const file = fileOf(call);
  const isHost = file instanceof HostSocket;
  if (!isHost && (file.stat().mode & Mode.typeMask) !== Mode.socket) fail(E.ENOTSOCK);
  const value =
    level === SOL_SOCKET && KNOWN_OPTIONS.includes(option)
      ? isHost
        ? file.option(option)
        : Number(option === SO_TYPE && SOCK_STREAM)
      : 0;
  call.memory.setU32(at, value);
  call.memory.setU32(sizeAt, 4);
  return 0;
}

function socketpair(call: Call): number {
  const [domain, type, , at] = call.args;
  if (domain !== Domain.unix) fail(E.EAFNOSUPPORT);
  if ((type & TYPE_MASK) !== SOCK_STREAM) fail(E.EPROTONOSUPPORT);
  const { descriptors } = call.thread.process;
  const closes = (type & Open.closeOnExec) !== 0;
  const fds = makeSocketPair(call.kernel.pipes, type & Open.nonblock).map((end) =>
    descriptors.add(end, closes),
  );
  call.memory.write(at, new Uint8Array(new Int32Array(fds).buffer));
  return 0;
}

/** struct msghdr: name, namelen, iov at 16, iovlen at 24. */
const messagePieces = (call: Call): { at: number; size: number }[] => {
  const view = call.memory.view(call.args[1], 56);
  return call.memory.vectors(Number(view.getBigUint64(16, true)), Number(view.getBigUint64(24, true)));
};

const plain = ({ args }: Call): { at: number; size: number }[] => [{ at: args[1], size: args[2] }];
const isSocket = (call: Call): boolean => (fileOf(call).stat().mode & Mode.typeMask) === Mode.socket;
const refused = (call: Call): number => fail(isSocket(call) ? E.EACCES : E.ENOTSOCK);

/** No connection arrives. */
function accept(call: Call): Outcome {
  const file = fileOf(call);
  return file instanceof QuietSocket && file.listens
    ? now(file, 'accepting from', () => null)
    : refused(call);
}

export const socketCalls: Handlers = {
  socket,
  socketpair,
  connect,
  sendto: (call) => (call.args[4] === 0 ? writePieces(call, fileOf(call), plain(call)) : refused(call)),
  recvfrom,
  sendmsg,
  recvmsg,
  shutdown: (call) => {
    const file = fileOf(call);
    if (file instanceof HostSocket) return file.shutdown(call.args[1]);
    return isSocket(call) ? 0 : fail(E.ENOTSOCK);
  },
  setsockopt: (call) => (isSocket(call) ? 0 : fail(E.ENOTSOCK)),
  getsockopt,
  getsockname: name('getsockname'),
  getpeername: name('getpeername'),
  bind: refused,
  listen: refused,
  accept,
  accept4: accept,
};
