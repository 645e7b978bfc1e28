import { E, fail } from '../base/errno.js';
import { EpollSet } from '../files/epoll.js';
import { Open } from '../files/node.js';
import { Poll } from '../files/open-file.js';
import type { Wait } from '../kernel/process.js';
import { startOf, type Call, type Handlers, type Outcome } from './dispatch.js';
import { useMask } from './signals.js';
import { deadlineAt, readTimeval } from './time.js';

const MAX_DESCRIPTORS = 1024;
const READABLE = Poll.in | Poll.hup | Poll.err;
const WRITABLE = Poll.out | Poll.err;

/** Nanoseconds after which a timeout in milliseconds is over; negative: never. */
function deadlineIn(call: Call, milliseconds: number): bigint | undefined {
  const wait = milliseconds | 0;
  return wait < 0 ? undefined : startOf(call) + BigInt(wait) * 1_000_000n;
}

function waiting(call: Call, look: () => number, deadline: bigint | undefined, what: string): Outcome {
  const first = look();
  if (first > 0 || (deadline !== undefined && deadline <= call.kernel.clock.monotonic)) return first;
  const outside = [...call.thread.process.descriptors].some(([, { file }]) => file.isOutside);
  const poll = (): number | null => look() || null;
  return { poll, deadline, timedOut: 0, interrupted: 'eintr', what, outside } satisfies Wait;
}

/** struct pollfd: fd, events, revents. */
function poll(call: Call, deadline: bigint | undefined): Outcome {
  const [at, count] = call.args;
  if (count < 0 || count > MAX_DESCRIPTORS) fail(E.EINVAL);
  const view = call.memory.view(at, 8 * count);
  const { descriptors } = call.thread.process;
  const look = (): number => {
    let ready = 0;
    for (let index = 0; index < count; index++) {
      const fd = view.getInt32(8 * index, true);
      const wanted = view.getUint16(8 * index + 4, true) | Poll.err | Poll.hup;
      const file = fd < 0 ? null : descriptors.find(fd);
      const found = fd < 0 ? 0 : file ? file.poll() & wanted : Poll.invalid;
      view.setUint16(8 * index + 6, found, true);
      if (found !== 0) ready++;
    }
    return ready;
  };
  const store = (): number => {
    const ready = look();
    call.memory.write(at, new Uint8Array(view.buffer));
    return ready;
  };
  return waiting(call, store, deadline, 'descriptors to be ready');
}

/** fd_set: one bit a descriptor, in the order of reading, writing, exceptions. */
function select(call: Call, deadline: bigint | undefined): Outcome {
  const [count, ...rest] = call.args;
  const sets = rest.slice(0, 3);
  if (count < 0 || count > MAX_DESCRIPTORS) fail(E.EINVAL);
  const size = Math.ceil(count / 64) * 8;
  const wanted = sets.map((at) => (at === 0 ? null : call.memory.bytes(at, size)));
  const { descriptors } = call.thread.process;
  const has = (set: Uint8Array | null, fd: number): boolean =>
    set !== null && (set[fd >> 3] & (1 << (fd & 7))) !== 0;
  for (let fd = 0; fd < count; fd++) if (wanted.some((set) => has(set, fd))) descriptors.get(fd);
  const look = (): number => {
    const found = wanted.map((set) => set && new Uint8Array(size));
    let ready = 0;
    for (let fd = 0; fd < count; fd++) {
      [READABLE, WRITABLE, Poll.pri].forEach((mask, index) => {
        if (!has(wanted[index], fd) || !(descriptors.get(fd).poll() & mask)) return;
        found[index]![fd >> 3] |= 1 << (fd & 7);
        ready++;
      });
    }
    const over = deadline !== undefined && deadline <= call.kernel.clock.monotonic;
    if (ready > 0 || over) found.forEach((set, index) => set && call.memory.write(sets[index], set));
    return ready;
  };
  return waiting(call, look, deadline, 'descriptors to be ready');
}

function epollOf(call: Call): EpollSet {
  const file = call.thread.process.descriptors.get(call.args[0] | 0);
  return file instanceof EpollSet ? file : fail(E.EINVAL);
}

function epollCreate(call: Call, flags: number): number {
  return call.thread.process.descriptors.add(new EpollSet(), (flags & Open.closeOnExec) !== 0);
}

/** struct epoll_event, packed: u32 events, u64 data. */
function epollCtl(call: Call): number {
  const [, operation, fd, at] = call.args;
  const set = epollOf(call);
  const file = call.thread.process.descriptors.get(fd | 0);
  const event = operation === 2 ? null : call.memory.view(at, 12);
  set.control(
    operation,
    fd | 0,
    file,
    event ? event.getUint32(0, true) : 0,
    event ? event.getBigUint64(4, true) : 0n,
  );
  return 0;
}

function epollWait(call: Call, deadline: bigint | undefined): Outcome {
  const [, at, most] = call.args;
  if (most <= 0) fail(E.EINVAL);
  const set = epollOf(call);
  const look = (): number => {
    const events = set.ready(Math.min(most, MAX_DESCRIPTORS));
    const bytes = new Uint8Array(12 * events.length);
    const view = new DataView(bytes.buffer);
    events.forEach(({ events: bits, data }, index) => {
      view.setUint32(12 * index, bits, true);
      view.setBigUint64(12 * index + 4, data, true);
    });
    call.memory.write(at, bytes);
    return events.length;
  };
  return waiting(call, look, deadline, 'events of an epoll set');
}

export const pollingCalls: Handlers = {
  poll: (call) => poll(call, deadlineIn(call, call.args[2])),
  ppoll: (call) => {
    useMask(call, call.args[3], call.args[4]);
    return poll(call, deadlineAt(call, call.args[2]));
  },
  select: (call) =>
    select(call, call.args[4] === 0 ? undefined : startOf(call) + readTimeval(call.memory, call.args[4])),
  pselect6: (call) => {
    const [, , , , timeout, set] = call.args;
    if (set !== 0) useMask(call, call.memory.word(set), call.memory.word(set + 8));
    return select(call, deadlineAt(call, timeout));
  },
  epoll_create: (call) => epollCreate(call, 0),
  epoll_create1: (call) => epollCreate(call, call.args[0]),
  epoll_ctl: epollCtl,
  epoll_wait: (call) => epollWait(call, deadlineIn(call, call.args[3])),
  epoll_pwait: (call) => {
    useMask(call, call.args[4], call.args[5]);
    return epollWait(call, deadlineIn(call, call.args[3]));
  },
};
