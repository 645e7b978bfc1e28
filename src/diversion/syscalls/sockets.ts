import { E, fail } from '../errno.js';
import { HostSocket } from '../files/host-socket.js';
import { Open } from '../files/node.js';
import { makeSocketPair } from '../files/pipe.js';
import type { Call, Handlers, Outcome } from './dispatch.js';
import { fileOf, now, readPieces, writePieces } from './io.js';

const Domain = { unix: 1, inet: 2, inet6: 10 } as const;
const TYPE_MASK = 0xf;
const SOCK_STREAM = 1;
const SOCK_DGRAM = 2;
const MAX_ADDRESS = 128;

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
  kernel.sayOnce('socket', { domain }, 'a socket is refused: the diversion has no network (--allow-net)');
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
  file.connect(call.memory.bytes(at, size));
  return now(file, 'connecting', () => file.connected());
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
const refused = (call: Call): number => (socketOf(call), fail(E.EACCES));

export const socketCalls: Handlers = {
  socket,
  socketpair,
  connect,
  sendto: (call) => (call.args[4] === 0 ? writePieces(call, fileOf(call), plain(call)) : refused(call)),
  recvfrom: (call) => readPieces(call, fileOf(call), plain(call)),
  sendmsg: (call) => writePieces(call, fileOf(call), messagePieces(call)),
  recvmsg: (call) => readPieces(call, fileOf(call), messagePieces(call)),
  shutdown: (call) => socketOf(call).shutdown(call.args[1]),
  setsockopt: (call) => (socketOf(call), 0),
  getsockopt: (call) => {
    socketOf(call);
    call.memory.setU32(call.args[3], 0);
    call.memory.setU32(call.args[4], 4);
    return 0;
  },
  getsockname: refused,
  getpeername: refused,
  bind: refused,
  listen: refused,
  accept: refused,
  accept4: refused,
};
