import { describe, expect, it } from 'vitest';
import type { RecordedContent } from '../../engine/task/recorded-content.js';
import { RecordedWorld } from '../../engine/task/recorded-files.js';
import { Mode, type FileContent, type FileLayer, type FileStat, type Node } from './node.js';
import { WorldFiles } from './world-files.js';

const bytes = (text: string): Uint8Array => new Uint8Array(Buffer.from(text));
const stat = (size: number, seconds: number, inode = 7): FileStat & { special: number } => ({
  ...{ mode: Mode.regular | 0o644, size, inode, links: 1, uid: 0, gid: 0, special: 0, device: 65024 },
  mtime: [seconds, 0],
});

const today = (text: string, seconds: number): FileContent => ({
  stat: () => stat(text.length, seconds, 99),
  read: (offset, into) => {
    const part = bytes(text).subarray(offset, offset + into.length);
    into.set(part);
    return part.length;
  },
});

function layer(files: Record<string, FileContent>): FileLayer {
  return {
    find: (path): Node | null => (path in files ? { kind: 'file', content: files[path] } : null),
    list: () => null,
  };
}

/** The text of a file, its warnings, and its inode. */
function look(world: RecordedWorld, below: FileLayer, path: string): unknown {
  const said = new Set<string>();
  const node = new WorldFiles(world, [below], (_path, message) => said.add(message)).find(path);
  if (node?.kind !== 'file') return node;
  const into = new Uint8Array(64);
  const count = node.content.read(0, into);
  return [Buffer.from(into.subarray(0, count)).toString(), node.content.stat().inode, ...said];
}

function worldWith(path: string, fill: (content: RecordedContent) => void): RecordedWorld {
  const world = new RecordedWorld();
  world.edit(world.named(path), fill);
  return world;
}

describe('files as of the moment of a diversion', () => {
  const host = layer({ '/a': today('TODAY, longer', 2000) });

  it('are those that the recording wrote, even if another is there now', () => {
    const world = worldWith('/a', (content) => {
      content.clear();
      content.write(0, bytes('then'));
      content.stat = stat(0, 1000);
    });
    expect(look(world, host, '/a')).toEqual(['then', 7]);
    expect(look(world, layer({}), '/a')).toEqual(['then', 7]);
  });

  it('are those of this machine, with a warning, if only their identity is known', () => {
    const world = worldWith('/a', (content) => {
      content.stat = stat(4, 1000);
      content.size = 4;
      content.saw(0, bytes('th'));
    });
    const said = "/a is read from this machine's current file: it is newer than the recording";
    expect(look(world, host, '/a')).toEqual(['TODAY, longer', 7, said]);
  });

  it('are put together where the recording wrote a part, which is said', () => {
    const world = worldWith('/a', (content) => {
      content.stat = stat(6, 3000);
      content.size = 6;
      content.write(2, bytes('xy'));
    });
    const said =
      "/a is read from this machine's current file where its bytes are not known from the recording: the recording had another";
    expect(look(world, host, '/a')).toEqual(['TOxyY,', 7, said]);
    expect(() => look(world, layer({}), '/a')).toThrow('errno 5');
  });

  it('are not there where the recording found none, and have folders', () => {
    const world = worldWith('/new/b', (content) => content.clear());
    world.names.set('/a', 0);
    const files = new WorldFiles(world, [host], () => {});
    expect([files.isGone('/a'), files.find('/a'), files.isGone('/c')]).toEqual([true, null, false]);
    expect(files.find('/new')).toMatchObject({ kind: 'directory' });
    expect(files.list('/new')).toMatchObject([{ name: 'b' }]);
  });

  it('have the recorded identity and the bytes of this machine where those are the same', () => {
    const world = worldWith('/a', (content) => {
      content.stat = stat(13, 2000);
      content.size = 13;
    });
    expect(look(world, host, '/a')).toEqual(['TODAY, longer', 7]);
  });
});
