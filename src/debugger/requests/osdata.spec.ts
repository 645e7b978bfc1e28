import { describe, expect, it } from 'vitest';
import { fakeSession } from '../../../test/debugger/fake-target.js';
import { handlePacket } from './dispatch.js';

/** Cells of the rows, by what `info os` was asked for. */
async function rows(type: string): Promise<string[][]> {
  const { session, target } = fakeSession([{ tid: 100, rip: 1 }]);
  target.taskList.push({ tid: 200, pid: 200, name: 'child' });
  let whole = '';
  for (let reply = 'm'; reply[0] === 'm'; whole += reply.slice(1))
    reply = await handlePacket(session, `qXfer:osdata:read:${type}:${whole.length.toString(16)},40`);
  expect(whole).toContain(`<osdata type="${type || 'types'}">`);
  return [...whole.matchAll(/<item>(.*?)<\/item>/g)].map(([, item]) =>
    [...item.matchAll(/<column name="([^"]+)">(.*?)<\/column>/g)].map(
      ([, name, value]) => `${name}=${value}`,
    ),
  );
}

describe('info os', () => {
  it('lists what there is', async () => {
    expect((await rows('')).map(([type]) => type)).toEqual(['Type=processes', 'Type=threads', 'Type=files']);
  });

  it('describes the recording, also processes that gdb is not attached to', async () => {
    const program = ['program=/bin/fake', 'working directory=/tmp', 'command=fake of it'];
    expect(await rows('processes')).toEqual([
      ['pid=100', 'attached=yes', ...program],
      ['pid=200', 'attached=no', ...program],
    ]);
    expect(await rows('threads')).toEqual([
      ['pid=100', 'tid=100', 'current=yes', 'command=main'],
      ['pid=100', 'tid=101', 'current=no', 'command=worker'],
      ['pid=200', 'tid=200', 'current=no', 'command=child'],
    ]);
    expect((await rows('files')).slice(0, 2)).toEqual([
      ['pid=100', 'command=main', 'file descriptor=1', 'name=/dev/null'],
      ['pid=100', 'command=main', 'file descriptor=3', 'name=/tmp/&#60;odd&#62;'],
    ]);
  });

  it('knows nothing else', async () => {
    const { session } = fakeSession([{ tid: 100, rip: 1 }]);
    expect(await handlePacket(session, 'qXfer:osdata:read:modules:0,100')).toBe('E16');
  });
});
