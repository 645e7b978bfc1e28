import type { ByteSource } from '../../engine/mm/backing.js';
import type { RecordedStat } from '../../engine/task/recorded-content.js';
import { Mode, type FileContent, type FileLayer, type FileStat } from './node.js';

/** A file of which the trace has a copy because the recorded program mapped it. */
class TraceFile implements FileContent {
  readonly isRecorded = true;

  constructor(
    private readonly source: ByteSource,
    private readonly inode: number,
    private readonly identity: RecordedStat | null,
  ) {}

  stat(): FileStat {
    if (this.identity) return { ...this.identity, size: this.source.size };
    return {
      mode: Mode.regular | 0o755,
      size: this.source.size,
      inode: this.inode,
      links: 1,
      uid: 0,
      gid: 0,
      mtime: [0, 0],
      device: 0x29,
    };
  }

  read(offset: number, into: Uint8Array): number {
    return this.source.read(offset, into);
  }
}

const FIRST_INODE = 0x6000_0000;

/** The recorded program's own files, before this machine's of the same name. */
export class TraceFiles implements FileLayer {
  private readonly files = new Map<string, TraceFile>();

  constructor(
    private readonly find_: (path: string) => ByteSource | null,
    private readonly identityOf: (path: string) => RecordedStat | null = () => null,
  ) {}

  find(path: string): ReturnType<FileLayer['find']> {
    let content = this.files.get(path);
    if (!content) {
      const source = this.find_(path);
      if (!source) return null;
      content = new TraceFile(source, FIRST_INODE + this.files.size, this.identityOf(path));
      this.files.set(path, content);
    }
    return { kind: 'file', content };
  }

  /** The entries of a folder are unknown; those of this machine are listed. */
  list(): null {
    return null;
  }
}
