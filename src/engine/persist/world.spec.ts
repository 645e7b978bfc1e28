import { describe, expect, it } from 'vitest';
import { RecordedFiles, RecordedWorld } from '../task/recorded-files.js';
import { Damaged } from './shape.js';
import { decodeWorld, encodeWorld } from './world.js';

function busyWorld(): { world: RecordedWorld; files: RecordedFiles } {
  const world = new RecordedWorld();
  const files = new RecordedFiles(world);
  const content = world.named('/tmp/a');
  world.edit(content, (file) => {
    file.clear();
    file.write(0, new Uint8Array(Buffer.from('text')));
  });
  world.content(content)!.stat = {
    ...{ device: 65024, inode: 17, mode: 0o100644, links: 1, uid: 0, gid: 0, size: 4, special: 0 },
    mtime: [1_700_000_000, 5],
  };
  world.names.set('/tmp/gone', 0);
  files.opened(3, 'file', '/tmp/a', 2, { content });
  files.opened(4, 'eventfd', 'a descriptor of eventfd', 2, { count: 2n ** 63n, semaphore: true });
  files.opened(5, 'timerfd', 'a descriptor of timerfd', 2, {
    clock: 1,
    first: -5n,
    interval: 7n,
    armedAt: 1.5,
  });
  const interest = { fd: 4, file: files.find(4)!.id, events: 0x8000_0001, data: 2n ** 64n - 1n };
  files.opened(6, 'epoll', 'a descriptor of epoll', 2, { interests: [interest] });
  files.opened(7, 'pair', 'a pair', 2, { end: 1 });
  world.send('a pair>1', Uint8Array.of(1, 2, 3));
  world.pass('a pair>1', files.find(3)!.id);
  return { world, files };
}

describe('files in checkpoint files', () => {
  it('are read as they were written', () => {
    const { world } = busyWorld();
    const written = JSON.parse(JSON.stringify(encodeWorld(world))) as unknown;
    const restored = RecordedWorld.restored(decodeWorld(written));
    expect(restored.facts).toEqual(world.facts);
    expect(JSON.stringify(encodeWorld(restored))).toBe(JSON.stringify(written));
  });

  it.each([
    ['no list of files', { files: 1 }],
    ['a kind that there is not', { files: [{ id: 1, kind: 'x', path: '', flags: 0, offset: 0, state: {} }] }],
    ['a page of another size', { contents: [[1, { pages: [[0, 'AAAA']] }]] }],
  ])('%s is damage', (_what, change) => {
    const { world } = busyWorld();
    expect(() => decodeWorld({ ...encodeWorld(world), ...change })).toThrow(Damaged);
  });
});

describe('a copy of the state', () => {
  it('is independent of the original, and descriptions end with their last descriptor', () => {
    const { world, files } = busyWorld();
    const copy = world.copy();
    const table = files.copyInto(copy);
    const { id } = files.find(4)!;
    files.change(4, { count: 1n });
    files.seek(3, () => 9);
    world.edit(files.find(3)!.state.content!, (content) => content.truncate(1));
    expect(table.find(4)?.state.count).toBe(2n ** 63n);
    expect(table.find(3)?.offset).toBe(0);
    expect(copy.contents.get(copy.names.get('/tmp/a')!)?.size).toBe(4);
    const child = files.clone();
    files.close(4);
    expect(world.find(id)).not.toBeNull();
    child.seek(3, () => 11);
    expect(files.find(3)?.offset).toBe(11);
    child.close(4);
    expect(world.find(id)).toBeNull();
    expect(copy.find(id)).not.toBeNull();
  });
});
