import { expect, it } from 'vitest';
import { fakeSession } from '../../test/debugger/fake-target.js';
import { handlePacket } from './requests/dispatch.js';

it('a watchpoint outside of user space is accepted and never hit; a breakpoint there is refused', async () => {
  const { session, target } = fakeSession([
    { tid: 100, rip: 0x400000 },
    { tid: 100, rip: 0x400004 },
  ]);
  const ask = (body: string): Promise<string> => handlePacket(session, body);
  await ask('qSupported:multiprocess+;swbreak+');
  expect(await ask('Z2,ffffffffffffffff,1')).toBe('OK');
  expect(await ask('Z0,ffffffffffffffff,1')).toBe('E0e');
  expect(await ask('vCont;s:p64.64')).toMatch(/^T05thread:p64\.64;/);
  expect(target.at).toBe(1);
  expect(await ask('z2,ffffffffffffffff,1')).toBe('OK');
});
