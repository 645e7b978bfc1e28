import { hostCall } from '../../engine/host/libc.js';
import { check, E, Errno, fail } from '../errno.js';
import { Mode, Open, type FileStat } from './node.js';
import { deviceStat, OpenFile, Poll } from './open-file.js';

const SOCK_NONBLOCK = 0o4000;
const SOCK_CLOEXEC = 0o2000000;
const MSG_NOSIGNAL = 0x4000;

/** A socket of the host's, only ever a client's; it never blocks us. */
export class HostSocket extends OpenFile {
  readonly path = 'socket:[host]';

  private constructor(private readonly fd: number) {
    super();
  }

  static open(domain: number, type: number, protocol: number, flags: number): HostSocket {
    const fd = check(hostCall('socket', domain, type | SOCK_NONBLOCK | SOCK_CLOEXEC, protocol));
    const file = new HostSocket(fd);
    file.flags = Open.readWrite | flags;
    return file;
  }

  override get isOutside(): boolean {
    return true;
  }

  stat(): FileStat {
    return { ...deviceStat(0, 0o777), mode: Mode.socket | 0o777 };
  }

  connect(address: Uint8Array): void {
    const result = hostCall('connect', this.fd, address, address.length);
    if (result < 0 && result !== -E.EINPROGRESS) fail(-result);
  }

  /** 0 once it is; null: not yet. */
  connected(): number | null {
    const state = this.poll();
    if (state & (Poll.err | Poll.hup)) return fail(E.ECONNREFUSED);
    return state & Poll.out ? 0 : null;
  }

  override read(into: Uint8Array): number | null {
    return unlessBlocked(() => hostCall('recv', this.fd, into, into.length, 0));
  }

  override write(bytes: Uint8Array): number | null {
    return unlessBlocked(() => hostCall('send', this.fd, bytes, bytes.length, MSG_NOSIGNAL));
  }

  override poll(): number {
    const bytes = new Uint8Array(8);
    const view = new DataView(bytes.buffer);
    view.setInt32(0, this.fd, true);
    view.setUint16(4, Poll.in | Poll.out, true);
    hostCall('poll', bytes, 1, 0);
    return view.getUint16(6, true);
  }

  shutdown(how: number): number {
    return check(hostCall('shutdown', this.fd, how));
  }

  protected override closed(): void {
    hostCall('close', this.fd);
  }
}

function unlessBlocked(call: () => number): number | null {
  const result = call();
  if (result === -E.EAGAIN) return null;
  if (result < 0) throw new Errno(-result);
  return result;
}
