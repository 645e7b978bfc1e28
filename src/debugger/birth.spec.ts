import { expect, it } from 'vitest';
import { fakeSession } from '../../test/debugger/fake-target.js';
import { handlePacket } from './requests/dispatch.js';

it('history of a process begins where it does: the client stays with it', async () => {
  const at = (rip: number): { tid: number; rip: number } => ({ tid: 100, rip });
  const { session, target } = fakeSession([at(0x400000), at(0x400002), at(0x400004), at(0x400006)]);
  const ask = (body: string): Promise<string> => handlePacket(session, body);
  await ask('qSupported:multiprocess+;swbreak+');
  target.taskList = [
    { tid: 90, pid: 90, name: 'parent' },
    { tid: 100, pid: 100, name: 'child' },
  ];
  target.births.set(100, 2);
  target.at = 3;
  for (let times = 0; times < 2; times++) {
    expect(await ask('bc')).toMatch(/^T05replaylog:begin;thread:p64\.64;.*10:0400400000000000;/);
    expect(target.at).toBe(2);
  }
  expect(await ask('vCont;s:p64.64')).toMatch(/^T05thread:p64\.64;/);
});

it('frames before the first program are where its process begins, also to run from there', async () => {
  const at = (rip: number): { tid: number; rip: number } => ({ tid: 100, rip });
  const { session, target, said } = fakeSession([at(0x400000), at(0x400002), at(0x400004), at(0x400006)]);
  const ask = (body: string): Promise<string> => handlePacket(session, body);
  await ask('qSupported:multiprocess+;swbreak+');
  for (const tid of [100, 101]) target.births.set(tid, 2);
  for (const request of ['vKill;64', `vRun;;${Buffer.from('1').toString('hex')}`]) {
    target.at = 3;
    await ask(request);
  }
  expect(target.at).toBe(2);
  expect(said()).toBe('[after frame 1 there is no program yet: process 100 begins here]\n');
  expect(await ask('vCont;c')).toMatch(/^T00thread:p64\.64;.*10:0400400000000000;/);
});
