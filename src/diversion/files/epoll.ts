import { E, fail } from '../base/errno.js';
import type { FileStat } from './node.js';
import { deviceStat, OpenFile, Poll } from './open-file.js';

const Control = { add: 1, remove: 2, change: 3 } as const;
const EPOLLET = 0x8000_0000;
const EPOLLONESHOT = 0x4000_0000;
const ALWAYS = Poll.err | Poll.hup;
/** Sets in sets (EP_MAX_NESTS). */
const MAX_NESTING = 4;

interface Interest {
  readonly file: OpenFile;
  events: number;
  data: bigint;
  /** What was reported last, and how much had happened by then; for edge-triggered ones. */
  seen: number;
  activity: number;
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
        if (file === this) fail(E.EINVAL);
        if (file instanceof EpollSet && (file.reaches(this) || file.depth >= MAX_NESTING)) fail(E.ELOOP);
        this.interests.set(fd, { file, events, data, seen: 0, activity: -1 });
        return;
      case Control.remove:
        if (!this.interests.delete(fd)) fail(E.ENOENT);
        return;
      case Control.change:
        if (!known) fail(E.ENOENT);
        this.interests.set(fd, { file: known.file, events, data, seen: 0, activity: -1 });
        return;
      default:
        fail(E.EINVAL);
    }
  }

  /** An interest of the recording's. */
  adopt(fd: number, file: OpenFile, events: number, data: bigint): void {
    if (file !== this) this.interests.set(fd, { file, events, data, seen: 0, activity: -1 });
  }

  /** Files that are closed leave by themselves. */
  private open(): Interest[] {
    for (const [fd, { file }] of this.interests) if (file.isClosed) this.interests.delete(fd);
    return [...this.interests.values()];
  }

  private get nested(): EpollSet[] {
    return this.open().flatMap(({ file }) => (file instanceof EpollSet ? [file] : []));
  }

  private reaches(other: EpollSet): boolean {
    return this.nested.some((set) => set === other || set.reaches(other));
  }

  private get depth(): number {
    return 1 + Math.max(0, ...this.nested.map(({ depth }) => depth));
  }

  ready(most: number): { events: number; data: bigint }[] {
    const found: { events: number; data: bigint }[] = [];
    for (const interest of this.open()) {
      if (found.length === most) break;
      const now = interest.file.poll() & (interest.events | ALWAYS);
      const { activity } = interest.file;
      const isEdge = interest.events & EPOLLET && activity === interest.activity;
      const fresh = isEdge ? now & ~interest.seen : now;
      interest.seen = now;
      interest.activity = activity;
      if (fresh === 0) continue;
      if (interest.events & EPOLLONESHOT) interest.events = 0;
      found.push({ events: now, data: interest.data });
    }
    return found;
  }

  override get activity(): number {
    return this.open().reduce((sum, { file }) => sum + file.activity, 0);
  }

  override poll(): number {
    for (const { file, events } of this.open()) if (file.poll() & (events | ALWAYS)) return Poll.in;
    return 0;
  }
}
