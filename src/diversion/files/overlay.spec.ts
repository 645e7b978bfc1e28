import { describe, expect, it } from 'vitest';
import { gpa } from '../../engine/base/address.js';
import { silentLogger } from '../../engine/base/log.js';
import { GuestMemory } from '../../engine/kvm/guest-memory.js';
import { Errno, E } from '../base/errno.js';
import { FileSystem } from './file-system.js';
import { HostHandles } from './host-files.js';
import { Mode, Open, type FileContent, type FileLayer, type Node } from './node.js';
import { Overlay } from './overlay.js';

const stat = (mode: number) => ({
  mode,
  size: 5,
  inode: 1,
  links: 1,
  uid: 0,
  gid: 0,
  mtime: [0, 0] as const,
  device: 1,
});

/** A read-only layer with /etc/passwd, /etc/link -> passwd and /usr. */
const lower: FileLayer = {
  find(path): Node | null {
    if (path === '/' || path === '/etc' || path === '/usr' || path === '/tmp')
      return { kind: 'directory', stat: stat(Mode.directory | 0o755) };
    if (path === '/etc/link') return { kind: 'link', target: 'passwd', stat: stat(Mode.link | 0o777) };
    if (path !== '/etc/passwd') return null;
    const content: FileContent = {
      stat: () => stat(Mode.regular | 0o644),
      read: (offset, into) => {
        const bytes = Buffer.from('below').subarray(offset, offset + into.length);
        into.set(bytes);
        return bytes.length;
      },
    };
    return { kind: 'file', content };
  },
  list: (path) => (path === '/etc' ? [{ name: 'passwd', inode: 1, mode: Mode.regular }] : null),
};

function setUp(fileBytes = 1 << 20) {
  const memory = new GuestMemory(new ArrayBuffer(2 ** 21), gpa(0x40000), 2 ** 20);
  const options = { fileBytes, owner: { uid: 0, gid: 0 }, now: () => [1, 2] as const };
  const files = new FileSystem(new Overlay([lower], memory, options), [], silentLogger, new HostHandles());
  const open = (path: string, flags: number = Open.readOnly): FileContent => {
    const { node } = files.open('/', path, flags, 0o644, 1);
    if (node.kind !== 'file') throw new Error(node.kind);
    return node.content;
  };
  const text = (path: string): string => {
    const bytes = new Uint8Array(64);
    return Buffer.from(bytes.subarray(0, open(path).read(0, bytes))).toString();
  };
  return { files, open, text, memory };
}

const errno = (work: () => unknown): number => {
  try {
    work();
  } catch (error) {
    if (error instanceof Errno) return error.errno;
    throw error;
  }
  return 0;
};

describe('files over read-only ones', () => {
  it('reads fall through, writes make a copy that only the overlay has', () => {
    const { open, text } = setUp();
    expect(text('/etc/link')).toBe('below');
    open('/etc/passwd', Open.readWrite).write!(0, Buffer.from('above'));
    expect(text('/etc/passwd')).toBe('above');
    expect(setUp().text('/etc/passwd')).toBe('below');
  });

  it('create, rename, unlink, directories and their lists', () => {
    const { files, open, text } = setUp();
    open('/tmp/new', Open.create | Open.readWrite).write!(3, Buffer.from('x'));
    expect(text('/tmp/new')).toBe('\0\0\0x');
    files.mkdir('/', '/tmp/folder', 0o755, 1);
    files.rename({ directory: '/tmp', path: 'new' }, { directory: '/tmp/folder', path: 'moved' }, 1);
    expect(files.list('/tmp/folder', 1).map(({ name }) => name)).toEqual(['moved']);
    files.rename({ directory: '/', path: '/tmp/folder' }, { directory: '/', path: '/tmp/other' }, 1);
    expect(text('/tmp/other/moved')).toBe('\0\0\0x');
    files.unlink('/', '/etc/passwd', 1);
    expect(files.list('/etc', 1)).toEqual([]);
    expect(errno(() => open('/etc/link'))).toBe(E.ENOENT);
  });

  it('errors are those of Linux', () => {
    const { files, open } = setUp();
    expect(errno(() => open('/none/file', Open.create))).toBe(E.ENOENT);
    expect(errno(() => open('/etc/passwd/file'))).toBe(E.ENOTDIR);
    expect(errno(() => open('/etc', Open.readWrite))).toBe(E.EISDIR);
    expect(errno(() => open('/etc/passwd', Open.create | Open.exclusive))).toBe(E.EEXIST);
    expect(errno(() => files.mkdir('/', '/etc', 0, 1))).toBe(E.EEXIST);
    expect(errno(() => files.rmdir('/', '/etc', 1))).toBe(E.ENOTEMPTY);
    expect(
      errno(() => files.rename({ directory: '/', path: '/usr' }, { directory: '/', path: '/x' }, 1)),
    ).toBe(E.EXDEV);
    files.symlink('loop', '/tmp', 'loop', 1);
    expect(errno(() => open('/tmp/loop'))).toBe(E.ELOOP);
  });

  it('writes have a limit, and a shared mapping sees the same bytes', () => {
    const { open, text, memory } = setUp(10_000);
    const file = open('/tmp/a', Open.create | Open.readWrite);
    expect(errno(() => file.write!(20_000, Buffer.from('x')))).toBe(E.ENOSPC);
    file.write!(4090, Buffer.from('over a page'));
    const object = file.shared!();
    memory.bytes[object.page(1)] = 0x21;
    const bytes = new Uint8Array(11);
    file.read(4090, bytes);
    expect(Buffer.from(bytes).toString()).toBe('over a!page');
    file.truncate!(4);
    expect(text('/tmp/a')).toBe('\0\0\0\0');
  });
});
