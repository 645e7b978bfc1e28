import { E, fail } from '../errno.js';
import type { FileStat } from './node.js';
import { deviceStat, OpenFile, Poll } from './open-file.js';

const Control = { add: 1, remove: 2, change: 3 } as const;
const EPOLLET = 0x8000_0000;
const EPOLLONESHOT = 0x4000_0000;
const ALWAYS = Poll.err | Poll.hup;

interface Interest {
  readonly file: OpenFile;
  events: number;
  data: bigint;
  /** What was reported last, for edge-triggered ones. */
  seen: number;
}

/** An epoll(7) set. */
export class EpollSet extends OpenFile {
  readonly path = 'anon_inode:[eventpoll]';
  private readonly interests = new Map<number, Interest>();

  stat(): FileStat {
    return { ...deviceStat(0, 0o600), mode: 0o600 };
  }

  control(operation: number, fd: number, file: OpenFile, events: number, data: bigint): void {
    const known = this.interests.get(fd);
    switch (operation) {
      case Control.add:
        if (known && known.file === file) fail(E.EEXIST);
        this.interests.set(fd, { file, events, data, seen: 0 });
        return;
      case Control.remove:
        if (!this.interests.delete(fd)) fail(E.ENOENT);
        return;
      case Control.change:
        if (!known) fail(E.ENOENT);
        this.interests.set(fd, { file: known.file, events, data, seen: 0 });
        return;
      default:
        fail(E.EINVAL);
    }
  }

  ready(most: number): { events: number; data: bigint }[] {
    const found: { events: number; data: bigint }[] = [];
    for (const interest of this.interests.values()) {
      if (found.length === most) break;
      const now = interest.file.poll() & (interest.events | ALWAYS);
      const fresh = interest.events & EPOLLET ? now & ~interest.seen : now;
      interest.seen = now;
      if (fresh === 0) continue;
      if (interest.events & EPOLLONESHOT) interest.events = 0;
      found.push({ events: now, data: interest.data });
    }
    return found;
  }

  override poll(): number {
    for (const { file, events } of this.interests.values())
      if (file.poll() & (events | ALWAYS)) return Poll.in;
    return 0;
  }
}
