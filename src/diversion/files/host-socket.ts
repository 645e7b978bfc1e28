import { hostCall } from '../../engine/host/libc.js';
import { check, E, Errno, fail } from '../base/errno.js';
import { Mode, Open, type FileStat } from './node.js';
import { deviceStat, OpenFile, Poll } from './open-file.js';

const SOCK_NONBLOCK = 0o4000;
const SOCK_CLOEXEC = 0o2000000;
const MSG_NOSIGNAL = 0x4000;
const SOL_SOCKET = 1;
const SO_ERROR = 4;
const MAX_ADDRESS = 128;

/** A socket of the host's, only ever a client's; it never blocks us. */
export class HostSocket extends OpenFile {
  readonly path = 'socket:[host]';

  private looks = 0;

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

  /** Begins to connect; `connected` returns the result. */
  connect(address: Uint8Array): 'connected' | 'in progress' {
    const result = hostCall('connect', this.fd, address, address.length);
    if (result === -E.EINPROGRESS) return 'in progress';
    check(result);
    return 'connected';
  }

  /** 0 once connected; null: not yet. Throws the error. */
  connected(): number | null {
    if ((this.poll() & (Poll.out | Poll.err | Poll.hup)) === 0) return null;
    const error = this.option(SO_ERROR);
    return error === 0 ? 0 : fail(error);
  }

  /** An option of SOL_SOCKET that is a number. */
  option(option: number): number {
    const [value, size] = [new Int32Array(1), Uint32Array.of(4)];
    check(hostCall('getsockopt', this.fd, SOL_SOCKET, option, value, size));
    return value[0];
  }

  /** struct sockaddr of this end or of the other. */
  name(which: 'getsockname' | 'getpeername'): Uint8Array {
    const [address, size] = [new Uint8Array(MAX_ADDRESS), Uint32Array.of(MAX_ADDRESS)];
    check(hostCall(which, this.fd, address, size));
    return address.subarray(0, size[0]);
  }

  override read(into: Uint8Array): number | null {
    return unlessBlocked(() => hostCall('recv', this.fd, into, into.length, 0));
  }

  override write(bytes: Uint8Array): number | null {
    return unlessBlocked(() => hostCall('send', this.fd, bytes, bytes.length, MSG_NOSIGNAL));
  }

  /** Only the host knows when data has arrived: every check polls it. */
  override get activity(): number {
    return ++this.looks;
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
